//! The packet travels unchanged inside another IP header: RFC 2003 (IPv4 in IPv4), RFC 4213 §3
//! (IPv6 in IPv4), RFC 2473 (anything in IPv6). DSCP and ECN are copied (RFC 6040 §4.1, normal
//! mode), so that congestion marks survive.

use network_types::eth::EtherType;

use super::super::wire::{Ipv4, Ipv6};
use super::super::{Family, Ip, Link, Packet, Stop};
use crate::addr::{Be16, Be32};
use crate::backend::{Backend, OUTER_FRAGMENT, OUTER_TTL};
use crate::checksum;
use crate::reason::Reason;

/// Puts an IPv4 header in front.
#[inline(always)]
pub(super) fn in_v4<F: Family, P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<F::Addr>,
    backend: &Backend,
) -> Result<(), Stop> {
    const OVERHEAD: u32 = size_of::<Ipv4>() as u32;
    let total_length = Be16::new(super::check_size(ip.length, OVERHEAD, backend)?);
    let variable = u32::from(total_length.raw())
        + u32::from(u16::from_ne_bytes([0, ip.tos]))
        + u32::from(u16::from_ne_bytes([0, F::INNER_PROTOCOL]));
    let header = Ipv4 {
        version_length: 0x45,
        tos: ip.tos,
        total_length,
        identification: Be16::new(0),
        fragment: Be16::new(OUTER_FRAGMENT),
        ttl: OUTER_TTL,
        protocol: F::INNER_PROTOCOL,
        checksum: checksum::finish(backend.outer_sum + variable),
        source: backend.outer_source_v4(),
        destination: backend.address_v4(),
    };
    let ethertype = Be16::from_raw(EtherType::Ipv4 as u16);
    prepend(packet, link, backend, ethertype, header).ok_or(Stop(Reason::NoRoom))
}

/// Puts an IPv6 header in front. Its flow label is the flow's hash, so that routers and network
/// cards spread flows without looking inside (RFC 6438).
#[inline(always)]
pub(super) fn in_v6<F: Family, P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<F::Addr>,
    backend: &Backend,
    hash: u32,
) -> Result<(), Stop> {
    const OVERHEAD: u32 = size_of::<Ipv6>() as u32;
    super::check_size(ip.length, OVERHEAD, backend)?;
    let word = 6 << 28 | u32::from(ip.tos) << 20 | hash >> 12;
    let header = Ipv6 {
        version_class_label: Be32::from_raw(word.to_be()),
        payload_length: Be16::new(ip.length as u16),
        next_header: F::INNER_PROTOCOL,
        hop_limit: OUTER_TTL,
        source: backend.outer_source,
        destination: backend.address,
    };
    let ethertype = Be16::from_raw(EtherType::Ipv6 as u16);
    prepend(packet, link, backend, ethertype, header).ok_or(Stop(Reason::NoRoom))
}

#[inline(always)]
fn prepend<P: Packet, H: bytemuck::Pod>(
    packet: &mut P,
    link: &Link,
    backend: &Backend,
    ethertype: Be16,
    header: H,
) -> Option<()> {
    packet.grow_head(size_of::<H>() as u32)?;
    link.write(packet, backend.next_hop, backend.source, ethertype)?;
    *packet.view_mut(link.end)? = header;
    Some(())
}
