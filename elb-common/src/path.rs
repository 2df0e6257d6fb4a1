//! The packet path. Stages in their order, one file each:
//!
//! ```text
//! frame → parse → classify → identify → admit → select → forward → account → transmit or redirect
//!           │         │                    │        │         │
//!           │         └─ answer (ARP, neighbour solicitation, echo)
//!           └─ not ours: pass              └────────┴─────────┴─ dropped with a Reason
//! ```
//!
//! Everything is generic over [`Packet`] (bounded access to the frame) and [`Tables`] (the
//! questions that maps answer), so that the same code runs in the kernel, in tests, and wherever a
//! decision has to be explained. The generics cost nothing: each stage is inlined, keys are whole
//! words, and each header takes one bounds check.

mod outcome;
mod packet;
mod tables;

mod account;
mod admit;
mod answer;
pub mod choose;
mod classify;
mod forward;
mod identify;
mod parse;
pub mod peek;
mod select;
pub mod unwrap;
pub mod wire;

mod frame;
#[cfg(any(test, feature = "std"))]
mod memory;
mod witness;

pub use frame::Frame;
#[cfg(any(test, feature = "std"))]
pub use memory::{Memory, Written};
pub use outcome::{Outcome, Stop};
pub use packet::Packet;
pub use parse::{Family, Ip, Link, Transport, V4, V6};
pub use tables::Tables;
pub use witness::{Asked, Note, Witness};

use network_types::eth::EtherType;

use crate::reason::Reason;

/// Decides on one frame and rewrites it: the only place that knows the order of the stages.
#[inline(always)]
pub fn process<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Outcome {
    let received = packet.length() as u64;
    let outcome = link(packet, tables, received).unwrap_or_else(Outcome::from);
    if let Some(reason) = outcome.reason() {
        tables.count_reason(reason, received);
    }
    outcome
}

#[inline(always)]
fn link<P: Packet, T: Tables>(packet: &mut P, tables: &T, received: u64) -> Result<Outcome, Stop> {
    let link = parse::link(packet)?;
    const IPV4: u16 = EtherType::Ipv4 as u16;
    const IPV6: u16 = EtherType::Ipv6 as u16;
    const ARP: u16 = EtherType::Arp as u16;
    match link.ethertype.raw() {
        IPV4 => ip::<V4, P, T>(packet, tables, &link, received),
        IPV6 => ip::<V6, P, T>(packet, tables, &link, received),
        ARP => answer::arp(packet, tables, &link),
        _ => Err(Stop(Reason::NotIp)),
    }
}

#[inline(always)]
fn ip<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    received: u64,
) -> Result<Outcome, Stop> {
    let ip = F::parse(packet, link.end)?;
    if ip.fragment != 0 {
        return Err(classify::fragment::<F, T>(tables, &ip));
    }
    if !parse::is_transport(ip.protocol) {
        return answer::icmp::<F, P, T>(packet, tables, link, &ip);
    }
    let transport = parse::transport(packet, &ip)?;
    if link.destination.is_group() {
        return Err(Stop(Reason::GroupMac));
    }
    let listener = classify::listener::<F, T>(tables, &ip, &transport)?;
    let flow = identify::flow::<F, P, T>(packet, tables, listener, &ip, &transport);
    let admission = admit::packet::<F, T>(tables, listener, &ip, &transport)?;
    let id =
        select::backend::<F, P, T>(packet, tables, listener, &flow, &ip, &transport, admission)?;
    let counted = listener.id;
    let backend = tables.backend(id).ok_or(Stop(Reason::UnknownBackend))?;
    let outcome = forward::packet::<F, P, T>(packet, tables, link, &ip, backend, flow.hash)?;
    account::forwarded(tables, counted, id, received);
    Ok(outcome)
}
