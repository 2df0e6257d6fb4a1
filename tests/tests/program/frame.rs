//! Frames as bytes, layer by layer from the inside out; checksums are computed the plain way.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0xc1];
pub const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x01];
/// Of an interface on top of the one that frames come by.
pub const UPPER_MAC: [u8; 6] = [2, 0, 0, 0, 1, 0x01];
/// Of another host, or of an interface on top of another one.
pub const FOREIGN_MAC: [u8; 6] = [2, 0, 0, 0, 2, 0x01];

pub const FIN: u8 = 0x01;
pub const SYN: u8 = 0x02;
pub const RST: u8 = 0x04;
pub const ACK: u8 = 0x10;

/// RFC 1071 over bytes; an odd last byte counts as the high one.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let bytes: Vec<u8> = parts.concat();
    let mut sum: u64 = bytes
        .chunks(2)
        .map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A datagram between two addresses that is wrapped layer by layer.
#[derive(Clone, Debug)]
pub struct Packet {
    pub source: IpAddr,
    pub destination: IpAddr,
    pub protocol: u8,
    pub payload: Vec<u8>,
    pub tos: u8,
    pub ttl: u8,
    pub id: u16,
    pub options: Vec<u8>,
    pub fragment: u16,
    pub extensions: Vec<u8>,
    pub first_header: Option<u8>,
}

impl Packet {
    pub fn new(source: &str, destination: IpAddr, protocol: u8, payload: Vec<u8>) -> Self {
        Self {
            source: source.parse().unwrap(),
            destination,
            protocol,
            payload,
            tos: 0,
            ttl: 61,
            id: 0x1234,
            options: vec![],
            fragment: 0x4000,
            extensions: vec![],
            first_header: None,
        }
    }

    /// IPv4 options, padded to a multiple of four by the caller.
    pub fn options(mut self, options: &[u8]) -> Self {
        self.options = options.to_vec();
        self
    }

    /// Flags and offset of the IPv4 header.
    pub fn fragment(mut self, fragment: u16) -> Self {
        self.fragment = fragment;
        self
    }

    /// The packet in fragments of the same datagram, with `size` bytes of payload in each but the
    /// last.
    pub fn fragments(&self, size: usize, id: u32) -> Vec<Self> {
        let mut parts = vec![];
        for (index, part) in self.payload.chunks(size).enumerate() {
            let (offset, more) = (index * size, (index + 1) * size < self.payload.len());
            let mut fragment = Self { payload: part.to_vec(), ..self.clone() };
            if self.source.is_ipv4() {
                fragment.id = id as u16;
                fragment.fragment = (offset / 8) as u16 | u16::from(more) << 13;
            } else {
                let word = offset as u16 | u16::from(more);
                fragment = fragment.extensions(44, &fragment_header(self.protocol, word, id));
            }
            parts.push(fragment);
        }
        parts
    }

    pub fn tos(mut self, tos: u8) -> Self {
        self.tos = tos;
        self
    }

    pub fn ttl(mut self, ttl: u8) -> Self {
        self.ttl = ttl;
        self
    }

    /// IPv6 extension headers, already chained; `first` is the type of the first.
    pub fn extensions(mut self, first: u8, bytes: &[u8]) -> Self {
        self.first_header = Some(first);
        self.extensions = bytes.to_vec();
        self
    }

