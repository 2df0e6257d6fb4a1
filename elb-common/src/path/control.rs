//! Errors about packets that a backend sent: the flow that they quote tells whose they are.
//!
//! A router or a client that cannot take a backend's answer tells its sender, which is the virtual
//! address. The error (RFC 792, RFC 4443) carries the beginning of that answer; turned round, its
//! addresses and ports are those of the flow, and the flow's backend must learn of it: without
//! "fragmentation needed" and "packet too big" its path MTU discovery fails.

use super::wire::{Icmp, IcmpError};
use super::{Family, Ip, Link, Packet, Stop, Tables, Target, Transport, classify, parse, select};
use crate::flow::Ports;
use crate::listener::Listener;
use crate::reason::Reason;

/// Whether the packet is an error that another packet caused. Nobody puts options or extension
/// headers before one; each would be another 9 ways for the verifier to walk.
#[inline(always)]
pub(super) fn is_error<F: Family, P: Packet>(packet: &P, link: &Link, ip: &Ip<F::Addr>) -> bool {
    let message = packet.view::<Icmp>(ip.payload);
    ip.protocol == F::ICMP
        && ip.payload == link.end + F::HEADER
        && message.is_some_and(|message| F::is_error(message.kind))
}

/// Where an error goes: to the backend of the flow that it is about.
#[inline(always)]
pub(super) fn target<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
) -> Result<Target, Stop> {
    let answer = F::quoted(packet, ip.payload + size_of::<IcmpError>())?;
    if answer.is_later_fragment() {
        return Err(classify::fragment::<F, T>(tables, ip));
    }
    if !parse::is_transport(answer.protocol) || !F::same(answer.source, ip.destination) {
        return Err(Stop(Reason::OtherProtocol));
    }
    let end = link.end + ip.length as usize;
    if answer.payload + size_of::<Ports>() > end {
        return Err(Stop(Reason::Truncated));
    }
    let ports: Ports = *packet.view(answer.payload).ok_or(Stop(Reason::Truncated))?;
    if link.destination.is_group() {
        return Err(Stop(Reason::GroupMac));
    }
    let flow = Ip { source: answer.destination, destination: answer.source, ..answer };
    let ports = Ports { source: ports.destination, destination: ports.source };
    let transport = Transport::established(ports, flow.protocol);
    let listener = classify::listener::<F, T>(tables, &flow, &transport)?;
    let key = F::flow_key(&flow, &transport);
    let hash = F::hash(&key);
    let backend = owner::<F, T>(tables, listener, &key, hash, &transport)?;
    Ok(Target { backend: u32::from(backend), listener: u32::from(listener.id), hash })
}

/// The backend of the flow that an error is about. Anybody can make up an error, so this must be
/// the place that sees to it that none records or refreshes a flow.
#[inline(always)]
fn owner<F: Family, T: Tables>(
    tables: &T,
    listener: &Listener,
    key: &F::FlowKey,
    hash: u32,
    transport: &Transport,
) -> Result<u16, Stop> {
    select::backend::<F, T>(tables, listener, key, hash, transport)
}
