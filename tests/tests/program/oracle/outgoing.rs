//! What leaves: the packet wrapped for its backend, or the answer that it is too big for that.

use std::net::IpAddr;

use elb_common::reason::Reason;

use super::headers::{Ip, Part, ipv4_header, ipv6_header, ipv6_headers, u16_at};
use super::{Expected, Step, answered};
use crate::frame::*;
use crate::world::*;

/// The answer that a packet of `mtu` bytes would fit: from the virtual address, to whom it was
/// known by, and the way it came.
pub(super) fn too_big(frame: &[u8], ip: &Ip, mtu: u16) -> Step<Expected> {
    let host = match ip.source {
        IpAddr::V4(v4) => !matches!(v4.octets()[0], 0 | 127 | 224..),
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast(),
    };
    let (least, quoted) = if ip.source.is_ipv4() { (576, 544) } else { (1280, 1232) };
    let flow = [TCP, UDP].contains(&ip.protocol) && ip.part != Part::Later;
    if !flow || !host || mtu < least {
        return Err(Reason::TooBig);
    }
    let vip = ip.destination.to_string();
    let quote = &frame[ip.start..ip.start + quoted];
    let mut message = if ip.source.is_ipv4() {
        let mut message = error(&vip, 3, 4, mtu.into(), quote);
        message.tos = 0xc0;
        message.id = 0;
        message
    } else {
        error(&vip, 2, 0, mtu.into(), quote)
    };
    message.ttl = 64;
    let mut packet = message.ip();
    if ip.source.is_ipv6() {
        packet[0..4].copy_from_slice(&[0x60, 0, 0, 0]);
    }
    let mut bytes = frame[..ip.start].to_vec();
    bytes[0..6].copy_from_slice(&frame[6..12]);
    bytes[6..12].copy_from_slice(&frame[0..6]);
    bytes.extend(packet);
    Ok(answered(bytes, Reason::TooBigAnswered))
}

/// The answer that no one takes a packet: a reset, or that the port is unreachable.
pub(super) fn refused(frame: &[u8], ip: &Ip) -> Step<Expected> {
    let one_host = match ip.source {
        IpAddr::V4(v4) => ![0, 127].contains(&v4.octets()[0]) && v4.octets()[0] < 224,
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_multicast(),
    };
    if !one_host || ip.part != Part::Whole {
        return Err(Reason::ClosedPort);
    }
    let mut answer = if ip.protocol == UDP {
        let header = if ip.source.is_ipv4() { 20 } else { 40 };
        if ip.payload != ip.start + header {
            return Err(Reason::ClosedPort);
        }
        let quote = &frame[ip.start..ip.payload + 8];
        let (kind, code) = if ip.source.is_ipv4() { (3, 3) } else { (1, 4) };
        let mut message = error(&ip.destination.to_string(), kind, code, 0, quote);
        message.tos = 0xc0;
        message
    } else {
        reset(frame, ip)?
    };
    (answer.ttl, answer.id) = (64, 0);
    let mut packet = answer.ip();
    if ip.source.is_ipv6() {
        packet[0..4].copy_from_slice(&[0x60, 0, 0, 0]);
    }
    let mut bytes = frame[..ip.start].to_vec();
    bytes[0..6].copy_from_slice(&frame[6..12]);
    bytes[6..12].copy_from_slice(&frame[0..6]);
    bytes.extend(packet);
    Ok(answered(bytes, Reason::ClosedPortAnswered))
}

/// RFC 9293 §3.10.7.1.
fn reset(frame: &[u8], ip: &Ip) -> Step<Packet> {
    let segment = &frame[ip.payload..];
    let flags = segment[13];
    if flags & RST != 0 {
        return Err(Reason::ClosedPort);
    }
    let word = |at: usize| u32::from_be_bytes(segment[at..at + 4].try_into().unwrap());
    let data = ip.end - ip.payload - usize::from(segment[12] >> 4) * 4;
    let length = data as u32 + u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
    let (sequence, acknowledged, flags) = if flags & ACK != 0 {
        (word(8), 0, RST)
    } else {
        (0, word(4).wrapping_add(length), RST | ACK)
    };
    let ports = (u16_at(segment, 2), u16_at(segment, 0));
    let mut answer = tcp(&ip.destination.to_string(), ports.0, ip.source, ports.1, flags, b"");
    answer.payload[4..8].copy_from_slice(&sequence.to_be_bytes());
    answer.payload[8..12].copy_from_slice(&acknowledged.to_be_bytes());
    answer.payload[14..16].fill(0);
    seal(&mut answer, 16);
    Ok(answer)
}

