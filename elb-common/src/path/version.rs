//! A packet becomes one of the other IP version (RFC 7915): its headers are written anew, its payload stays where it
//! lies.
//!
//! Options of IPv4 and extension headers of IPv6 end here (RFC 7915 §4.1, §5.1.1), except for the fragment header. What
//! changes of TCP and UDP is the caller's.

pub(super) mod error;
pub(super) mod sum;

use network_types::eth::EtherType;

use super::wire::{Extension, Ipv4, Ipv6};
use super::{Ip, Link, Packet, Stop};
use crate::addr::{Be16, Be32, Be128, Mac};
use crate::checksum;
use crate::reason::Reason;

/// Length of a fragment header.
pub(super) const FRAGMENT: usize = size_of::<Extension>();
/// Protocol number of a fragment header.
const FRAGMENT_HEADER: u8 = 44;
/// The longest IPv6 packet that every link carries (RFC 8200 §5).
pub(super) const LEAST_MTU: u32 = 1280;
/// Bytes that an IPv6 header is longer by.
pub(super) const LONGER: usize = size_of::<Ipv6>() - size_of::<Ipv4>();

/// IPv4: no router may take the packet apart.
const KEPT_WHOLE: u16 = 1 << 14;
/// IPv4: fragments follow.
const MORE: u16 = 1 << 13;
/// Where a fragment lies, in units of 8 bytes.
const PLACE: u16 = MORE - 1;

/// Sender and receiver of the frame.
#[derive(Clone, Copy)]
pub(super) struct Hop {
    /// Receiver.
    pub(super) destination: Mac,
    /// Sender.
    pub(super) source: Mac,
}

/// Sender and receiver of the packet.
#[derive(Clone, Copy)]
pub(super) struct Ends<A> {
    /// Sender.
    pub(super) source: A,
    /// Receiver.
    pub(super) destination: A,
}

/// Makes an IPv6 packet of the IPv4 packet whose header is `ip`, with a hop less; its time to live must be greater than
/// one.
#[inline(always)]
pub(super) fn to_v6<P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<Be32>,
    hop: Hop,
    ends: Ends<Be128>,
) -> Result<(), Stop> {
    let truncated = || Stop(Reason::Truncated);
    let header: &Ipv4 = packet.view(link.end).ok_or_else(truncated)?;
    let Ipv4 { fragment, identification, .. } = *header;
    let is_part = fragment.get() & (MORE | PLACE) != 0;
    let length = ip.payload - link.end;
    let tags = link.tags(packet, 0).ok_or_else(truncated)?;
    if length > size_of::<Ipv4>() {
        let options = (length - size_of::<Ipv4>()) as u32;
        packet.shrink_head(options).ok_or_else(truncated)?;
    }
    let more = if is_part { FRAGMENT } else { 0 };
    packet.grow_head((LONGER + more) as u32).ok_or(Stop(Reason::NoRoom))?;
    link.write_tagged(packet, tags, hop.destination, hop.source, Be16::from_raw(IPV6))
        .ok_or_else(truncated)?;
    let payload_length = (ip.length as usize).wrapping_sub(length).wrapping_add(more);
    *packet.view_mut(link.end).ok_or_else(truncated)? = Ipv6 {
        version_class_label: Be32::from_raw((6 << 28 | u32::from(ip.tos) << 20).to_be()),
        payload_length: Be16::new(payload_length as u16),
        next_header: if is_part { FRAGMENT_HEADER } else { ip.protocol },
        hop_limit: ip.hop_limit.wrapping_sub(1),
        source: ends.source,
        destination: ends.destination,
    };
    let payload = link.end + size_of::<Ipv6>();
    if !is_part {
        return Ok(());
    }
    let place = (fragment.get() & PLACE) << 3 | u16::from(fragment.get() & MORE != 0);
    *packet.view_mut(payload).ok_or_else(truncated)? = Extension {
        next_header: ip.protocol,
        length: 0,
        word: Be16::new(place),
        rest: Be32::from_raw(u32::from(identification.get()).to_be()),
    };
    Ok(())
}

/// Where an IPv4 packet lies in a series of fragments, and which series that is.
#[derive(Clone, Copy)]
struct Part {
    fragment: u16,
    identification: u16,
}

