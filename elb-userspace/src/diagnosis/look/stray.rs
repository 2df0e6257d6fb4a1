//! A TCP segment that belongs to no connection. A host resets it (RFC 9293 §3.10.7.2), be the port
//! listened on or not, even when the listener is so full that it drops the openings of connections:
//! so a full listener is distinguished from a rule that drops what is for the port.
//!
//! Takes `CAP_NET_RAW`.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use etherparse::TcpHeader;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpSocket, UdpSocket};
use tokio::time::timeout;

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

/// A raw socket, and a port that no other program takes meanwhile.
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

fn segment(own: SocketAddr, target: SocketAddr) -> Vec<u8> {
    const WINDOW: u16 = 0;
    let mut header = TcpHeader::new(own.port(), target.port(), 0, WINDOW);
    (header.ack, header.acknowledgment_number) = (true, NUMBER);
    header.checksum = checksum(&header, own.ip(), target.ip());
    header.to_bytes().to_vec()
}

/// Of a segment without data.
fn checksum(header: &TcpHeader, source: IpAddr, destination: IpAddr) -> u16 {
    let sum = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            header.calc_checksum_ipv4_raw(source.octets(), destination.octets(), &[])
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            header.calc_checksum_ipv6_raw(source.octets(), destination.octets(), &[])
        }
        _ => return 0,
    };
    sum.unwrap_or_default()
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
    let segment = packet.get(header..).and_then(|segment| TcpHeader::from_slice(segment).ok());
    segment.is_some_and(|(segment, _)| {
        let ports = (segment.source_port, segment.destination_port);
        segment.rst && ports == (target.port(), own.port())
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
            let (own, target): (SocketAddr, SocketAddr) =
                (own.parse().unwrap(), target.parse().unwrap());
            let segment = segment(own, target);
            assert_eq!((segment.len(), segment[13]), (20, 0x10));
            let octets = |address: IpAddr| match address {
                IpAddr::V4(v4) => v4.octets().to_vec(),
                IpAddr::V6(v6) => v6.octets().to_vec(),
            };
            let pseudo_header = [octets(own.ip()), octets(target.ip()), vec![0, 6, 0, 20]].concat();
            let covered = [pseudo_header, segment].concat();
            let words =
                covered.chunks(2).map(|word| u32::from(u16::from_ne_bytes([word[0], word[1]])));
            assert_eq!(elb_common::checksum::finish(words.sum()), 0);
        }
    }

    #[test]
    fn only_the_reset_of_the_segment_is_one() {
        for (own, target) in ADDRESSES {
            let (own, target): (SocketAddr, SocketAddr) =
                (own.parse().unwrap(), target.parse().unwrap());
            let mut reply = segment(target, own);
            reply[13] = 0x04; // RST
            let header: &[u8] = if own.is_ipv4() { &[0x45; 20] } else { &[] };
            let is = |segment: &[u8]| is_reset(&[header, segment].concat(), own, target);
            assert!(is(&reply));
            assert!(!is(&segment(own, target)) && !is(&segment(target, own)));
            assert!(!is(&reply[..19]) && !is(&[]));
        }
    }
}
