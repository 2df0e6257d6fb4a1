//! The frame is rewritten for its backend and sent on its way.

pub(super) mod fullnat;
mod gue;
mod ipip;
mod l2;
pub(super) mod nat;
pub(super) mod nat46;
mod outer;

use super::version::{FRAGMENT, sum};
use super::{Family, Ip, Link, Outcome, Packet, Stop, Tables, part};
use crate::backend::{Backend, mode};
use crate::reason::Reason;

/// In the place of the number of a source address and port: the packet keeps its sender.
pub(super) const NO_NUMBER: u32 = 0;

/// In the place of an interface: the kernel's network stack gets the frame.
pub(super) const KERNEL: u32 = 0;

/// How a forwarded frame leaves by this interface.
#[inline(always)]
pub(super) fn outcome<P: Packet>(packet: &P, ifindex: u32) -> Outcome {
    if ifindex == packet.ingress() {
        Outcome::Transmit
    } else if ifindex == KERNEL {
        Outcome::HandOver
    } else {
        Outcome::Redirect(ifindex)
    }
}

/// Rewrites the frame as the backend's mode wants it, and prepares its way out. `hash` is that of its flow; with `fullnat` the
/// number of its source address and port, with `nat46` that of its listener.
#[inline(always)]
pub(super) fn packet<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
    (id, backend): (u16, &Backend),
    hash: u32,
) -> Result<(), Stop> {
    if !backend.is_reachable() {
        return Err(Stop::because(Reason::NoNextHop));
    }
    // Whatever way packets circle, it ends.
    if ip.hop_limit <= 1 {
        return Err(Stop::because(Reason::TtlExpired));
    }
    let mut largest = backend.largest;
    if F::BINDS && ip.fragment != part::WHOLE && backend.mode == mode::NAT46 {
        // It grows by one header more.
        largest = largest.saturating_sub(FRAGMENT as u16);
    }
    if ip.length > u32::from(largest) {
        return Err(Stop(tables.too_big::<F, P>(packet, largest)));
    }
    let tunnel = Tunnel { backend, length: ip.length as u16, hash };
    match backend.mode {
        mode::L2 => l2::rewrite::<F, P>(packet, link, backend)?,
        mode::FULLNAT if F::BINDS && (T::IS_APART || hash != NO_NUMBER) => {
            tables.translate_both::<F, P>(packet, link, ip, (id, hash))?;
        }
        mode::NAT46 if F::BINDS => as_v6::<F, P, T>(packet, tables, link, ip, (id, hash))?,
        mode::NAT if T::IS_APART => tables.translate::<F, P>(packet, link, ip, id)?,
        // What a later fragment of IPv6 calls its protocol says nothing.
        mode::NAT if ip.protocol == F::ICMP && !ip.is_later_fragment() => {
            tables.translate_error::<F, P>(packet, id)?;
        }
        mode::NAT | mode::FULLNAT if !T::IS_APART => {
            nat::rewrite::<F, P>(packet, link, ip, backend)?;
        }
        mode::IPIP_V4 => outer::prepend_v4::<F, P, _>(packet, link, &tunnel, ipip::in_v4::<F>)?,
        mode::IPIP_V6 => outer::prepend_v6::<F, P, _>(packet, link, &tunnel, ipip::in_v6::<F>)?,
        mode::GUE_V4 => outer::prepend_v4::<F, P, _>(packet, link, &tunnel, gue::in_v4::<F>)?,
        mode::GUE_V6 => outer::prepend_v6::<F, P, _>(packet, link, &tunnel, gue::in_v6::<F>)?,
        _ => return Err(Stop::because(Reason::UnknownBackend)),
    }
    if backend.ifindex != packet.ingress() && !tables.redirect(backend.ifindex) {
        return Err(Stop::because(Reason::NoDevice));
    }
    Ok(())
}

/// Makes the packet one of IPv6 for a backend.
#[inline(always)]
fn as_v6<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
    (id, listener): (u16, u32),
) -> Result<(), Stop> {
    if ip.fragment == part::WHOLE && F::header(packet, link.end)?.protocol == F::ICMP {
        return tables.translate_46_error::<F, P>(packet, (id, listener));
    }
    if sum::is_missing(packet, ip) {
        tables.sum_datagram::<F, P>(packet, link, ip)?;
    }
    tables.translate_46::<F, P>(packet, link, ip, (id, listener))
}

/// A packet on its way into a tunnel.
struct Tunnel<'b> {
    backend: &'b Backend,
    /// Length of the packet.
    length: u16,
    /// Hash of its flow.
    hash: u32,
}
