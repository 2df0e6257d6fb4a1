//! Outer headers: what all tunnels have in common.
//!
//! DSCP and ECN are copied (RFC 6040 §4.1, normal mode), so that congestion marks survive. Entering
//! a tunnel is a hop for the packet (RFC 2003 §3.1, RFC 2473 §3.1).

use network_types::eth::EtherType;

use super::super::wire::{Ipv4, Ipv6};
use super::super::{Family, Ip, Link, Packet, Stop};
use crate::addr::{Be16, Be32};
use crate::backend::{Backend, OUTER_FRAGMENT, OUTER_TTL};
use crate::checksum;
use crate::reason::Reason;

/// Makes the packet ready for a tunnel whose headers have `overhead` bytes; then the length of
/// both together.
#[inline(always)]
pub(super) fn enter<F: Family, P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<F::Addr>,
    overhead: usize,
    backend: &Backend,
) -> Result<u16, Stop> {
    if ip.hop_limit <= 1 {
        return Err(Stop(Reason::TtlExpired));
    }
    let length = super::check_size(ip.length, overhead as u32, backend)?;
    F::age(packet, link.end)?;
    Ok(length)
}

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

/// The outer IPv6 header of a packet that has `length` bytes then. Its flow label is the flow's
/// hash, so that routers and network cards spread flows without looking inside (RFC 6438).
#[inline(always)]
pub(super) fn ipv6(backend: &Backend, tos: u8, length: u16, next_header: u8, hash: u32) -> Ipv6 {
    let word = 6 << 28 | u32::from(tos) << 20 | hash >> 12;
    Ipv6 {
        version_class_label: Be32::from_raw(word.to_be()),
        payload_length: Be16::new(length.wrapping_sub(size_of::<Ipv6>() as u16)),
        next_header,
        hop_limit: OUTER_TTL,
        source: backend.outer_source,
        destination: backend.address,
    }
}

/// Puts headers in front that start with an IPv4 header.
#[inline(always)]
pub(super) fn prepend_v4<P: Packet, H: bytemuck::Pod>(
    packet: &mut P,
    link: &Link,
    backend: &Backend,
    headers: H,
) -> Result<(), Stop> {
    let ethertype = Be16::from_raw(EtherType::Ipv4 as u16);
    prepend(packet, link, backend, ethertype, headers).ok_or(Stop(Reason::NoRoom))
}

/// Puts headers in front that start with an IPv6 header.
#[inline(always)]
pub(super) fn prepend_v6<P: Packet, H: bytemuck::Pod>(
    packet: &mut P,
    link: &Link,
    backend: &Backend,
    headers: H,
) -> Result<(), Stop> {
    let ethertype = Be16::from_raw(EtherType::Ipv6 as u16);
    prepend(packet, link, backend, ethertype, headers).ok_or(Stop(Reason::NoRoom))
}

#[inline(always)]
fn prepend<P: Packet, H: bytemuck::Pod>(
    packet: &mut P,
    link: &Link,
    backend: &Backend,
    ethertype: Be16,
    headers: H,
) -> Option<()> {
    packet.grow_head(size_of::<H>() as u32)?;
    link.write(packet, backend.next_hop, backend.source, ethertype)?;
    *packet.view_mut(link.end)? = headers;
    Some(())
}
