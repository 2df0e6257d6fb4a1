//! Frames of ARP and neighbour discovery: who asks for an address, says that it has one, or answers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use elb_common::addr::Mac;
use etherparse::icmpv6::NeighborAdvertisementHeader;
use etherparse::{
    ArpEthIpv4Packet, ArpOperation, Icmpv6Type, LinkSlice, NetSlice, PacketBuilder, SlicedPacket,
    TransportSlice,
};

pub(super) const BROADCAST: Mac = Mac::new([0xff; 6]);
const ALL_NODES_MAC: Mac = Mac::new([0x33, 0x33, 0, 0, 0, 1]);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// RFC 4291 §2.7.1 and RFC 2464 §7: the Ethernet group that solicitations for an address go to.
pub fn solicited_node_mac(address: Ipv6Addr) -> Mac {
    let [.., a, b, c] = address.octets();
    Mac::new([0x33, 0x33, 0xff, a, b, c])
}

/// RFC 5227 §3: the address is that of `mac`.
pub(super) fn gratuitous_arp(mac: Mac, vip: Ipv4Addr) -> Vec<u8> {
    arp(mac, vip, vip)
}

/// RFC 5227 §2.1.1: a request without a sender's address, from which no host learns anything.
pub(super) fn arp_probe(mac: Mac, vip: Ipv4Addr) -> Vec<u8> {
    arp(mac, Ipv4Addr::UNSPECIFIED, vip)
}

fn arp(mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let request = ArpEthIpv4Packet {
        operation: ArpOperation::REQUEST,
        sender_mac: mac.bytes(),
        sender_ipv4: sender.octets(),
        target_mac: [0; 6],
        target_ipv4: target.octets(),
    };
    let mut frame = Vec::new();
    let builder = PacketBuilder::ethernet2(mac.bytes(), BROADCAST.bytes()).arp(request.into());
    builder.write_to_vec(&mut frame).expect("an ARP packet has no length that varies");
    frame
}

/// RFC 4861 §7.2.6: the address is that of `mac`, whatever was known before.
pub(super) fn unsolicited_advertisement(mac: Mac, vip: Ipv6Addr) -> Vec<u8> {
    const TARGET_LINK_ADDRESS: u8 = 2;
    let header = NeighborAdvertisementHeader { router: false, solicited: false, r#override: true };
    let option = [&[TARGET_LINK_ADDRESS, 1][..], &mac.bytes()].concat();
    let message = Icmpv6Type::NeighborAdvertisement(header);
    neighbor((mac, ALL_NODES_MAC), (vip, ALL_NODES), message, vip, &option)
}

/// RFC 4862 §5.4.2: a solicitation without a sender's address, to those who may have the address.
pub(super) fn solicitation(mac: Mac, vip: Ipv6Addr) -> Vec<u8> {
    let [.., a, b, c] = vip.octets();
    let group =
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), u16::from_be_bytes([b, c]));
    let ips = (Ipv6Addr::UNSPECIFIED, group);
    neighbor((mac, solicited_node_mac(vip)), ips, Icmpv6Type::NeighborSolicitation, vip, &[])
}

/// A message of neighbour discovery about `target`. Sources are given first.
fn neighbor(
    macs: (Mac, Mac),
    ips: (Ipv6Addr, Ipv6Addr),
    message: Icmpv6Type,
    target: Ipv6Addr,
    option: &[u8],
) -> Vec<u8> {
    const HOP_LIMIT: u8 = 255;
    let builder = PacketBuilder::ethernet2(macs.0.bytes(), macs.1.bytes())
        .ipv6(ips.0.octets(), ips.1.octets(), HOP_LIMIT)
        .icmpv6(message);
    let mut frame = Vec::new();
    let payload = [&target.octets(), option].concat();
    builder.write_to_vec(&mut frame, &payload).expect("24 bytes are not too many");
    frame
}

/// Whose an ARP reply or a neighbour advertisement says an address is.
pub(super) fn answer(frame: &[u8]) -> Option<(IpAddr, Mac)> {
    let packet = SlicedPacket::from_ethernet(frame).ok()?;
    match (packet.net?, packet.transport) {
        (NetSlice::Arp(arp), _) => {
            let arp = ArpEthIpv4Packet::try_from(arp.to_packet()).ok()?;
            (arp.operation == ArpOperation::REPLY)
                .then(|| (arp.sender_ipv4_addr().into(), Mac::new(arp.sender_mac)))
        }
        (NetSlice::Ipv6(_), Some(TransportSlice::Icmpv6(message))) => {
            let target: [u8; 16] = *message.payload().first_chunk()?;
            let Some(LinkSlice::Ethernet2(ethernet)) = packet.link else { return None };
            matches!(message.icmp_type(), Icmpv6Type::NeighborAdvertisement(_))
                .then(|| (Ipv6Addr::from(target).into(), Mac::new(ethernet.source())))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
