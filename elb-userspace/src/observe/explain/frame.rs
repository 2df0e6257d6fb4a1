//! The frame that a question is about.

use std::net::IpAddr;

use elb_common::path::wire::{Ethernet, Ipv4, Ipv6, Udp};
use etherparse::{
    IpHeaders, Ipv4Extensions, Ipv4Header, Ipv6Extensions, Ipv6Header, PacketBuilder, TcpHeader,
};

use super::{ExplainedPacket, Ingress, quic};
use crate::model::transport::TransportProtocol;

const HOPS: u8 = 64;
const WINDOW: u16 = 0xffff;

/// A frame with the right lengths and checksums, as it comes in at `ingress`; after a connection id, its payload is
/// zeroes.
pub(super) fn build(
    packet: &ExplainedPacket,
    size: Option<u16>,
    ingress: Ingress,
) -> Result<Vec<u8>, String> {
    let payload = payload(packet, size)?;
    let ip = ip_header(packet)?;
    let builder = PacketBuilder::ethernet2(ingress.sender, ingress.mac).ip(ip);
    let (source, destination) = (packet.source.port(), packet.destination.port());
    let mut frame = Vec::new();
    let written = match packet.protocol {
        TransportProtocol::Udp => {
            builder.udp(source, destination).write_to_vec(&mut frame, &payload)
        }
        TransportProtocol::Tcp => {
            let segment = builder.tcp(source, destination, 0, WINDOW);
            let segment = if packet.syn { segment.syn() } else { segment.ack(0) };
            segment.write_to_vec(&mut frame, &payload)
        }
    };
    written.map_err(|error| error.to_string())?;
    Ok(frame)
}

/// What the packet carries, in as many bytes as give it the size that was asked for.
fn payload(packet: &ExplainedPacket, size: Option<u16>) -> Result<Vec<u8>, String> {
    if packet.syn && packet.protocol == TransportProtocol::Udp {
        return Err("UDP has no SYN: leave --syn out, or ask with --proto tcp".to_owned());
    }
    if packet.cid.is_some() && packet.protocol == TransportProtocol::Tcp {
        let what = "TCP has no connection id of QUIC";
        return Err(format!("{what}: leave --cid out, or ask with --proto udp"));
    }
    let headers = transport_offset(packet) - size_of::<Ethernet>() + transport_length(packet);
    let room = size.map_or(0, |size| usize::from(size).saturating_sub(headers));
    let mut payload = match packet.protocol {
        TransportProtocol::Tcp => Vec::new(),
        TransportProtocol::Udp => quic::datagram(packet.cid, room),
    };
    let least = headers + packet.cid.map_or(0, |_| payload.len());
    let length = size.map_or(least, usize::from);
    if length < least {
        let quic = "headers, the longest connection id and the least that follows it,";
        let what = if packet.cid.is_some() { quic } else { "headers" };
        return Err(format!("a packet of {length} bytes has no room for its {what} of {least}"));
    }
    payload.resize(length - headers, 0);
    Ok(payload)
}

/// Bytes before what the IP packet carries.
pub(super) const fn transport_offset(packet: &ExplainedPacket) -> usize {
    let ip = if packet.source.is_ipv4() { size_of::<Ipv4>() } else { size_of::<Ipv6>() };
    size_of::<Ethernet>() + ip
}

/// Without options.
const fn transport_length(packet: &ExplainedPacket) -> usize {
    match packet.protocol {
        TransportProtocol::Tcp => TcpHeader::MIN_LEN,
        TransportProtocol::Udp => size_of::<Udp>(),
    }
}

/// The header of an IP packet; lengths and the checksum are written with what follows.
fn ip_header(packet: &ExplainedPacket) -> Result<IpHeaders, String> {
    let protocol = packet.protocol.number().into();
    match (packet.source.ip(), packet.destination.ip()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let header = Ipv4Header::new(0, HOPS, protocol, source.octets(), destination.octets());
            let mut header = header.map_err(|error| error.to_string())?;
            // As senders that discover the path MTU set it (RFC 1191).
            header.dont_fragment = true;
            Ok(IpHeaders::Ipv4(header, Ipv4Extensions::default()))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let header = Ipv6Header {
                next_header: protocol,
                hop_limit: HOPS,
                source: source.octets(),
                destination: destination.octets(),
                ..Ipv6Header::default()
            };
            Ok(IpHeaders::Ipv6(header, Ipv6Extensions::default()))
        }
        (source, destination) => {
            Err(format!("{source} and {destination} are of different IP versions"))
        }
    }
}
