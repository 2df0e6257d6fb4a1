//! What the flow log says of a frame.

use network_types::eth::EtherType;

use super::peek::{Ends, ends, mapped};
use super::wire::Tcp;
use super::{Family, Ip, Packet, V4, V6, parse};
use crate::addr::{Be32, Be128};
use crate::flow::Ports;
use crate::flow_log::{FlowEvent, known};

const IPV4: u16 = EtherType::Ipv4 as u16;
const IPV6: u16 = EtherType::Ipv6 as u16;
const ARP: u16 = EtherType::Arp as u16;

/// Writes down what a frame says, as it came. What it does not say stays unknown.
#[inline(always)]
pub fn describe<P: Packet>(packet: &P, event: &mut FlowEvent) {
    nothing(event);
    (event.length, event.known) = (packet.length(), known::LENGTH);
    event.ingress = packet.ingress();
    let Ok(link) = parse::link(packet) else { return };
    match link.ethertype.raw() {
        IPV4 => {
            if let Ok(ip) = V4::parse(packet, link.end) {
                return inside::<V4, P>(packet, &ip, event, v4);
            }
        }
        IPV6 => {
            if let Ok(ip) = V6::parse(packet, link.end) {
                return inside::<V6, P>(packet, &ip, event, v6);
            }
        }
        ARP => event.known |= known::ARP,
        _ => return,
    }
    if let Some(Ends { source, destination }) = ends(packet) {
        (event.source, event.destination) = (source, destination);
        event.known |= known::ENDS;
    }
}

/// Nothing is known of a frame.
#[inline(always)]
pub fn nothing(event: &mut FlowEvent) {
    (event.source, event.destination) = ([0; 2], [0; 2]);
    event.ports = Ports::default();
    (event.sequence, event.data, event.protocol, event.flags) = (0, 0, 0, 0);
    (event.length, event.known) = (0, 0);
}

#[inline(always)]
fn inside<F: Family, P: Packet>(
    packet: &P,
    ip: &Ip<F::Addr>,
    event: &mut FlowEvent,
    words: fn(F::Addr) -> [u64; 2],
) {
    (event.source, event.destination) = (words(ip.source), words(ip.destination));
    event.protocol = u32::from(ip.protocol);
    event.known |= known::ENDS | known::PROTOCOL;
    if ip.is_later_fragment() || !parse::is_transport(ip.protocol) {
        return;
    }
    let Ok(transport) = parse::transport(packet, ip) else { return };
    event.ports = transport.ports;
    event.known |= known::PORTS;
    if transport.is_udp() {
        return;
    }
    let Some(segment) = packet.view::<Tcp>(ip.payload) else { return };
    event.sequence = u32::from_be(segment.sequence.raw());
    event.flags = u32::from(segment.flags);
    event.data = ip.payload_length.wrapping_sub(u32::from(segment.offset >> 4) * 4);
    event.known |= known::SEGMENT;
}

#[inline(always)]
const fn v4(address: Be32) -> [u64; 2] {
    mapped(address)
}

#[inline(always)]
const fn v6(address: Be128) -> [u64; 2] {
    address.words()
}
