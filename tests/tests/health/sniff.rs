//! What passes a host on the wire: TCP segments from and to a port.

use std::{
    io::{self, Read as _},
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use elb_tests::netns::NetNs;
use nix::libc;
use socket2::{Domain, Protocol, Socket, Type};

/// A segment of TCP over IPv4.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) from: Ipv4Addr,
    pub(crate) to: Ipv4Addr,
    pub(crate) source: u16,
    pub(crate) destination: u16,
    /// FIN 1, SYN 2, RST 4, PSH 8, ACK 16.
    pub(crate) flags: u8,
    /// Bytes of content.
    pub(crate) content: usize,
}

pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// Listens on all devices of a namespace.
pub(crate) struct Sniffer(Socket);

impl Sniffer {
    pub(crate) fn open(netns: &NetNs) -> Result<Self> {
        let all = i32::from(u16::try_from(libc::ETH_P_ALL)?.to_be());
        let open = || Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(all)));
        let socket = netns.run(open)?.context("cannot listen to frames")?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        Ok(Self(socket))
    }

    /// All segments from or to `port`, of the client's port that comes first, up to the first reset.
    pub(crate) fn connection(&self, port: u16, limit: Duration) -> Result<Vec<Segment>> {
        let (mut seen, mut buffer) = (Vec::<Segment>::new(), [0; 2048]);
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            let length = match (&self.0).read(&mut buffer) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error.into()),
            };
            let Some(segment) = parse(&buffer[..length]) else { continue };
            let client = |s: &Segment| if s.source == port { s.destination } else { s.source };
            let is_ours = segment.source == port || segment.destination == port;
            let is_same = seen.first().is_none_or(|first| client(first) == client(&segment));
            // What was under way before is not seen from its beginning.
            let begins = !seen.is_empty() || segment.flags == SYN;
            if is_ours && is_same && begins {
                let is_reset = segment.flags & RST != 0;
                seen.push(segment);
                if is_reset {
                    return Ok(seen);
                }
            }
        }
        bail!("no reset within {limit:?}: {seen:?}")
    }
}

/// A frame without VLAN tag that holds TCP over IPv4.
fn parse(frame: &[u8]) -> Option<Segment> {
    let ip = frame.get(14..)?;
    if frame[12..14] != [8, 0] || ip.first()? >> 4 != 4 || *ip.get(9)? != 6 {
        return None;
    }
    let word =
        |bytes: &[u8], at: usize| Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?));
    let header = usize::from(ip[0] & 0xf) * 4;
    let tcp = ip.get(header..)?;
    let offset = usize::from(tcp.get(12)? >> 4) * 4;
    let address = |at: usize| Some(<[u8; 4]>::try_from(ip.get(at..at + 4)?).ok()?.into());
    Some(Segment {
        from: address(12)?,
        to: address(16)?,
        source: word(tcp, 0)?,
        destination: word(tcp, 2)?,
        flags: *tcp.get(13)?,
        content: usize::from(word(ip, 2)?).checked_sub(header + offset)?,
    })
}
