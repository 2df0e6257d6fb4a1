//! The packet travels inside another IP header: RFC 2003 (IPv4 in IPv4), RFC 4213 §3 (IPv6 in
//! IPv4), RFC 2473 (anything in IPv6).

use super::super::wire::{Ipv4, Ipv6};
use super::super::{Family, Ip, Link, Packet, Stop};
use super::outer;
use crate::backend::Backend;

/// Puts an IPv4 header in front.
#[inline(always)]
pub(super) fn in_v4<F: Family, P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<F::Addr>,
    backend: &Backend,
) -> Result<(), Stop> {
    let length = outer::enter::<F, P>(packet, link, ip, size_of::<Ipv4>(), backend)?;
    let header = outer::ipv4(backend, ip.tos, length, F::INNER_PROTOCOL);
    outer::prepend_v4(packet, link, backend, header)
}

/// Puts an IPv6 header in front.
#[inline(always)]
pub(super) fn in_v6<F: Family, P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<F::Addr>,
    backend: &Backend,
    hash: u32,
) -> Result<(), Stop> {
    let length = outer::enter::<F, P>(packet, link, ip, size_of::<Ipv6>(), backend)?;
    let header = outer::ipv6(backend, ip.tos, length, F::INNER_PROTOCOL, hash);
    outer::prepend_v6(packet, link, backend, header)
}
