//! Outer headers: what all tunnels have in common.
//!
//! DSCP and ECN are copied (RFC 6040 §4.1, normal mode), so that congestion marks survive. Entering
//! a tunnel is a hop for the packet (RFC 2003 §3.1, RFC 2473 §3.1).

use bytemuck::{Pod, Zeroable};
use network_types::eth::EtherType;

use super::super::wire::{Ethernet, Ipv4, Ipv6};
use super::super::{Family, Link, Packet, Stop};
use super::Tunnel;
use crate::addr::{Be16, Be32, Be128};
use crate::backend::{Backend, OUTER_FRAGMENT, OUTER_TTL};
use crate::checksum;
use crate::reason::Reason;

/// The outer IPv4 header of a packet that has `length` bytes then.
#[inline(always)]
pub(super) fn ipv4(backend: &Backend, tos: u8, length: u16, protocol: u8) -> Ipv4 {
    let total_length = Be16::new(length);
    let variable = u32::from(total_length.raw())
        + u32::from(u16::from_ne_bytes([0, tos]))
        + u32::from(u16::from_ne_bytes([0, protocol]));
    Ipv4 {
        version_length: 0x45,
        tos,
        total_length,
        identification: Be16::new(0),
        fragment: Be16::new(OUTER_FRAGMENT),
        ttl: OUTER_TTL,
        protocol,
        checksum: checksum::finish(backend.outer_sum + variable),
        source: backend.outer_source_v4(),
        destination: backend.address_v4(),
    }
}

/// The outer IPv6 header in front of `length` bytes. Its flow label is the flow's
/// hash, so that routers and network cards spread flows without looking inside (RFC 6438).
#[inline(always)]
pub(super) fn ipv6(backend: &Backend, tos: u8, length: u16, next_header: u8, hash: u32) -> Ipv6 {
    let word = 6 << 28 | u32::from(tos) << 20 | hash >> 12;
    Ipv6 {
        version_class_label: Be32::from_raw(word.to_be()),
        payload_length: Be16::new(length),
        next_header,
        hop_limit: OUTER_TTL,
        // By words: as records they would be copied by the two bytes that they are aligned to.
        source: Be128::from_raw(backend.outer_source.raw()),
        destination: Be128::from_raw(backend.address.raw()),
    }
}

/// The headers that were put in front, and what changes of the packet's own.
#[repr(C, packed)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Encapsulated<H> {
    outer: H,
    /// The first words of its IP header.
    inner: [Be32; 3],
}

/// The same in a frame without tags.
#[repr(C, packed)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Untagged<H> {
    addresses: [Be32; 3],
    ethertype: Be16,
    packet: Encapsulated<H>,
}

/// Puts headers in front that start with an IPv4 header.
#[inline(always)]
pub(super) fn prepend_v4<F: Family, P: Packet, H: Pod>(
    packet: &mut P,
    link: &Link,
    tunnel: &Tunnel<'_>,
    make: impl FnOnce(&Tunnel<'_>, u8) -> H,
) -> Result<(), Stop> {
    let ethertype = Be16::from_raw(EtherType::Ipv4 as u16);
    prepend::<F, P, H>(packet, link, tunnel, ethertype, make)
        .ok_or_else(|| Stop::because(Reason::NoRoom))
}

/// Puts headers in front that start with an IPv6 header.
#[inline(always)]
pub(super) fn prepend_v6<F: Family, P: Packet, H: Pod>(
    packet: &mut P,
    link: &Link,
    tunnel: &Tunnel<'_>,
    make: impl FnOnce(&Tunnel<'_>, u8) -> H,
) -> Result<(), Stop> {
    let ethertype = Be16::from_raw(EtherType::Ipv6 as u16);
    prepend::<F, P, H>(packet, link, tunnel, ethertype, make)
        .ok_or_else(|| Stop::because(Reason::NoRoom))
}

/// One view of all that is written, where there are no tags: each takes a bounds check. Nothing is read
/// before the frame grew that would have to be kept meanwhile.
#[inline(always)]
fn prepend<F: Family, P: Packet, H: Pod>(
    packet: &mut P,
    link: &Link,
    tunnel: &Tunnel<'_>,
    ethertype: Be16,
    make: impl FnOnce(&Tunnel<'_>, u8) -> H,
) -> Option<()> {
    packet.grow_head(size_of::<H>() as u32)?;
    let place: &mut Encapsulated<H> = if link.is_untagged() {
        let frame: &mut Untagged<H> = packet.view_mut(0)?;
        (frame.addresses, frame.ethertype) = (tunnel.backend.ethernet(), ethertype);
        // No reference to the field of a packed record, unless its alignment is known to be 1.
        let bytes = &mut bytemuck::bytes_of_mut(frame)[size_of::<Ethernet>()..];
        bytemuck::try_from_bytes_mut(bytes).ok()?
    } else {
        let Backend { next_hop, source, .. } = *tunnel.backend;
        link.write(packet, size_of::<H>(), next_hop, source, ethertype)?;
        packet.view_mut(link.end)?
    };
    let tos = F::tos(place.inner[0].raw());
    let hop = F::after_hop(place.inner[F::HOP_WORD].raw());
    place.inner[F::HOP_WORD] = Be32::from_raw(hop);
    place.outer = make(tunnel, tos);
    Some(())
}
