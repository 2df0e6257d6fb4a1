//! Routers whose next link is too narrow for a packet with outer headers: ICMP says so to this host,
//! since the outer source is its address (RFC 1191, RFC 8201).
//!
//! The kernel has no socket for what XDP sent, and takes such an error for one that is about nothing.

use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use elb_common::backend::GUE_PORT;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::notices::watched;

/// How long a path is taken to be so narrow before a larger packet is tried (RFC 1191 §6.3).
const LASTS: Duration = Duration::from_secs(600);
/// Members that this is remembered of.
const MOST: usize = 1 << 16;
/// The narrowest paths that are believed: with the outer headers, what is left must be what every host
/// takes, or a forged error would cut a member off.
const LEAST_V4: u32 = 576 + 32;
const LEAST_V6: u32 = 1280;

/// What a router said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooBig {
    /// Where the packet was going.
    pub(super) member: IpAddr,
    /// What fits.
    pub(super) mtu: u32,
}

/// What is remembered of paths.
#[derive(Debug, Default)]
pub(super) struct Paths(HashMap<IpAddr, (u32, Instant)>);

impl Paths {
    /// Notes what a router said; what fits from now on, if that is less than before.
    pub(super) fn note(&mut self, said: TooBig, now: Instant) -> Option<u32> {
        let least = if said.member.is_ipv4() { LEAST_V4 } else { LEAST_V6 };
        let mtu = said.mtu.max(least);
        let known = self.0.get(&said.member).map(|(known, _)| *known);
        let is_older = known.is_some_and(|known| known < mtu);
        if is_older || (known.is_none() && self.0.len() >= MOST) {
            return None;
        }
        self.0.insert(said.member, (mtu, now + LASTS));
        if known == Some(mtu) {
            return None;
        }
        let TooBig { member, .. } = said;
        tracing::info!(%member, mtu, "a router on the way says what fits");
        Some(mtu)
    }

    /// What was known of paths at the beginning holds for as long as if it were said now.
    pub(super) fn begin(&mut self, known: &HashMap<IpAddr, u32>, now: Instant) {
        let until = now + LASTS;
        self.0.extend(known.iter().map(|(member, mtu)| (*member, (*mtu, until))));
    }

    /// Members whose paths may be wider by now.
    pub(super) fn over(&mut self, now: Instant) -> Vec<IpAddr> {
        let over = self.0.iter().filter(|(_, (_, until))| *until <= now);
        let over: Vec<IpAddr> = over.map(|(member, _)| *member).collect();
        for member in &over {
            self.0.remove(member);
        }
        over
    }
}

/// Sockets that hear such errors; takes `CAP_NET_RAW`.
#[derive(Debug)]
pub(super) struct Routers {
    v4: Option<AsyncFd<Socket>>,
    v6: Option<AsyncFd<Socket>>,
}

impl Routers {
    pub(super) fn open() -> Self {
        let open = |opened: io::Result<AsyncFd<Socket>>| {
            opened.inspect_err(|error| tracing::debug!(%error, "cannot hear ICMP errors")).ok()
        };
        Self { v4: open(listen_v4()), v6: open(listen_v6()) }
    }

    /// The next that a router says.
    pub(super) async fn hear(&self) -> TooBig {
        tokio::select! {
            said = hear(self.v4.as_ref(), v4) => said,
            said = hear(self.v6.as_ref(), v6) => said,
        }
    }
}

fn listen_v4() -> io::Result<AsyncFd<Socket>> {
    const ICMP_FILTER: i32 = 1;
    let all_but_unreachable = !(1u32 << 3);
    listen(Domain::IPV4, Protocol::ICMPV4, libc::SOL_RAW, ICMP_FILTER, &[all_but_unreachable])
}

fn listen_v6() -> io::Result<AsyncFd<Socket>> {
    const ICMP6_FILTER: i32 = 1;
    let mut all_but_too_big = [u32::MAX; 8];
    all_but_too_big[0] = !(1 << 2);
    listen(Domain::IPV6, Protocol::ICMPV6, libc::SOL_ICMPV6, ICMP6_FILTER, &all_but_too_big)
}

fn listen(
    domain: Domain,
    protocol: Protocol,
    level: i32,
    option: i32,
    filter: &[u32],
) -> io::Result<AsyncFd<Socket>> {
    let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
    let length = libc::socklen_t::try_from(size_of_val(filter)).map_err(io::Error::other)?;
    // SAFETY: the socket is open; the kernel reads as many bytes as the filter has.
    let set = unsafe {
        libc::setsockopt(socket.as_raw_fd(), level, option, filter.as_ptr().cast(), length)
    };
    if set < 0 {
        return Err(io::Error::last_os_error());
    }
    socket.set_nonblocking(true)?;
    watched(socket)
}

