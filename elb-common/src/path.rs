//! The packet path. Stages in their order, one file each:
//!
//! ```text
//! frame → parse → classify → identify → admit → select → forward → account → transmit or redirect
//!           │         │                    │        │         │
//!           │         │                    │        │         └─ answer (too big)
//!           │         └─ fragment, control (what belongs to a flow without naming it)
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
pub mod bind;
pub mod choose;
mod classify;
pub mod control;
mod ends;
pub mod exception;
mod forward;
mod fragment;
mod identify;
pub mod parse;
pub mod peek;
pub mod probe;
pub mod question;
pub mod reply;
pub mod seen;
mod select;
pub mod subprogram;
mod translate;
pub mod unwrap;
mod verifier;
mod version;
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
pub use parse::{Family, Ip, Link, Transport, V4, V6, part};
pub use tables::{Tables, Translations};
pub use witness::{Asked, Note, Witness};

use network_types::eth::EtherType;

use self::answer::refuse::refusal;
use self::bind::Passenger;
use self::reply::{Back, NotBack};
use crate::addr::Be16;
use crate::backend::mode;
use crate::listener::{Listener, listener_flags};
use crate::reason::Reason;

/// Decides on one frame and rewrites it: the only place that knows the order of the stages.
#[inline(always)]
pub fn process<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Outcome {
    let received = packet.length() as u64;
    match link(packet, tables, received) {
        Ok(ifindex) => forward::outcome(packet, ifindex),
        Err(Stop(reason)) => {
            tables.count_reason(reason, received);
            Outcome::from(Stop(reason))
        }
    }
}

/// The interface that a forwarded frame leaves by; an error for every other frame.
#[inline(always)]
fn link<P: Packet, T: Tables>(packet: &mut P, tables: &T, received: u64) -> Result<u32, Stop> {
    let link = parse::link(packet)?;
    const IPV4: u16 = EtherType::Ipv4 as u16;
    const IPV6: u16 = EtherType::Ipv6 as u16;
    const ARP: u16 = EtherType::Arp as u16;
    match link.ethertype.raw() {
        IPV4 => ip::<V4, P, T>(packet, tables, &link, received),
        IPV6 => ip::<V6, P, T>(packet, tables, &link, received),
        ARP => Err(Stop(tables.answer::<V4, P>(packet))),
        _ => Err(Stop::because(Reason::NotIp)),
    }
}

#[inline(always)]
fn ip<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    received: u64,
) -> Result<u32, Stop> {
    let mut ip = F::parse(packet, link.end)?;
    let target = if ip.is_later_fragment() {
        let target = fragment::target::<F, P, T>(packet, tables, link, &ip)?;
        if T::IS_APART && target.is_back() {
            // No error is sent about a later fragment (RFC 1122 §3.2.2), however large.
            let back = translated_back::<F, P, T>(packet, tables, link, &ip, target);
            let back = back.map_err(|not_back| NotBack { mtu: 0, ..not_back });
            return reply::leaves::<F, P, T>(packet, tables, back, received);
        }
        target
    } else {
        let transport = if parse::is_transport(ip.protocol) {
            parse::transport(packet, &ip)?
        } else if ip.is_first_fragment() {
            return Err(classify::fragment::<F, P, T>(packet, tables, link, &ip));
        } else if control::is_error::<F, P>(packet, link, &ip) {
            control::flow::<F, P, T>(packet, tables, &mut ip)?
        } else {
            return Err(Stop(tables.answer::<F, P>(packet)));
        };
        let listener = classify::listener::<F, P, T>(packet, tables, link, &ip, &transport)?;
        if let Some(listener) = listener {
            let chosen = chosen::<F, P, T>(packet, tables, listener, &ip, &transport)?;
            if !T::IS_APART && transport.is_quoted() {
                // What it is about is known by now.
                ip.protocol = F::ICMP;
            }
            chosen
        } else if T::IS_APART {
            let says = reply::says(&transport);
            let back = tables.no_vip::<F, P>(packet, link, &ip, says);
            return reply::leaves::<F, P, T>(packet, tables, back, received);
        } else if let Some(number) = source_number::<F, P, T>(packet, tables, link, &transport) {
            Target::bound(number)
        } else if transport.is_quoted() {
            let back = tables.reply_error::<F, P>(packet);
            return reply::leaves::<F, P, T>(packet, tables, back, received);
        } else {
            from_endpoint::<F, P, T>(packet, tables, link, &ip, &transport)?
        }
    };
    // Where it is asked of each packet, the verifier walks the rest of the way once.
    if T::IS_TRACED || ip.is_first_fragment() {
        tables.note_fragment::<F, P>(packet, target, ip.fragment);
    }
    if !T::IS_APART && target.is_back() {
        let back = translated_back::<F, P, T>(packet, tables, link, &ip, target);
        return reply::leaves::<F, P, T>(packet, tables, back, received);
    }
    match forwarded::<F, P, T>(packet, tables, link, &ip, target) {
        Ok(ifindex) => {
            account::forwarded(tables, target.listener as u16, target.backend as u16, received);
            Ok(ifindex)
        }
        Err(stop) => {
            let (listener, backend) = (target.listener as u16, target.backend as u16);
            Err(account::stopped(tables, listener, backend, stop))
        }
    }
}

