//! A TCP segment that belongs to no connection. A host resets it (RFC 9293 §3.10.7.2), be the port
//! listened on or not, even when the listener is so full that it drops the openings of connections:
//! so a full listener is told from a rule that drops what is for the port.
//!
//! Takes `CAP_NET_RAW`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use elb_common::checksum;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::timeout;

/// Bytes of a TCP header without options.
const HEADER: u8 = 20;
const LENGTH: usize = HEADER as usize;
const ACK: u8 = 0x10;
const RST: u8 = 0x04;
/// Acknowledges what was never sent.
const NUMBER: u32 = 0x1e1b_0001;

/// Whether `target` resets the segment; `None` if it could not be sent.
pub(super) async fn send(
    target: SocketAddr,
    source: Option<IpAddr>,
    limit: Duration,
) -> Option<bool> {
    let source = match source {
        Some(source) => source,
        None => chosen_source(target).await.ok()?,
    };
    let (socket, own, _port) = open(target, source).ok()?;
    socket.send(&segment(own, target)).await.ok()?;
    Some(matches!(timeout(limit, reset(&socket, own, target)).await, Ok(Ok(()))))
}

/// The address that the kernel would send from.
async fn chosen_source(target: SocketAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = if target.is_ipv4() { ([0; 4], 0).into() } else { ([0u16; 8], 0).into() };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(target).await?;
    Ok(socket.local_addr()?.ip())
}

/// A raw socket, and a port that nobody else takes meanwhile.
fn open(target: SocketAddr, source: IpAddr) -> io::Result<(UdpSocket, SocketAddr, TcpSocket)> {
    let port = if target.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    port.bind(SocketAddr::new(source, 0))?;
    let own = port.local_addr()?;
    let socket =
        Socket::new(Domain::for_address(target), Type::RAW.nonblocking(), Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::new(source, 0).into())?;
    socket.connect(&SocketAddr::new(target.ip(), 0).into())?;
    // A raw socket is read and written as one of UDP is.
    Ok((UdpSocket::from_std(socket.into())?, own, port))
}

fn segment(own: SocketAddr, target: SocketAddr) -> [u8; LENGTH] {
    let mut segment = [0; LENGTH];
    segment[..2].copy_from_slice(&own.port().to_be_bytes());
    segment[2..4].copy_from_slice(&target.port().to_be_bytes());
    segment[8..12].copy_from_slice(&NUMBER.to_be_bytes());
    segment[12] = 5 << 4;
    segment[13] = ACK;
    let sum = words(&segment) + pseudo_header(own.ip(), target.ip());
    segment[16..18].copy_from_slice(&checksum::finish(sum).to_ne_bytes());
    segment
}

/// RFC 9293 §3.1, RFC 8200 §8.1: addresses, protocol and length.
fn pseudo_header(source: IpAddr, destination: IpAddr) -> u32 {
    let address = |address: IpAddr| match address {
        IpAddr::V4(v4) => words(&v4.octets()),
        IpAddr::V6(v6) => words(&v6.octets()),
    };
    address(source) + address(destination) + words(&[0, 6, 0, HEADER])
}

fn words(bytes: &[u8]) -> u32 {
    bytes.chunks_exact(2).map(|word| u32::from(u16::from_ne_bytes([word[0], word[1]]))).sum()
}

async fn reset(socket: &UdpSocket, own: SocketAddr, target: SocketAddr) -> io::Result<()> {
    let mut buffer = [0; 256];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if is_reset(&buffer[..length], own, target) {
            return Ok(());
        }
    }
}

/// `packet` begins with its IP header if it is of IPv4.
fn is_reset(packet: &[u8], own: SocketAddr, target: SocketAddr) -> bool {
    let header = match packet.first() {
        Some(first) if own.is_ipv4() => usize::from(first & 0xf) * 4,
        _ => 0,
    };
    packet.get(header..).is_some_and(|segment| {
        segment.len() >= LENGTH
            && segment[..2] == target.port().to_be_bytes()
            && segment[2..4] == own.port().to_be_bytes()
            && segment[13] & RST != 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESSES: [(&str, &str); 2] =
        [("10.0.0.2:40000", "10.0.0.11:80"), ("[fd00::2]:40000", "[fd00::11]:80")];

    #[test]
    fn a_segment_has_a_checksum() {
        for (own, target) in ADDRESSES {
            let (own, target) = (own.parse().unwrap(), target.parse().unwrap());
            let segment = segment(own, target);
            let sum = words(&segment) + pseudo_header(own.ip(), target.ip());
            assert_eq!(checksum::finish(sum), 0);
        }
    }

    #[test]
    fn only_the_reset_of_the_segment_is_one() {
        for (own, target) in ADDRESSES {
            let (own, target): (SocketAddr, SocketAddr) =
                (own.parse().unwrap(), target.parse().unwrap());
            let mut reply = segment(target, own);
            reply[13] = RST;
            let header: &[u8] = if own.is_ipv4() { &[0x45; 20] } else { &[] };
            let is = |segment: &[u8]| is_reset(&[header, segment].concat(), own, target);
            assert!(is(&reply));
            assert!(!is(&segment(own, target)) && !is(&segment(target, own)));
            assert!(!is(&reply[..19]) && !is(&[]));
        }
    }
}