async fn hear(socket: Option<&AsyncFd<Socket>>, read: fn(&[u8]) -> Option<TooBig>) -> TooBig {
    let Some(socket) = socket else { return std::future::pending().await };
    let mut buffer = [MaybeUninit::uninit(); 2048];
    loop {
        let Ok(mut guard) = socket.readable().await else {
            return std::future::pending().await;
        };
        match socket.get_ref().recv(&mut buffer) {
            Ok(length) => {
                // SAFETY: the kernel has written so many bytes at the beginning of the buffer.
                let bytes = unsafe { buffer[..length].assume_init_ref() };
                if let Some(said) = read(bytes) {
                    return said;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
            Err(error) => tracing::debug!(%error, "cannot hear ICMP errors"),
        }
    }
}

const GUE: [u8; 2] = GUE_PORT.to_be_bytes();

/// Reads an IPv4 packet: ICMP, destination unreachable, fragmentation needed.
fn v4(packet: &[u8]) -> Option<TooBig> {
    let icmp = packet.get(header_length(packet)?..)?;
    let [3, 4, _, _, _, _, high, low] = *icmp.first_chunk()? else { return None };
    let quoted = icmp.get(8..)?;
    let header: &[u8; 20] = quoted.first_chunk()?;
    let destination = Ipv4Addr::from(*header[16..].first_chunk::<4>()?);
    is_ours(header[9], quoted.get(header_length(quoted)?..)?).then_some(TooBig {
        member: destination.into(),
        mtu: u16::from_be_bytes([high, low]).into(),
    })
}

/// Reads an ICMPv6 message: packet too big.
fn v6(icmp: &[u8]) -> Option<TooBig> {
    let [2, 0, _, _, mtu @ ..] = *icmp.first_chunk::<8>()? else { return None };
    let quoted = icmp.get(8..)?;
    let header: &[u8; 40] = quoted.first_chunk()?;
    let destination = Ipv6Addr::from(*header[24..].first_chunk::<16>()?);
    is_ours(header[6], &quoted[40..])
        .then_some(TooBig { member: destination.into(), mtu: u32::from_be_bytes(mtu) })
}

fn header_length(packet: &[u8]) -> Option<usize> {
    let length = usize::from(packet.first()? & 0xf) * 4;
    (packet[0] >> 4 == 4 && length >= 20).then_some(length)
}

/// Whether the quoted packet is one that elb sends to members: an IP packet in another, or in GUE.
fn is_ours(protocol: u8, rest: &[u8]) -> bool {
    const IPIP: u8 = 4;
    const UDP: u8 = 17;
    const IPV6: u8 = 41;
    match protocol {
        IPIP => rest.first().is_some_and(|first| first >> 4 == 4),
        IPV6 => rest.first().is_some_and(|first| first >> 4 == 6),
        UDP => rest.get(2..4) == Some(&GUE),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MEMBER: [u8; 4] = [10, 9, 0, 1];

    /// An error that quotes the beginning of a packet of a protocol.
    fn error(protocol: u8, inner: &[u8], mtu: u16) -> Vec<u8> {
        let mut header = [0u8; 20];
        (header[0], header[9]) = (0x45, protocol);
        header[16..].copy_from_slice(&MEMBER);
        let mut outer = [0u8; 20];
        (outer[0], outer[9]) = (0x45, 1);
        let icmp = [&[3, 4, 0, 0, 0, 0][..], &mtu.to_be_bytes()].concat();
        [&outer[..], &icmp, &header, inner].concat()
    }

    #[test]
    fn errors_about_what_elb_sent_are_distinguished_from_others() {
        let read = |packet: &[u8]| v4(packet).map(|said| (said.member, said.mtu));
        let to_member = |mtu| Some((IpAddr::from(MEMBER), mtu));
        assert_eq!(read(&error(4, &[0x45, 0, 5, 220, 0, 0, 0, 0], 1400)), to_member(1400));
        assert_eq!(read(&error(41, &[0x60, 0, 0, 0, 0, 0, 0, 0], 1390)), to_member(1390));
        assert_eq!(read(&error(17, &[200, 1, 0x17, 0xc0, 0, 0, 0, 0], 1380)), to_member(1380));
        assert_eq!(read(&error(17, &[200, 1, 0, 53, 0, 0, 0, 0], 1380)), None, "a question of DNS");
        assert_eq!(read(&error(6, &[0x45; 8], 1380)), None, "TCP of this host");
        let mut unreachable = error(4, &[0x45; 8], 1400);
        unreachable[21] = 1;
        assert_eq!(read(&unreachable), None);
    }

    #[test]
    fn the_narrowest_link_is_remembered_for_ten_minutes() {
        let (start, member) = (Instant::now(), IpAddr::from(MEMBER));
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut paths = Paths::default();
        let note = |paths: &mut Paths, mtu, now| paths.note(TooBig { member, mtu }, now);
        assert_eq!(note(&mut paths, 1400, at(0)), Some(1400));
        assert_eq!(note(&mut paths, 1450, at(1)), None, "an older error");
        assert_eq!(note(&mut paths, 1400, at(2)), None);
        assert_eq!(note(&mut paths, 0, at(3)), Some(608), "nothing less is believed");
        assert_eq!(paths.over(at(602)), Vec::<IpAddr>::new());
        assert_eq!(paths.over(at(603)), [member]);
        assert_eq!(note(&mut paths, 1450, at(604)), Some(1450));
    }

    proptest! {
        /// Whatever comes: no panic.
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            let _ = (v4(&bytes), v6(&bytes));
            let mut packet = error(4, &bytes, 1400);
            packet.truncate(bytes.len());
            let _ = v4(&packet);
        }
    }
}