/// The frame is rewritten for its backend: the interface that it leaves by.
#[inline(always)]
fn forwarded<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
    target: Target,
) -> Result<u32, Stop> {
    let id = target.backend as u16;
    let backend = tables.backend(id).ok_or_else(|| Stop::because(Reason::UnknownBackend))?;
    if backend.mode == mode::NAT {
        let ids = (id, target.listener as u16);
        if T::IS_APART {
            tables.may_translate::<F, P>(packet, link, ip, ids)?;
        } else {
            forward::nat::may_translate::<F, P, T>(packet, tables, link, ip, (ids, backend))?;
        }
    }
    // By what their packets leave members answer: the source port, or the listener.
    let number = if backend.mode == mode::NAT46 { target.listener } else { target.hash };
    forward::packet::<F, P, T>(packet, tables, link, ip, (id, backend), number)?;
    Ok(backend.ifindex)
}

/// Where a packet goes. Whole words, see [`Transport`].
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Id of the backend.
    pub backend: u32,
    /// Id of the listener, which the packet is counted by.
    pub listener: u32,
    /// Hash of the flow.
    pub hash: u32,
}

impl Target {
    /// Back: the packet may be the answer of a member at this endpoint. In the place of the hash are its port and
    /// protocol, so that later fragments show them, too.
    #[inline(always)]
    const fn back(port: Be16, protocol: u8) -> Self {
        let endpoint = port.raw() as u32 | (protocol as u32) << 16;
        Self { backend: NO_BACKEND as u32, listener: 0, hash: endpoint }
    }

    /// Back as well, from the source address and port with this number.
    #[inline(always)]
    const fn bound(number: u32) -> Self {
        Self { backend: NO_BACKEND as u32, listener: Self::BOUND, hash: number }
    }

    /// In the place of a listener.
    const BOUND: u32 = 1;

    /// Whether it is of [`Self::back`] or [`Self::bound`].
    #[inline(always)]
    const fn is_back(&self) -> bool {
        self.backend == NO_BACKEND as u32
    }

    /// Whether it is of [`Self::bound`].
    #[inline(always)]
    const fn is_bound(&self) -> bool {
        self.is_back() && self.listener == Self::BOUND
    }
}

/// Where what may be the answer of a member's endpoint goes.
#[inline(always)]
fn from_endpoint<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
    transport: &Transport,
) -> Result<Target, Stop> {
    let from_member = reply::may_be::<F, P, T>(packet, tables, link);
    // A SYN opens the member's own connection to someone else.
    if !from_member || transport.opens() {
        reply::passes::<F, P, T>(packet, tables, link, ip, from_member);
        return Err(Stop::because(Reason::NotVip));
    }
    Ok(Target::back(transport.ports.source, ip.protocol))
}

/// The answer of a member is translated back, by its binding or by its endpoint.
#[inline(always)]
fn translated_back<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
    target: Target,
) -> Result<Back, NotBack> {
    if F::BINDS && target.is_bound() {
        return tables.reply_bound::<F, P>(packet, link, ip, target.hash);
    }
    tables.reply::<F, P>(packet, link, ip, target.hash)
}

/// The number of the source address and port of ours that a packet is for. Its receiver is read again: an address that is
/// kept until then takes too much of the BPF stack.
#[inline(always)]
fn source_number<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    link: &Link,
    transport: &Transport,
) -> Option<u32> {
    if !F::BINDS {
        return None;
    }
    let (_, receiver) = F::addresses(packet, link.end).ok()?;
    F::source_number(tables, receiver, transport.ports.destination)
}

/// No backend has this id.
const NO_BACKEND: u16 = 0;

/// Where a packet of a flow goes.
#[inline(always)]
fn chosen<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    listener: &Listener,
    ip: &Ip<F::Addr>,
    transport: &Transport,
) -> Result<Target, Stop> {
    let flow = identify::flow::<F>(listener, ip, transport);
    let bound = select::backend::<F, P, T>(packet, tables, listener, &flow, ip, transport)
        .and_then(|id| Ok((id, number::<F, T>(tables, listener, id, ip, transport, flow.hash)?)));
    let (id, hash) = match bound {
        Ok(bound) => bound,
        Err(stop) => {
            let stop = refused::<F, P, T>(packet, tables, listener, transport, stop);
            return Err(account::stopped(tables, listener.id, NO_BACKEND, stop));
        }
    };
    if transport.begins_or_breaks() {
        account::chosen(tables, listener.id, id, transport);
    }
    if T::IS_LOGGED && (transport.opens() || transport.closes()) {
        tables.chosen(listener.id, id);
    }
    Ok(Target { backend: u32::from(id), listener: u32::from(listener.id), hash })
}

/// The number of the source address and port that a flow has; its hash, where its member sees its client.
#[inline(always)]
fn number<F: Family, T: Tables>(
    tables: &T,
    listener: &Listener,
    backend: u16,
    ip: &Ip<F::Addr>,
    transport: &Transport,
    hash: u32,
) -> Result<u32, Stop> {
    if !F::BINDS || listener.flags & listener_flags::BINDS == 0 {
        return Ok(hash);
    }
    let owner = F::owner(ip.source, transport.ports.source, listener.id);
    let (pool, flags) = (listener.pool, transport.flags());
    tables.bind(Passenger { owner, backend, pool, flags, hash })
}

/// A packet that no backend gets may be answered instead.
#[inline(always)]
fn refused<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    listener: &Listener,
    transport: &Transport,
    Stop(reason): Stop,
) -> Stop {
    let resets = listener.flags & listener_flags::RESET != 0;
    let refusal = if resets && matches!(reason, Reason::NoBackend) {
        refusal::NO_BACKEND
    } else if resets && matches!(reason, Reason::MemberLimit) {
        refusal::MEMBER_LIMIT
    } else if matches!(reason, Reason::Cut) {
        refusal::CUT
    } else if matches!(reason, Reason::NotOpen) {
        refusal::NOT_OPEN
    } else {
        return Stop(reason);
    };
    if transport.is_quoted() {
        return Stop(reason);
    }
    Stop(tables.refuse::<F, P>(packet, refusal))
}
