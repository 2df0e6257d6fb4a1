//! Datagrams in fragments: those after the first go where the first went.
//!
//! Only the first fragment names the ports. It is forwarded like any other packet, and where it
//! went is noted under what all fragments of the datagram have in common. One that comes before the
//! first is dropped, since nothing shows where it belongs, and with it the datagram: its sender
//! repeats it.

use super::{Family, Ip, Link, Packet, Stop, Tables, Target, classify};
use crate::fragment::Fragment;
use crate::limits::FRAGMENT_LIFETIME;

/// Where a later fragment goes.
#[inline(always)]
pub(super) fn target<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
) -> Result<Target, Stop> {
    let Some(target) = tables.fragment_target::<F, P>(packet) else {
        return Err(classify::fragment::<F, P, T>(packet, tables, link, ip));
    };
    classify::addressed(packet, tables, link)?;
    Ok(target)
}

/// Where the first fragment went of the datagram that one belongs to.
#[inline(always)]
pub(super) fn noted<F: Family, T: Tables>(tables: &T, ip: &Ip<F::Addr>) -> Option<Target> {
    let first = F::fragment(tables, ip)
        .filter(|first| tables.now().saturating_sub(first.seen) <= FRAGMENT_LIFETIME)?;
    Some(Target { backend: first.backend, listener: first.listener, hash: first.hash })
}

/// Notes where a first fragment goes.
#[inline(always)]
pub(super) fn note<F: Family, T: Tables>(tables: &T, ip: &Ip<F::Addr>, target: Target) {
    let Target { backend, listener, hash } = target;
    F::record_fragment(tables, ip, Fragment { backend, listener, hash, seen: tables.now() });
}