    pub fn ip(&self) -> Vec<u8> {
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => self.ipv4(source, destination),
            (IpAddr::V6(source), IpAddr::V6(destination)) => self.ipv6(source, destination),
            _ => panic!("{} and {} differ in version", self.source, self.destination),
        }
    }

    fn ipv4(&self, source: Ipv4Addr, destination: Ipv4Addr) -> Vec<u8> {
        let length = 20 + self.options.len();
        let mut header = vec![0x40 | (length / 4) as u8, self.tos];
        header.extend(((length + self.payload.len()) as u16).to_be_bytes());
        header.extend(self.id.to_be_bytes());
        header.extend(self.fragment.to_be_bytes());
        header.extend([self.ttl, self.protocol, 0, 0]);
        header.extend(source.octets());
        header.extend(destination.octets());
        header.extend(&self.options);
        let sum = checksum(&[&header]);
        header[10..12].copy_from_slice(&sum.to_be_bytes());
        [header, self.payload.clone()].concat()
    }

    fn ipv6(&self, source: Ipv6Addr, destination: Ipv6Addr) -> Vec<u8> {
        let mut header = (6u32 << 28 | u32::from(self.tos) << 20 | 0xabcde).to_be_bytes().to_vec();
        header.extend(((self.extensions.len() + self.payload.len()) as u16).to_be_bytes());
        header.extend([self.first_header.unwrap_or(self.protocol), self.ttl]);
        header.extend(source.octets());
        header.extend(destination.octets());
        [header, self.extensions.clone(), self.payload.clone()].concat()
    }

    /// The packet in an Ethernet frame to the load balancer.
    pub fn frame(&self) -> Vec<u8> {
        self.tagged(&[])
    }

    /// The packet in an Ethernet frame with VLAN tags (outer first).
    pub fn tagged(&self, vlans: &[u16]) -> Vec<u8> {
        let ethertype = if self.source.is_ipv4() { 0x0800u16 } else { 0x86dd };
        ethernet(OUR_MAC, CLIENT_MAC, vlans, ethertype, &self.ip())
    }

    /// The packet in an Ethernet frame to another Ethernet address.
    pub fn frame_to(&self, mac: [u8; 6]) -> Vec<u8> {
        let mut frame = self.frame();
        frame[..6].copy_from_slice(&mac);
        frame
    }
}

