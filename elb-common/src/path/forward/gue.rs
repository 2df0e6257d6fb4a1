//! The packet travels in Generic UDP Encapsulation, variant 0 (draft-ietf-intarea-gue-09), so that
//! routers and network cards, which know UDP, spread flows: each flow has a source port.
//!
//! The UDP checksum is zero. The packet inside has checksums of its own, and RFC 6935 and RFC 6936
//! allow it for tunnels over IPv6 too; `elb backend up` and Linux's fou take such packets.

use bytemuck::{Pod, Zeroable};
use network_types::ip::IpProto;

use super::super::wire::{Gue, Ipv4, Ipv6, Udp};
use super::super::{Family, Ip, Link, Packet, Stop};
use super::outer;
use crate::addr::Be16;
use crate::backend::{Backend, GUE_PORT};

/// What comes in front of the packet over IPv4.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct HeadersV4 {
    ip: Ipv4,
    udp: Udp,
    gue: Gue,
}

/// What comes in front of the packet over IPv6.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct HeadersV6 {
    ip: Ipv6,
    udp: Udp,
    gue: Gue,
}

const UDP: u8 = IpProto::Udp as u8;

/// Puts IPv4, UDP and GUE headers in front.
#[inline(always)]
pub(super) fn in_v4<F: Family, P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<F::Addr>,
    backend: &Backend,
    hash: u32,
) -> Result<(), Stop> {
    let length = outer::enter::<F, P>(packet, link, ip, size_of::<HeadersV4>(), backend)?;
    let headers = HeadersV4 {
        ip: outer::ipv4(backend, ip.tos, length, UDP),
        udp: udp(length.wrapping_sub(size_of::<Ipv4>() as u16), hash),
        gue: gue::<F>(),
    };
    outer::prepend_v4(packet, link, backend, headers)
}

/// Puts IPv6, UDP and GUE headers in front.
#[inline(always)]
pub(super) fn in_v6<F: Family, P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<F::Addr>,
    backend: &Backend,
    hash: u32,
) -> Result<(), Stop> {
    let length = outer::enter::<F, P>(packet, link, ip, size_of::<HeadersV6>(), backend)?;
    let headers = HeadersV6 {
        ip: outer::ipv6(backend, ip.tos, length, UDP, hash),
        udp: udp(length.wrapping_sub(size_of::<Ipv6>() as u16), hash),
        gue: gue::<F>(),
    };
    outer::prepend_v6(packet, link, backend, headers)
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
