//! An ICMP echo request, and whether it is answered.
//!
//! Ping sockets need no privilege where `net.ipv4.ping_group_range` has the agent's group; raw
//! sockets need `CAP_NET_RAW`.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::SocketAddr;

use etherparse::{IcmpEchoHeader, Icmpv4Header, Icmpv4Type, Icmpv6Header, Icmpv6Type};
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
};
use socket2::{Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::connect::{no_resource, socket};
use super::datagram::{connected, failure};
use super::path::Flow;
use super::spec::ProbeSpec;
use super::{Cause, Failure};

/// Type, code, checksum, identifier and sequence number (RFC 792), and a number of our own.
const LENGTH: usize = 16;
const OWN: usize = 8;
/// The longest header of IPv4.
const MAX_HEADER: usize = 60;

/// Succeeds when the target answers.
pub(crate) async fn check(probe: &ProbeSpec, deadline: Instant) -> Result<(), Failure> {
    ask(probe, open(probe)?, LENGTH, deadline).await
}

/// Succeeds when the target answers a request in a packet of so many bytes, its IP header included,
/// that no router on the way may divide, whatever the kernel knows of the way.
pub(crate) async fn check_undivided(
    probe: &ProbeSpec,
    bytes: u16,
    deadline: Instant,
) -> Result<(), Failure> {
    let (socket, kind) = open(probe)?;
    let (set, header) = if probe.target.is_ipv4() {
        (set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::PROBE), 20)
    } else {
        (set_ipv6_mtu_discover(&socket, Ipv6PathMtuDiscovery::PROBE), 40)
    };
    set.map_err(|error| no_resource(&error.into()))?;
    let length = usize::from(bytes).saturating_sub(header).max(LENGTH);
    ask(probe, (socket, kind), length, deadline).await
}

/// Sends a request of `length` bytes and waits for the answer.
async fn ask(
    probe: &ProbeSpec,
    (socket, kind): (Socket, Type),
    length: usize,
    deadline: Instant,
) -> Result<(), Failure> {
    let target = probe.target.ip();
    let peer = SocketAddr::new(target, 0);
    let request = request(target.is_ipv4(), RandomState::new().hash_one(target), length);
    route_probe(probe, &socket, kind, &request).map_err(|error| no_resource(&error))?;
    let socket = connected(socket, peer)?;
    let has_header = kind == Type::RAW && target.is_ipv4();
    let answered = async {
        socket.send(&request).await?;
        answer(&socket, &request, has_header).await
    };
    match timeout_at(deadline, answered).await {
        Err(_) => Err(Cause::NoEchoReply.into()),
        Ok(answered) => answered.map_err(|error| failure(&socket, target, &error)),
    }
}

fn open(probe: &ProbeSpec) -> Result<(Socket, Type), Failure> {
    let protocol = if probe.target.is_ipv4() { Protocol::ICMPV4 } else { Protocol::ICMPV6 };
    let open = |kind| socket(probe, kind, protocol).map(|socket| (socket, kind));
    open(Type::DGRAM).or_else(|_| open(Type::RAW))
}

/// Lets the request go to the member, if it is not addressed to it: the identifier, which a ping
/// socket has for a port, shows that it is this one.
fn route_probe(probe: &ProbeSpec, socket: &Socket, kind: Type, request: &[u8]) -> io::Result<()> {
    let Some(routing) = &probe.routing else { return Ok(()) };
    let source = socket.local_addr()?.as_socket();
    let mut source = source.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    if kind == Type::RAW {
        source.set_port(u16::from_be_bytes([request[4], request[5]]));
    }
    let protocol = if source.is_ipv4() { Flow::ICMP } else { Flow::ICMPV6 };
    let destination = SocketAddr::new(probe.target.ip(), 0);
    routing.router.route(Flow { protocol, source, destination }, routing.backend)
}

fn request(is_ipv4: bool, number: u64, length: usize) -> Vec<u8> {
    let [high, low, ..] = number.to_be_bytes();
    // A ping socket has an identifier of its own, and the kernel adds it and the checksum.
    let echo = IcmpEchoHeader { id: u16::from_be_bytes([high, low]), seq: 1 };
    let mut payload = vec![0; length.next_multiple_of(2) - OWN];
    payload[..LENGTH - OWN].copy_from_slice(&number.to_be_bytes());
    if is_ipv4 {
        let header = Icmpv4Header::with_checksum(Icmpv4Type::EchoRequest(echo), &payload);
        [&header.to_bytes()[..], &payload].concat()
    } else {
        let header = Icmpv6Header::new(Icmpv6Type::EchoRequest(echo));
        [&header.to_bytes()[..], &payload].concat()
    }
}

/// Waits for the answer; `has_header`: what is read begins with the header of IPv4.
async fn answer(socket: &UdpSocket, request: &[u8], has_header: bool) -> io::Result<()> {
    let mut buffer = vec![0; MAX_HEADER + request.len()];
    loop {
        let length = socket.recv(&mut buffer).await?;
        if is_answer(&buffer[..length], request, has_header) {
            return Ok(());
        }
    }
}

fn is_answer(packet: &[u8], request: &[u8], has_header: bool) -> bool {
    let header = match packet.first() {
        Some(first) if has_header => usize::from(first & 0xf) * 4,
        _ => 0,
    };
    let Some(message) = packet.get(header..) else { return false };
    let reply = if request[0] == 8 { 0 } else { 129 };
    message.len() == request.len() && message[0] == reply && message[OWN..] == request[OWN..]
}

#[cfg(test)]
mod tests {
    use elb_common::checksum;

    use super::*;

    #[test]
    fn only_the_answer_is_one() {
        for is_ipv4 in [true, false] {
            let request = request(is_ipv4, 0x0123_4567_89ab_cdef, LENGTH);
            let mut reply = request.clone();
            reply[0] = if is_ipv4 { 0 } else { 129 };
            assert!(is_answer(&reply, &request, false));
            let behind = [&[0x46; 24][..], &reply].concat();
            assert!(is_answer(&behind, &request, true));
            let mut late = reply.clone();
            late[OWN] += 1;
            let cases = [&request[..], &late, &reply[..12], &[], &[0x4f], &[0; 40]];
            for packet in cases {
                assert!(!is_answer(packet, &request, false), "{packet:?}");
                assert!(!is_answer(packet, &request, true), "{packet:?}");
            }
        }
    }

    #[test]
    fn a_request_has_a_checksum() {
        let request = request(true, 0x0123_4567_89ab_cdef, 1500);
        let words =
            request.chunks_exact(2).map(|word| u32::from(u16::from_ne_bytes([word[0], word[1]])));
        assert_eq!(checksum::finish(words.sum()), 0);
    }
}