/// Bytes that a packet grows by.
pub(super) fn overhead(backend: &BackendSpec) -> usize {
    match (backend.mode, backend.address) {
        (Mode::L2 | Mode::Nat(_), _) => 0,
        (Mode::Ipip, IpAddr::V4(_)) => 20,
        (Mode::Ipip, IpAddr::V6(_)) => 40,
        (Mode::Gue, IpAddr::V4(_)) => 20 + 8 + 4,
        (Mode::Gue, IpAddr::V6(_)) => 40 + 8 + 4,
    }
}

/// The frame as the backend must get it.
pub(super) fn wrap(frame: &[u8], ip: &Ip, backend: &BackendSpec, hash: u32) -> Vec<u8> {
    let mut bytes = frame.to_vec();
    bytes[0..6].copy_from_slice(&backend.mac);
    bytes[6..12].copy_from_slice(&OUR_MAC);
    hop(&mut bytes, ip);
    if let Mode::Nat(port) = backend.mode
        && ![TCP, UDP].contains(&ip.protocol)
        && ip.part != Part::Later
    {
        replace_quoted(&mut bytes, ip, End::Source, backend.address, port);
        return bytes;
    }
    if let Mode::Nat(port) = backend.mode {
        let port = if port == 0 { u16_at(frame, ip.payload + 2) } else { port };
        replace(&mut bytes, ip, End::Destination, backend.address, port);
        return bytes;
    }
    if backend.mode == Mode::L2 {
        return bytes;
    }
    let length = ip.end - ip.start;
    let inside = if ip.source.is_ipv4() { 4 } else { 41 };
    let (next, between) = match backend.mode {
        Mode::Gue => (UDP, gue(length, inside, hash)),
        Mode::L2 | Mode::Ipip | Mode::Nat(_) => (inside, vec![]),
    };
    let (kind, header) = match backend.address {
        IpAddr::V4(address) => {
            let mut header = vec![0x45, ip.tos];
            header.extend(((20 + between.len() + length) as u16).to_be_bytes());
            header.extend([0, 0, 0x40, 0, 64, next, 0, 0]);
            header.extend(LB4.octets());
            header.extend(address.octets());
            let sum = checksum(&[&header]);
            header[10..12].copy_from_slice(&sum.to_be_bytes());
            (0x0800u16, header)
        }
        IpAddr::V6(address) => {
            let word = 6u32 << 28 | u32::from(ip.tos) << 20 | hash >> 12;
            let mut header = word.to_be_bytes().to_vec();
            header.extend(((between.len() + length) as u16).to_be_bytes());
            header.extend([next, 64]);
            header.extend(LB6.octets());
            header.extend(address.octets());
            (0x86dd, header)
        }
    };
    bytes[ip.start - 2..ip.start].copy_from_slice(&kind.to_be_bytes());
    bytes.splice(ip.start..ip.start, [header, between].concat());
    bytes
}

/// One of the two ends of a packet.
#[derive(Clone, Copy)]
pub(super) enum End {
    Source,
    Destination,
}

/// The packet with another address and, where it shows one, another port; checksums follow word by word.
pub(super) fn replace(bytes: &mut [u8], ip: &Ip, end: End, address: IpAddr, port: u16) {
    let second = usize::from(matches!(end, End::Destination));
    let (at, new) = match address {
        IpAddr::V4(new) => (ip.start + 12 + 4 * second, new.octets().to_vec()),
        IpAddr::V6(new) => (ip.start + 8 + 16 * second, new.octets().to_vec()),
    };
    let mut changes: Vec<(u16, u16)> = (0..new.len() / 2)
        .map(|word| (u16_at(bytes, at + 2 * word), u16_at(&new, 2 * word)))
        .collect();
    bytes[at..at + new.len()].copy_from_slice(&new);
    if address.is_ipv4() {
        patch_all(bytes, ip.start + 10, &changes);
    }
    if ip.part == Part::Later {
        return;
    }
    let at = ip.payload + 2 * second;
    changes.push((u16_at(bytes, at), port));
    bytes[at..at + 2].copy_from_slice(&port.to_be_bytes());
    if ip.protocol == TCP {
        patch_all(bytes, ip.payload + 16, &changes);
    } else if u16_at(bytes, ip.payload + 6) != 0 {
        patch_all(bytes, ip.payload + 6, &changes);
        // RFC 768: 0 says that there is none.
        if u16_at(bytes, ip.payload + 6) == 0 {
            bytes[ip.payload + 6..ip.payload + 8].fill(0xff);
        }
    }
}

