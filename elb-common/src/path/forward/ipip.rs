//! The packet travels inside another IP header: RFC 2003 (IPv4 in IPv4), RFC 4213 §3 (IPv6 in
//! IPv4), RFC 2473 (anything in IPv6).

use super::super::Family;
use super::super::wire::{Ipv4, Ipv6};
use super::{Tunnel, outer};

/// The IPv4 header that comes in front of a packet with this type of service.
#[inline(always)]
pub(super) fn in_v4<F: Family>(tunnel: &Tunnel<'_>, tos: u8) -> Ipv4 {
    let length = tunnel.length.wrapping_add(size_of::<Ipv4>() as u16);
    outer::ipv4(tunnel.backend, tos, length, F::INNER_PROTOCOL)
}

/// The IPv6 header that comes in front of a packet with this type of service.
#[inline(always)]
pub(super) fn in_v6<F: Family>(tunnel: &Tunnel<'_>, tos: u8) -> Ipv6 {
    outer::ipv6(tunnel.backend, tos, tunnel.length, F::INNER_PROTOCOL, tunnel.hash)
}
