//! The frame is rewritten for its backend and sent on its way.

mod gue;
mod ipip;
mod l2;
mod outer;

use super::{Family, Ip, Link, Outcome, Packet, Stop, Tables};
use crate::backend::{Backend, mode};
use crate::reason::Reason;

/// Rewrites the frame as the backend's mode wants it and chooses the interface.
#[inline(always)]
pub(super) fn packet<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
    backend: &Backend,
    hash: u32,
) -> Result<Outcome, Stop> {
    if !backend.is_reachable() {
        return Err(Stop(Reason::NoNextHop));
    }
    let rewritten = match backend.mode {
        mode::L2 => l2::rewrite(packet, ip, backend),
        mode::IPIP_V4 => ipip::in_v4::<F, P>(packet, link, ip, backend),
        mode::IPIP_V6 => ipip::in_v6::<F, P>(packet, link, ip, backend, hash),
        mode::GUE_V4 => gue::in_v4::<F, P>(packet, link, ip, backend, hash),
        mode::GUE_V6 => gue::in_v6::<F, P>(packet, link, ip, backend, hash),
        _ => Err(Stop(Reason::UnknownBackend)),
    };
    if rewritten == Err(Stop(Reason::TooBig)) {
        let mtu = backend.mtu.saturating_sub(backend.overhead());
        return Err(Stop(tables.too_big::<F, P>(packet, mtu)));
    }
    rewritten?;
    if backend.ifindex == packet.ingress() {
        Ok(Outcome::Transmit)
    } else if tables.redirect(backend.ifindex) {
        Ok(Outcome::Redirect(backend.ifindex))
    } else {
        Err(Stop(Reason::NoDevice))
    }
}

/// Whether a packet grown by `overhead` bytes still fits the way to the backend.
#[inline(always)]
fn check_size(length: u32, overhead: u32, backend: &Backend) -> Result<u16, Stop> {
    let length = length + overhead;
    if length > u32::from(backend.mtu) {
        return Err(Stop(Reason::TooBig));
    }
    Ok(length as u16)
}