/// An error, one end of whose quoted packet gets another address and port, and the other end of the error itself the
/// same address if it had that one; checksums follow word by word.
pub(super) fn replace_quoted(bytes: &mut [u8], ip: &Ip, end: End, address: IpAddr, port: u16) {
    let v4 = address.is_ipv4();
    let start = ip.payload + 8;
    let quoted = if v4 { ipv4_header(bytes, start) } else { quoted_v6(bytes, start) };
    let Ok(quoted) = quoted else { panic!("it was read before") };
    let second = usize::from(matches!(end, End::Destination));
    let new = octets(address);
    let (outer, inner) = (address_at(ip, 1 - second), address_at(&quoted, second));
    let mut covered = vec![];
    let changes = write_words(bytes, inner, &new);
    if v4 {
        let before = u16_at(bytes, start + 10);
        patch_all(bytes, start + 10, &changes);
        covered.push((before, u16_at(bytes, start + 10)));
    }
    covered.extend(&changes);
    let at = quoted.payload + 2 * second;
    let port = if port == 0 { u16_at(bytes, at) } else { port };
    let mut all = changes.clone();
    all.extend(write_words(bytes, at, &port.to_be_bytes()));
    covered.push(all[all.len() - 1]);
    let sum = quoted.payload + if quoted.protocol == TCP { 16 } else { 6 };
    if sum + 2 <= ip.end && (quoted.protocol == TCP || u16_at(bytes, sum) != 0) {
        let before = u16_at(bytes, sum);
        patch_all(bytes, sum, &all);
        if quoted.protocol == UDP && u16_at(bytes, sum) == 0 {
            bytes[sum..sum + 2].fill(0xff);
        }
        covered.push((before, u16_at(bytes, sum)));
    }
    // The address of the error itself is that of the quoted packet's end, unless a router says so.
    let is_its_own = bytes[outer..outer + new.len()] == octets_before(&changes)[..];
    if is_its_own {
        let changes = write_words(bytes, outer, &new);
        if v4 {
            patch_all(bytes, ip.start + 10, &changes);
        } else {
            covered.extend(changes);
        }
    }
    patch_all(bytes, ip.payload + 2, &covered);
}

fn quoted_v6(bytes: &[u8], start: usize) -> Step<Ip> {
    ipv6_headers(bytes, ipv6_header(bytes, start)?)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Where the address of an end is: 0, the source.
fn address_at(ip: &Ip, end: usize) -> usize {
    if ip.source.is_ipv4() { ip.start + 12 + 4 * end } else { ip.start + 8 + 16 * end }
}

/// Writes words, and says what each was and is.
fn write_words(bytes: &mut [u8], at: usize, new: &[u8]) -> Vec<(u16, u16)> {
    let changes = (0..new.len()).step_by(2);
    let changes = changes.map(|n| (u16_at(bytes, at + n), u16_at(new, n))).collect();
    bytes[at..at + new.len()].copy_from_slice(new);
    changes
}

fn octets_before(changes: &[(u16, u16)]) -> Vec<u8> {
    changes.iter().flat_map(|(before, _)| before.to_be_bytes()).collect()
}

/// One hop less, and in IPv4 a checksum that says so.
pub(super) fn hop(bytes: &mut [u8], ip: &Ip) {
    if ip.source.is_ipv6() {
        bytes[ip.start + 7] -= 1;
        return;
    }
    let old = u16_at(bytes, ip.start + 8);
    bytes[ip.start + 8] -= 1;
    let new = u16_at(bytes, ip.start + 8);
    patch(bytes, ip.start + 10, old, new);
}

/// A UDP header from one of the dynamic ports, without a checksum, and a GUE header of variant 0.
fn gue(length: usize, inside: u8, hash: u32) -> Vec<u8> {
    let port = 49_152 + (hash % 16_384) as u16;
    let words = [port, 6080, (8 + 4 + length) as u16, 0].map(u16::to_be_bytes);
    [words.as_flattened(), &[0, inside, 0, 0]].concat()
}

/// The checksum at `at` after a word changed, by RFC 1624 in plain arithmetic.
pub(super) fn patch(bytes: &mut [u8], at: usize, old: u16, new: u16) {
    patch_all(bytes, at, &[(old, new)]);
}

/// The same after several words changed, each from what it was to what it is.
fn patch_all(bytes: &mut [u8], at: usize, changes: &[(u16, u16)]) {
    let differences = changes.iter().map(|(old, new)| u32::from(!old) + u32::from(*new));
    let mut sum = u32::from(!u16_at(bytes, at)) + differences.sum::<u32>();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    bytes[at..at + 2].copy_from_slice(&(!(sum as u16)).to_be_bytes());
}
