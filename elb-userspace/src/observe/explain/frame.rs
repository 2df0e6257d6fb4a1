//! The frame that a question is about.

use std::net::IpAddr;

use bytemuck::bytes_of;
use elb_common::addr::{Be16, Be32, Mac};
use elb_common::checksum;
use elb_common::path::wire::{Ethernet, Ipv4, Ipv6, Tcp, Udp};

use super::{ExplainedPacket, TransportProtocol, quic};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// As senders that discover the path MTU set it (RFC 1191).
const DONT_FRAGMENT: u16 = 0x4000;
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
/// Of a TCP header without options; the record in `wire` is shorter.
const TCP_LENGTH: usize = 20;
/// The client's Ethernet address: one that is administered locally.
const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0];

/// A frame with the right lengths, addressed to `mac`; what it carries is zeroes behind what tells a
/// connection id, and there is no transport checksum, which nobody on the way looks at.
pub(super) fn build(
    packet: &ExplainedPacket,
    size: Option<u16>,
    mac: [u8; 6],
) -> Result<Vec<u8>, String> {
    let (source, destination) = (packet.source.ip(), packet.destination.ip());
    let transport = match packet.protocol {
        TransportProtocol::Tcp => TCP_LENGTH,
        TransportProtocol::Udp => size_of::<Udp>(),
    };
    let header = ip_header(packet);
    if packet.syn && packet.protocol == TransportProtocol::Udp {
        return Err("UDP has no SYN: leave --syn out, or ask with --proto tcp".to_owned());
    }
    if packet.cid.is_some() && packet.protocol == TransportProtocol::Tcp {
        let what = "TCP has no connection id of QUIC";
        return Err(format!("{what}: leave --cid out, or ask with --proto udp"));
    }
    let room = size.map_or(0, |size| usize::from(size).saturating_sub(header + transport));
    let carried = match packet.protocol {
        TransportProtocol::Tcp => Vec::new(),
        TransportProtocol::Udp => quic::datagram(packet.cid, room),
    };
    let least = header + transport + packet.cid.map_or(0, |_| carried.len());
    let length = size.map_or(least, usize::from);
    if length < least {
        let quic = "headers, the longest connection id and the least that follows it,";
        let what = if packet.cid.is_some() { quic } else { "headers" };
        return Err(format!("a packet of {length} bytes has no room for its {what} of {least}"));
    }
    let payload = length - header;
    let (ethertype, ip) = match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let addresses = (bytemuck::cast(source.octets()), bytemuck::cast(destination.octets()));
            (IPV4, bytes_of(&ipv4(packet.protocol, addresses, word(length))).to_vec())
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = Ipv6 {
                version_class_label: Be32::from_raw(0x6000_0000_u32.to_be()),
                payload_length: word(payload),
                next_header: packet.protocol.number(),
                hop_limit: 64,
                source: bytemuck::cast(source.octets()),
                destination: bytemuck::cast(destination.octets()),
            };
            (IPV6, bytes_of(&header).to_vec())
        }
        _ => return Err(format!("{source} and {destination} are of different IP versions")),
    };
    let ethernet = Ethernet {
        destination: Mac::new(mac),
        source: Mac::new(CLIENT_MAC),
        ethertype: Be16::new(ethertype),
    };
    let transport = transport_header(packet, word(payload));
    let mut frame = [bytes_of(&ethernet), &ip, &transport, &carried].concat();
    frame.resize(size_of::<Ethernet>() + length, 0);
    Ok(frame)
}

/// Bytes before what the IP packet carries.
pub(super) const fn transport_offset(packet: &ExplainedPacket) -> usize {
    size_of::<Ethernet>() + ip_header(packet)
}

const fn ip_header(packet: &ExplainedPacket) -> usize {
    if packet.source.is_ipv4() { size_of::<Ipv4>() } else { size_of::<Ipv6>() }
}

fn ipv4(
    protocol: TransportProtocol,
    (source, destination): (Be32, Be32),
    total_length: Be16,
) -> Ipv4 {
    let mut header = Ipv4 {
        version_length: 0x45,
        total_length,
        fragment: Be16::new(DONT_FRAGMENT),
        ttl: 64,
        protocol: protocol.number(),
        source,
        destination,
        ..Ipv4::default()
    };
    let words: &[u16] = bytemuck::cast_slice(std::slice::from_ref(&header));
    header.checksum = checksum::finish(words.iter().map(|word| u32::from(*word)).sum());
    header
}

fn transport_header(packet: &ExplainedPacket, length: Be16) -> Vec<u8> {
    let source = Be16::new(packet.source.port());
    let destination = Be16::new(packet.destination.port());
    match packet.protocol {
        TransportProtocol::Tcp => {
            let flags = if packet.syn { SYN } else { ACK };
            let offset = 0x50;
            let header = Tcp { source, destination, offset, flags, ..Tcp::default() };
            bytes_of(&header).to_vec()
        }
        TransportProtocol::Udp => {
            bytes_of(&Udp { source, destination, length, checksum: 0 }).to_vec()
        }
    }
}

/// A length; those of packets are 16 bits.
fn word(length: usize) -> Be16 {
    Be16::new(u16::try_from(length).unwrap_or(u16::MAX))
}
