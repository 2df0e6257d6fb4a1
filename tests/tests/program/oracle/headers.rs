//! What the headers of a frame say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use elb_common::reason::Reason;

use super::Step;

/// What fragments of one datagram have in common: addresses, protocol (IPv4) and identification.
pub type DatagramId = (IpAddr, IpAddr, u8, u32);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    First,
    Later,
}

pub(super) struct Ip {
    pub(super) source: IpAddr,
    pub(super) destination: IpAddr,
    pub(super) protocol: u8,
    pub(super) tos: u8,
    pub(super) hop_limit: u8,
    pub(super) part: Part,
    pub(super) id: u32,
    /// The whole packet and its payload, as ranges of the frame.
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) payload: usize,
}

/// Ethertype and offset of what follows the tags.
pub(super) fn link(frame: &[u8]) -> Step<(u16, usize)> {
    if frame.len() < 14 {
        return Err(Reason::Truncated);
    }
    let mut at = 12;
    for tags in 0..4 {
        let kind = u16_at(frame, at);
        if kind != 0x8100 && kind != 0x88a8 {
            return Ok((kind, at + 2));
        }
        if tags == 2 {
            return Err(Reason::VlanDepth);
        }
        if frame.len() < at + 6 {
            return Err(Reason::Truncated);
        }
        at += 4;
    }
    unreachable!("three tags are refused")
}

pub(super) fn ipv4(frame: &[u8], start: usize) -> Step<Ip> {
    let ip = ipv4_header(frame, start)?;
    if ip.end > frame.len() { Err(Reason::Truncated) } else { Ok(ip) }
}

pub(super) fn ipv4_header(frame: &[u8], start: usize) -> Step<Ip> {
    let header = frame.get(start..start + 20).ok_or(Reason::Truncated)?;
    let (version, words) = (header[0] >> 4, usize::from(header[0] & 15));
    let total = usize::from(u16_at(header, 2));
    if version != 4 || words < 5 || total < words * 4 {
        return Err(Reason::BadHeader);
    }
    let part = match (u16_at(header, 6) & 0x1fff, u16_at(header, 6) & 0x2000) {
        (0, 0) => Part::Whole,
        (0, _) => Part::First,
        _ => Part::Later,
    };
    Ok(Ip {
        source: ipv4_at(header, 12).into(),
        destination: ipv4_at(header, 16).into(),
        protocol: header[9],
        tos: header[1],
        hop_limit: header[8],
        part,
        id: u16_at(header, 4).into(),
        start,
        end: start + total,
        payload: start + words * 4,
    })
}

pub(super) fn ipv6(frame: &[u8], start: usize) -> Step<Ip> {
    let ip = ipv6_header(frame, start)?;
    if ip.end > frame.len() {
        return Err(Reason::Truncated);
    }
    ipv6_headers(frame, ip)
}

pub(super) fn ipv6_header(frame: &[u8], start: usize) -> Step<Ip> {
    let header = frame.get(start..start + 40).ok_or(Reason::Truncated)?;
    if header[0] >> 4 != 6 {
        return Err(Reason::BadHeader);
    }
    Ok(Ip {
        source: ipv6_at(header, 8).into(),
        destination: ipv6_at(header, 24).into(),
        protocol: header[6],
        tos: header[0] << 4 | header[1] >> 4,
        hop_limit: header[7],
        part: Part::Whole,
        id: 0,
        start,
        end: start + 40 + usize::from(u16_at(header, 4)),
        payload: start + 40,
    })
}

pub(super) fn ipv6_headers(frame: &[u8], mut ip: Ip) -> Step<Ip> {
    let mut walked = 0;
    while [0, 43, 44, 51, 60, 135].contains(&ip.protocol) && ip.part != Part::Later {
        if walked == 8 {
            return Err(Reason::ExtensionHeaders);
        }
        walked += 1;
        let extension = frame.get(ip.payload..ip.payload + 8).ok_or(Reason::Truncated)?;
        let beyond = usize::from(extension[1]);
        ip.payload += match ip.protocol {
            43 if extension[3] != 0 => return Err(Reason::ExtensionHeaders),
            44 => {
                let (offset, more) = (u16_at(extension, 2) & 0xfff8, extension[3] & 1);
                if (offset, more) != (0, 0) {
                    ip.part = if offset == 0 { Part::First } else { Part::Later };
                    ip.id = u32::from_be_bytes(extension[4..8].try_into().unwrap());
                }
                8
            }
            51 => (beyond + 2) * 4,
            _ => (beyond + 1) * 8,
        };
        ip.protocol = extension[0];
    }
    if ip.payload > ip.end { Err(Reason::BadHeader) } else { Ok(ip) }
}

/// In IPv6 the next header of a later fragment says nothing.
pub(super) fn datagram(ip: &Ip) -> DatagramId {
    let protocol = if ip.source.is_ipv4() { ip.protocol } else { 44 };
    (ip.source, ip.destination, protocol, ip.id)
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn ipv4_at(bytes: &[u8], at: usize) -> Ipv4Addr {
    let octets: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
    octets.into()
}

pub(super) fn ipv6_at(bytes: &[u8], at: usize) -> Ipv6Addr {
    let octets: [u8; 16] = bytes[at..at + 16].try_into().unwrap();
    octets.into()
}