/// An Ethernet frame; two tags use the service tag outside, as 802.1ad has it.
pub fn ethernet(to: [u8; 6], from: [u8; 6], vlans: &[u16], kind: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [to, from].concat();
    for (i, vlan) in vlans.iter().enumerate() {
        let tag: u16 = if i + 1 < vlans.len() { 0x88a8 } else { 0x8100 };
        bytes.extend(tag.to_be_bytes());
        bytes.extend(vlan.to_be_bytes());
    }
    bytes.extend(kind.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, length: usize) -> Vec<u8> {
    let mut bytes = match (source, destination) {
        (IpAddr::V4(s), IpAddr::V4(d)) => [s.octets(), d.octets()].concat(),
        (IpAddr::V6(s), IpAddr::V6(d)) => [s.octets(), d.octets()].concat(),
        _ => panic!("mixed versions"),
    };
    bytes.extend((length as u32).to_be_bytes());
    bytes.extend(u32::from(protocol).to_be_bytes());
    bytes
}

/// Writes the checksum of a transport or ICMPv6 payload at `offset`.
pub fn seal(packet: &mut Packet, offset: usize) {
    packet.payload[offset..offset + 2].fill(0);
    let (source, destination) = (packet.source, packet.destination);
    let length = packet.payload.len();
    let pseudo = pseudo_header(source, destination, packet.protocol, length);
    let sum = checksum(&[&pseudo, &packet.payload]);
    packet.payload[offset..offset + 2].copy_from_slice(&sum.to_be_bytes());
}

pub fn tcp(
    source: &str,
    port: u16,
    destination: IpAddr,
    to: u16,
    flags: u8,
    data: &[u8],
) -> Packet {
    let mut segment = [port.to_be_bytes(), to.to_be_bytes()].concat();
    segment.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(data);
    let mut packet = Packet::new(source, destination, 6, segment);
    seal(&mut packet, 16);
    packet
}

pub fn udp(source: &str, port: u16, destination: IpAddr, to: u16, data: &[u8]) -> Packet {
    let mut datagram = [port.to_be_bytes(), to.to_be_bytes()].concat();
    datagram.extend(((8 + data.len()) as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(data);
    let mut packet = Packet::new(source, destination, 17, datagram);
    seal(&mut packet, 6);
    packet
}

/// An echo request of the version of `destination`.
pub fn echo(source: &str, destination: IpAddr, data: &[u8]) -> Packet {
    let kind = if destination.is_ipv4() { 8 } else { 128 };
    icmp(source, destination, kind, &[&[0x0a, 0x0b, 0, 1], data].concat())
}

/// A control message of the version of `destination`.
pub fn icmp(source: &str, destination: IpAddr, kind: u8, rest: &[u8]) -> Packet {
    let message = [&[kind, 0, 0, 0], rest].concat();
    if destination.is_ipv4() {
        let mut packet = Packet::new(source, destination, 1, message);
        let sum = checksum(&[&packet.payload]);
        packet.payload[2..4].copy_from_slice(&sum.to_be_bytes());
        packet
    } else {
        let mut packet = Packet::new(source, destination, 58, message);
        seal(&mut packet, 2);
        packet
    }
}

/// An IPv6 fragment header; `word` is offset and flags.
pub fn fragment_header(next: u8, word: u16, id: u32) -> Vec<u8> {
    [&[next, 0][..], &word.to_be_bytes(), &id.to_be_bytes()].concat()
}

/// An error about `packet`, of which it quotes the beginning, to whom sent it.
pub fn error(router: &str, kind: u8, code: u8, word: u32, packet: &[u8]) -> Packet {
    let destination = match packet[0] >> 4 {
        4 => IpAddr::from(<[u8; 4]>::try_from(&packet[12..16]).unwrap()),
        _ => IpAddr::from(<[u8; 16]>::try_from(&packet[8..24]).unwrap()),
    };
    let mut message = icmp(router, destination, kind, &[&word.to_be_bytes(), packet].concat());
    message.payload[1] = code;
    if destination.is_ipv4() {
        message.payload[2..4].fill(0);
        let sum = checksum(&[&message.payload]);
        message.payload[2..4].copy_from_slice(&sum.to_be_bytes());
    } else {
        seal(&mut message, 2);
    }
    message
}

/// The same frame after the packet in it has made a hop: its time to live is one less.
pub fn after_a_hop(frame: &[u8]) -> Vec<u8> {
    let start =
        14 + 4 * frame[12..].chunks(4).take_while(|tag| [0x81, 0x88].contains(&tag[0])).count();
    let mut bytes = frame.to_vec();
    if bytes[start] >> 4 == 6 {
        bytes[start + 7] -= 1;
        return bytes;
    }
    let end = start + usize::from(bytes[start] & 15) * 4;
    bytes[start + 8] -= 1;
    bytes[start + 10..start + 12].fill(0);
    let sum = checksum(&[&bytes[start..end]]);
    bytes[start + 10..start + 12].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// An ARP message.
pub fn arp(operation: u16, sender_mac: [u8; 6], sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut message = vec![0, 1, 8, 0, 6, 4];
    message.extend(operation.to_be_bytes());
    message.extend(sender_mac);
    message.extend(sender.octets());
    message.extend([0; 6]);
    message.extend(target.octets());
    ethernet([0xff; 6], sender_mac, &[], 0x0806, &message)
}

/// A neighbour solicitation for `target`, to its solicited-node group.
pub fn solicitation(source: &str, target: Ipv6Addr, with_option: bool) -> Packet {
    let last = target.octets();
    let group: Ipv6Addr =
        format!("ff02::1:ff{:02x}:{:02x}{:02x}", last[13], last[14], last[15]).parse().unwrap();
    let mut rest = vec![0; 4];
    rest.extend(target.octets());
    if with_option {
        rest.extend([1, 1]);
        rest.extend(CLIENT_MAC);
    }
    icmp(source, group.into(), 135, &rest).ttl(255)
}
