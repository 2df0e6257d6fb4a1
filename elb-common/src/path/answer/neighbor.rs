//! Neighbour solicitations for announced virtual addresses (RFC 4861 §7.2).

use network_types::ip::IpProto;

use super::super::wire::{Icmp, Ipv6, LinkAddressOption, Neighbor};
use super::super::{Ip, Link, Outcome, Packet, Stop, Tables, classify};
use crate::addr::{Be16, Be32, Be128, Mac};
use crate::checksum;
use crate::listener::vip_flags;
use crate::reason::Reason;

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// Neighbour discovery is 133 (router solicitation) to 137 (redirect).
const DISCOVERY: core::ops::RangeInclusive<u8> = 133..=137;

/// §4.4: the answer to a solicitation.
const SOLICITED: u32 = 1 << 30;
/// §4.4: replaces what the receiver knows.
const OVERRIDE: u32 = 1 << 29;

/// All nodes on the link, `ff02::1`, and its Ethernet address (RFC 2464 §7).
const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
const ALL_NODES_MAC: Mac = Mac::new([0x33, 0x33, 0, 0, 0, 1]);

/// Length of an advertisement with the target's link-layer address.
const MESSAGE: u32 = (size_of::<Neighbor>() + size_of::<LinkAddressOption>()) as u32;

/// Answers a solicitation, and notices a host that claims one of the addresses.
#[inline(always)]
pub(in super::super) fn neighbor<P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<Be128>,
    kind: u8,
) -> Result<Outcome, Stop> {
    if !DISCOVERY.contains(&kind) {
        return Err(Stop(Reason::OtherProtocol));
    }
    let other = Stop(Reason::NeighborOther);
    let plain = ip.payload == link.end + size_of::<Ipv6>();
    if ip.hop_limit != 255 || !plain || ip.payload_length < size_of::<Neighbor>() as u32 {
        return Err(other);
    }
    let message: Neighbor = *packet.view(ip.payload).ok_or(Stop(Reason::Truncated))?;
    let vip = tables.vip_v6(message.target).ok_or(other)?;
    if vip.flags & vip_flags::ANNOUNCE == 0 || message.icmp.code != 0 {
        return Err(other);
    }
    if !link.destination.is_group() {
        classify::addressed(packet, tables, link)?;
    }
    let interface = tables.interface(packet.ingress()).ok_or(other)?;
    if interface.is_quiet() {
        return Err(other);
    }
    let ours = interface.mac;
    if kind == ADVERTISEMENT && link.source != ours {
        return Err(Stop(Reason::VipConflict));
    }
    if kind != SOLICITATION {
        return Err(other);
    }
    packet.set_len(link.end as u32 + size_of::<Ipv6>() as u32 + MESSAGE).ok_or(NO_ROOM)?;
    advertise(packet, link, ip, message.target, ours).ok_or(NO_ROOM)?;
    Ok(Outcome::Answer(Reason::NeighborAnswered))
}

const NO_ROOM: Stop = Stop(Reason::NoRoom);

/// Writes the advertisement over the solicitation. A solicitation from the unspecified address
/// asks whether the address is free (RFC 4862 §5.4): all hosts learn that it is not.
#[inline(always)]
fn advertise<P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<Be128>,
    target: Be128,
    ours: Mac,
) -> Option<()> {
    let [high, low] = ip.source.words();
    let probing = high | low == 0;
    let (destination, receiver, flags) = if probing {
        (bytemuck::cast(ALL_NODES), ALL_NODES_MAC, OVERRIDE)
    } else {
        (ip.source, link.source, SOLICITED | OVERRIDE)
    };
    link.write(packet, 0, receiver, ours, link.ethertype)?;
    *packet.view_mut(link.end)? = Ipv6 {
        version_class_label: Be32::from_raw((6u32 << 28).to_be()),
        payload_length: Be16::new(MESSAGE as u16),
        next_header: IpProto::Ipv6Icmp as u8,
        hop_limit: 255,
        source: target,
        destination,
    };
    let mut message = Neighbor {
        icmp: Icmp { kind: ADVERTISEMENT, code: 0, checksum: 0 },
        flags: Be32::from_raw(flags.to_be()),
        target,
    };
    let option = LinkAddressOption { kind: 2, length: 1, mac: ours };
    message.icmp.checksum = message_checksum(&message, &option, destination);
    *packet.view_mut(ip.payload)? = message;
    *packet.view_mut(ip.payload + size_of::<Neighbor>())? = option;
    Some(())
}

/// RFC 8200 §8.1: the message and a pseudo-header of addresses, length and next header. The
/// source address is the target.
#[inline(always)]
fn message_checksum(message: &Neighbor, option: &LinkAddressOption, destination: Be128) -> u16 {
    let option: [u16; 4] = bytemuck::cast(*option);
    let header = u32::from(u16::from_ne_bytes([ADVERTISEMENT, 0]))
        + checksum::add_u32(MESSAGE.to_be())
        + checksum::add_u32(u32::from(IpProto::Ipv6Icmp as u8).to_be())
        + checksum::add_u32(message.flags.raw());
    let mut sum = header;
    for word in message.target.raw() {
        sum += 2 * checksum::add_u32(word);
    }
    for word in destination.raw() {
        sum += checksum::add_u32(word);
    }
    for word in option {
        sum += u32::from(word);
    }
    checksum::finish(sum)
}
