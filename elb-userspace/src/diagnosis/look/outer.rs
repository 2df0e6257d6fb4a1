//! Whether the member takes outer headers off: a host that does not says so with ICMP, to the source
//! of the outer header, where no socket of a probe hears it.
//!
//! Takes `CAP_NET_RAW`.

use std::io;
use std::net::IpAddr;
use std::pin::pin;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use elb_common::backend::GUE_PORT;

/// Does `work`, and returns whether `member` complained meanwhile of packets in outer headers.
pub(super) async fn complaint_during<T>(
    member: IpAddr,
    work: impl Future<Output = T>,
) -> (T, bool) {
    let mut work = pin!(work);
    let Ok(socket) = open(member) else { return (work.await, false) };
    let mut heard = pin!(complaint(&socket, member));
    tokio::select! {
        biased;
        done = &mut work => (done, false),
        complained = &mut heard => (work.await, complained.is_ok()),
    }
}

fn open(member: IpAddr) -> io::Result<UdpSocket> {
    let (domain, protocol) = match member {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::RAW.nonblocking(), Some(protocol))?;
    // A raw socket is read as one of UDP is.
    UdpSocket::from_std(socket.into())
}

async fn complaint(socket: &UdpSocket, member: IpAddr) -> io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        if from.ip() == member && is_complaint(&buffer[..length], member) {
            return Ok(());
        }
    }
}

/// Whether a message is an ICMP error about an outer header for `member`: its protocol, or its port,
/// is not known. One of IPv4 begins with its IP header.
fn is_complaint(packet: &[u8], member: IpAddr) -> bool {
    let found = match member {
        IpAddr::V4(_) => of_v4(packet),
        IpAddr::V6(_) => of_v6(packet),
    };
    found.is_some_and(|(destination, protocol, port)| {
        let tunnel = match protocol {
            4 | 41 => true,
            17 => port == Some(GUE_PORT),
            _ => false,
        };
        destination == member && tunnel
    })
}

/// Destination, protocol and destination port of the packet that an error is about.
type About = (IpAddr, u8, Option<u16>);

/// Protocol or port unreachable (RFC 792).
fn of_v4(packet: &[u8]) -> Option<About> {
    let message = packet.get(usize::from(packet.first()? & 0xf) * 4..)?;
    let quoted = message.get(8..).filter(|_| message[0] == 3 && [2, 3].contains(&message[1]))?;
    let destination: [u8; 4] = quoted.get(16..20)?.try_into().ok()?;
    let header = usize::from(quoted[0] & 0xf) * 4;
    Some((destination.into(), quoted[9], port(quoted, header)))
}

/// Port unreachable, or an unknown next header (RFC 4443 §3.1, §3.4).
fn of_v6(message: &[u8]) -> Option<About> {
    let quoted = message.get(8..).filter(|_| matches!(message[..2], [1, 4] | [4, 1]))?;
    let destination: [u8; 16] = quoted.get(24..40)?.try_into().ok()?;
    Some((destination.into(), quoted[6], port(quoted, 40)))
}

fn port(quoted: &[u8], header: usize) -> Option<u16> {
    let port = quoted.get(header + 2..header + 4)?;
    Some(u16::from_be_bytes([port[0], port[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ICMP error about a packet for `member` with this protocol and port.
    fn error(member: IpAddr, kind: [u8; 2], protocol: u8, port: u16) -> Vec<u8> {
        let mut quoted = match member {
            IpAddr::V4(v4) => {
                let mut header = vec![0; 20];
                (header[0], header[9]) = (0x45, protocol);
                header[16..].copy_from_slice(&v4.octets());
                header
            }
            IpAddr::V6(v6) => {
                let mut header = vec![0; 40];
                header[6] = protocol;
                header[24..].copy_from_slice(&v6.octets());
                header
            }
        };
        quoted.extend([0, 0]);
        quoted.extend(port.to_be_bytes());
        let own = if member.is_ipv4() { vec![0x45; 20] } else { Vec::new() };
        [&own[..], &kind, &[0; 6], &quoted].concat()
    }

    #[test]
    fn only_errors_about_outer_headers_for_the_member_count() {
        let v4 = IpAddr::from([10, 0, 0, 11]);
        let v6: IpAddr = "fd00::11".parse().unwrap();
        for (member, protocol, port) in [(v4, [3, 2], [3, 3]), (v6, [4, 1], [1, 4])] {
            assert!(is_complaint(&error(member, protocol, 4, 0), member));
            assert!(is_complaint(&error(member, protocol, 41, 0), member));
            assert!(is_complaint(&error(member, port, 17, GUE_PORT), member));
            assert!(!is_complaint(&error(member, port, 17, 53), member));
            assert!(!is_complaint(&error(member, port, 6, GUE_PORT), member));
            assert!(!is_complaint(&error(member, [8, 0], 4, 0), member));
            let other =
                if member == v4 { [10, 0, 0, 12].into() } else { "fd00::12".parse().unwrap() };
            assert!(!is_complaint(&error(other, protocol, 4, 0), member));
            let whole = error(member, port, 17, GUE_PORT);
            for length in 0..whole.len() {
                assert!(!is_complaint(&whole[..length], member), "{length}");
            }
        }
    }
}