/// Makes an IPv4 packet of the IPv6 packet whose header is `ip`, with a hop less; its hop limit must be greater than one.
/// `number` tells a small packet from others of the same ends, since routers may take it apart: a sender of IPv6 does
/// not lower its packets below 1280 bytes (RFC 7915 §5.1).
#[inline(always)]
pub(super) fn to_v4<P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<Be128>,
    hop: Hop,
    (ends, number): (Ends<Be32>, u16),
) -> Result<(), Stop> {
    let truncated = || Stop(Reason::Truncated);
    let part = part(packet, link, ip, number)?;
    let length = length_v4(link, ip);
    let shorter = ip.payload.wrapping_sub(link.end).wrapping_sub(size_of::<Ipv4>());
    let tags = link.tags(packet, 0).ok_or_else(truncated)?;
    packet.shrink_head(shorter as u32).ok_or_else(truncated)?;
    link.write_tagged(packet, tags, hop.destination, hop.source, Be16::from_raw(IPV4))
        .ok_or_else(truncated)?;
    let says = Says { tos: ip.tos, ttl: ip.hop_limit.wrapping_sub(1), protocol: ip.protocol };
    *packet.view_mut(link.end).ok_or_else(truncated)? = ipv4(says, length as u16, part, ends);
    Ok(())
}

/// What a header says besides lengths and addresses.
#[derive(Clone, Copy)]
struct Says {
    tos: u8,
    ttl: u8,
    protocol: u8,
}

/// An IPv4 header. Its sum is taken of numbers: of a record in memory, it would take more of the BPF stack.
#[inline(always)]
fn ipv4(Says { tos, ttl, protocol }: Says, length: u16, part: Part, ends: Ends<Be32>) -> Ipv4 {
    let Part { fragment, identification } = part;
    let words = u32::from(u16::from_ne_bytes([0x45, tos]))
        + u32::from(length.to_be())
        + u32::from(identification.to_be())
        + u32::from(fragment.to_be())
        + u32::from(u16::from_ne_bytes([ttl, protocol]));
    let addresses =
        checksum::add_u32(ends.source.raw()) + checksum::add_u32(ends.destination.raw());
    Ipv4 {
        version_length: 0x45,
        tos,
        total_length: Be16::new(length),
        identification: Be16::new(identification),
        fragment: Be16::new(fragment),
        ttl,
        protocol,
        checksum: checksum::finish(words + addresses),
        source: ends.source,
        destination: ends.destination,
    }
}

/// The length of an IPv6 packet as one of IPv4.
#[inline(always)]
pub(super) fn length_v4(link: &Link, ip: &Ip<Be128>) -> u32 {
    let headers = ip.payload.wrapping_sub(link.end) as u32;
    ip.length.wrapping_sub(headers).wrapping_add(size_of::<Ipv4>() as u32)
}

/// What the IPv4 header says of fragments.
#[inline(always)]
fn part<P: Packet>(packet: &P, link: &Link, ip: &Ip<Be128>, number: u16) -> Result<Part, Stop> {
    let truncated = || Stop(Reason::Truncated);
    if !ip.is_first_fragment() && !ip.is_later_fragment() {
        let is_small = ip.length <= LEAST_MTU;
        let fragment = if is_small { 0 } else { KEPT_WHOLE };
        return Ok(Part { fragment, identification: if is_small { number } else { 0 } });
    }
    let header: &Ipv6 = packet.view(link.end).ok_or_else(truncated)?;
    // Headers before it would end here, those behind it belong to what was taken apart.
    let is_alone = header.next_header == FRAGMENT_HEADER
        && ip.payload == link.end + size_of::<Ipv6>() + FRAGMENT;
    if !is_alone {
        return Err(Stop(Reason::ExtensionHeaders));
    }
    let header: &Extension = packet.view(link.end + size_of::<Ipv6>()).ok_or_else(truncated)?;
    let word = header.word.get();
    let more = if word & 1 != 0 { MORE } else { 0 };
    let [_, identification] = header.rest.halves();
    Ok(Part { fragment: word >> 3 | more, identification: identification.get() })
}

/// The sum of the words of an IPv4 header.
#[inline(always)]
fn sum_of(header: &Ipv4) -> u32 {
    let [a, b, c, d, e]: [u32; 5] = bytemuck::cast(*header);
    checksum::from_u32s([a, b, c, d, e].iter().fold(0, |sum, word| sum + u64::from(*word)))
}

const IPV4: u16 = EtherType::Ipv4 as u16;
const IPV6: u16 = EtherType::Ipv6 as u16;
