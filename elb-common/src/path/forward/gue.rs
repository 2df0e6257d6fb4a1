//! The packet travels in Generic UDP Encapsulation, variant 0 (draft-ietf-intarea-gue-09), so that
//! routers and network cards, which know UDP, spread flows: each flow has a source port.
//!
//! The UDP checksum is zero. The packet inside has checksums of its own, and RFC 6935 and RFC 6936
//! allow it for tunnels over IPv6 too; `elb backend up` and Linux's fou take such packets.

use bytemuck::{Pod, Zeroable};
use network_types::ip::IpProto;

use super::super::Family;
use super::super::wire::{Gue, Ipv4, Ipv6, Udp};
use super::{Tunnel, outer};
use crate::addr::Be16;
use crate::backend::GUE_PORT;

/// What comes in front of the packet over IPv4.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct HeadersV4 {
    ip: Ipv4,
    udp: Udp,
    gue: Gue,
}

/// What comes in front of the packet over IPv6.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct HeadersV6 {
    ip: Ipv6,
    udp: Udp,
    gue: Gue,
}

const UDP: u8 = IpProto::Udp as u8;

/// What comes in front of a packet with this type of service over IPv4.
#[inline(always)]
pub(super) fn in_v4<F: Family>(tunnel: &Tunnel<'_>, tos: u8) -> HeadersV4 {
    let length = tunnel.length.wrapping_add(size_of::<HeadersV4>() as u16);
    HeadersV4 {
        ip: outer::ipv4(tunnel.backend, tos, length, UDP),
        udp: udp(length.wrapping_sub(size_of::<Ipv4>() as u16), tunnel.hash),
        gue: gue::<F>(),
    }
}

/// What comes in front of a packet with this type of service over IPv6.
#[inline(always)]
pub(super) fn in_v6<F: Family>(tunnel: &Tunnel<'_>, tos: u8) -> HeadersV6 {
    const OVERHEAD: usize = size_of::<HeadersV6>() - size_of::<Ipv6>();
    let length = tunnel.length.wrapping_add(OVERHEAD as u16);
    HeadersV6 {
        ip: outer::ipv6(tunnel.backend, tos, length, UDP, tunnel.hash),
        udp: udp(length, tunnel.hash),
        gue: gue::<F>(),
    }
}

/// The source port is one of the dynamic ports (RFC 6335 §6), chosen by the bits of the flow's hash
/// that choose a slot last.
#[inline(always)]
const fn udp(length: u16, hash: u32) -> Udp {
    Udp {
        source: Be16::new(0xc000 | hash as u16),
        destination: Be16::new(GUE_PORT),
        length: Be16::new(length),
        checksum: 0,
    }
}

#[inline(always)]
const fn gue<F: Family>() -> Gue {
    Gue { variant_length: 0, protocol: F::INNER_PROTOCOL, flags: Be16::new(0) }
}
