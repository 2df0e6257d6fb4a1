//! Echo requests of ICMP and ICMPv6.

use std::{
    io::{self, Read as _},
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::NetNs;

const CONTENT: &[u8] = b"what is sent comes back, unchanged";
/// Where the number of a request is, and the content after it.
const NUMBER: usize = 6;

/// Sends `count` echo requests from `netns` to `target`, one after the other, and waits for each
/// answer as long as `patience`; returns how many were answered, with what had been sent.
pub fn ping(netns: &NetNs, target: IpAddr, count: u16, patience: Duration) -> Result<usize> {
    // Without this, the kernel gives no one the socket that computes and checks checksums.
    netns.sysctl("ipv4/ping_group_range", "0 0")?;
    let all = netns.run(|| -> io::Result<usize> {
        let socket = open(target, patience)?;
        let mut answered = 0;
        for number in 0..count {
            answered += usize::from(is_answered(&socket, target, number, patience)?);
        }
        Ok(answered)
    })?;
    all.with_context(|| format!("cannot send echo requests to {target}"))
}

fn open(target: IpAddr, patience: Duration) -> io::Result<Socket> {
    let (domain, protocol) = match target {
        IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
        IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(protocol))?;
    socket.connect(&SocketAddr::new(target, 0).into())?;
    socket.set_read_timeout(Some(patience))?;
    Ok(socket)
}

fn is_answered(
    socket: &Socket,
    target: IpAddr,
    number: u16,
    patience: Duration,
) -> io::Result<bool> {
    let (request, answer) = if target.is_ipv4() { (8, 0) } else { (128, 129) };
    let [high, low] = number.to_be_bytes();
    let message = [&[request, 0, 0, 0, 0, 0, high, low], CONTENT].concat();
    let deadline = Instant::now() + patience;
    socket.send(&message)?;
    let (mut stream, mut buffer) = (socket, [0; 256]);
    while Instant::now() < deadline {
        match stream.read(&mut buffer) {
            Ok(length) if is_answer(&buffer[..length], &message, answer) => return Ok(true),
            // The late answer to an earlier request.
            Ok(_) => {}
            // No one answered, or no one has this address.
            Err(error) if is_silence(&error) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

fn is_answer(got: &[u8], sent: &[u8], kind: u8) -> bool {
    // The kernel has given the request an identifier and a checksum of its own.
    got.len() == sent.len() && got[0] == kind && got[NUMBER..] == sent[NUMBER..]
}

fn is_silence(error: &io::Error) -> bool {
    use io::ErrorKind::{HostUnreachable, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | HostUnreachable)
}
