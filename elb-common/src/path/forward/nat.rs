//! Destination NAT (RFC 3022 §2): the packet gets the backend's address and port and keeps its client's, whom the
//! backend answers through us (see [`reply`](super::super::reply)). No flow is recorded: what changes depends
//! on listener and backend only.

use super::super::ends::{Address, end};
use super::super::translate::{self, Port, quote};
use super::super::{Family, Ip, Link, Packet, Stop, Tables};
use crate::addr::Be16;
use crate::backend::Backend;
use crate::reason::Reason;

/// Whether the client is on the backend's own segment, so that the answer would not come by us to be translated back.
#[inline(always)]
fn is_hairpin<F: Family, P: Packet>(packet: &P, link: &Link, backend: &Backend) -> bool {
    let translation = backend.translation();
    let [first, second, ..] = backend.address.raw();
    F::addresses(packet, link.end)
        .is_ok_and(|(client, _)| translation.is_on_segment(F::first_words(client), [first, second]))
}

/// Whether a packet may go to the backend, by the listener: its answer must come back by us, and be known there.
#[inline(always)]
pub(in super::super) fn may_translate<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
    (ids, backend): ((u16, u16), &Backend),
) -> Result<(), Stop> {
    if is_hairpin::<F, P>(packet, link, backend) {
        return Err(Stop::because(Reason::Hairpin));
    }
    if backend.translation().is_shared() {
        return tables.shares::<F, P>(packet, link, ip, ids);
    }
    Ok(())
}

/// Addresses the packet to the backend.
#[inline(always)]
pub(in super::super) fn rewrite<F: Family, P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<F::Addr>,
    backend: &Backend,
) -> Result<(), Stop> {
    let truncated = || Stop::because(Reason::Truncated);
    let translation = backend.translation();
    // Read again: an address that is kept until here takes too much of the BPF stack.
    let (_, receiver) = F::addresses(packet, link.end)?;
    let away = F::away(receiver);
    if !ip.is_later_fragment() {
        let old: Be16 = *packet.view(ip.payload + size_of::<Be16>()).ok_or_else(truncated)?;
        let kept = translation.port.raw() == 0;
        let port = if kept {
            Port { new: old, by: away + u32::from(translation.address_sum) }
        } else {
            let by = away + u32::from(translation.sum) + u32::from(!old.raw());
            Port { new: translation.port, by }
        };
        translate::transport::<{ end::DESTINATION }, P>(packet, ip.payload, ip.protocol, port)?;
    }
    let address = Address { new: &backend.address, by: away + u32::from(translation.address_sum) };
    F::readdress::<{ end::DESTINATION }, P>(packet, link.end, &address)?;
    *packet.view_mut(0).ok_or_else(truncated)? = backend.ethernet();
    Ok(())
}

/// An error about an answer of the backend, from a client or from a router on the way to it: the answer that it quotes
/// gets the backend's address and port back.
#[inline(always)]
pub(in super::super) fn error<F: Family, P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<F::Addr>,
    backend: &Backend,
) -> Result<(), Stop> {
    let truncated = || Stop(Reason::Truncated);
    let (_, quote) = quote::quoted::<F, P>(packet, link, ip)?;
    let old: Be16 = *packet.view(quote.payload as usize).ok_or_else(truncated)?;
    let translation = backend.translation();
    let away = F::away(ip.destination);
    let by = away + u32::from(translation.address_sum);
    let kept = translation.port.raw() == 0;
    let port = if kept {
        Port { new: old, by }
    } else {
        let by = away + u32::from(translation.sum) + u32::from(!old.raw());
        Port { new: translation.port, by }
    };
    let change =
        quote::Change { address: Address { new: &backend.address, by }, port, is_outer: true };
    quote::translate::<{ end::SOURCE }, { end::DESTINATION }, F, P>(
        packet, link, ip, quote, &change,
    )?;
    *packet.view_mut(0).ok_or_else(truncated)? = backend.ethernet();
    Ok(())
}
