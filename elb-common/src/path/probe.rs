//! The way of a health probe: forwarded as traffic is, but to the backend that is being probed.
//!
//! The agent's probes are addressed to a virtual address and would fall anywhere on the ring. They
//! leave by an interface of their own, whose program asks which backend each flow probes and then
//! runs the same forward stage. They are no traffic of a listener, so neither listener nor backend
//! counts them.

use network_types::eth::EtherType;

use super::forward::NO_NUMBER;
use super::wire::Icmp;
use super::{Family, Ip, Link, Outcome, Packet, Stop, Tables, V4, V6, forward, parse};
use crate::addr::Be16;
use crate::backend::mode;
use crate::flow::Ports;
use crate::listener::algorithm;
use crate::reason::Reason;

/// Decides on one frame of the probes' interface and rewrites it.
#[inline(always)]
pub fn process<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Outcome {
    let received = u64::from(packet.length());
    let outcome = link(packet, tables).unwrap_or_else(Outcome::from);
    if let Some(reason) = outcome.reason() {
        tables.count_reason(reason, received);
    }
    outcome
}

#[inline(always)]
fn link<P: Packet, T: Tables>(packet: &mut P, tables: &T) -> Result<Outcome, Stop> {
    const IPV4: u16 = EtherType::Ipv4 as u16;
    const IPV6: u16 = EtherType::Ipv6 as u16;
    let link = parse::link(packet)?;
    match link.ethertype.raw() {
        IPV4 => ip::<V4, P, T>(packet, tables, &link),
        IPV6 => ip::<V6, P, T>(packet, tables, &link),
        _ => Err(Stop(Reason::NotIp)),
    }
}

#[inline(always)]
fn ip<F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &T,
    link: &Link,
) -> Result<Outcome, Stop> {
    // The kernel's own: a host that forwards says so to the group of all routers.
    if link.destination.is_group() {
        return Err(Stop(Reason::GroupMac));
    }
    let ip = F::parse(packet, link.end)?;
    if ip.is_first_fragment() || ip.is_later_fragment() {
        return Err(Stop(Reason::Fragment));
    }
    let key = F::probe_key(&ip, ports::<F, P>(packet, &ip)?);
    let id = F::probed(tables, &key).ok_or(Stop(Reason::NotProbe))?;
    let backend = tables.backend(id).ok_or(Stop(Reason::UnknownBackend))?;
    // It is answered at this host's own address.
    let is_own = matches!(backend.mode, mode::FULLNAT | mode::NAT46);
    if is_own && !parse::is_transport(ip.protocol) {
        return Err(Stop(Reason::OtherProtocol));
    }
    let hash = match backend.mode {
        mode::FULLNAT => NO_NUMBER,
        mode::NAT46 => listener::<F, P, T>(packet, tables, &ip)?,
        _ => F::hash(&key, algorithm::FIVE_TUPLE),
    };
    forward::packet::<F, P, T>(packet, tables, link, &ip, (id, backend), hash)?;
    Ok(forward::outcome(packet, backend.ifindex))
}

/// The number of the listener that is probed.
#[inline(always)]
fn listener<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    ip: &Ip<F::Addr>,
) -> Result<u32, Stop> {
    let Ports { destination, .. } = ports::<F, P>(packet, ip)?;
    let listener = F::listener(tables, ip.destination, destination, ip.protocol);
    listener.map(|listener| u32::from(listener.id)).ok_or(Stop(Reason::NoListener))
}

/// The ports of a probe; those of an echo request are its identifier and 0.
#[inline(always)]
fn ports<F: Family, P: Packet>(packet: &P, ip: &Ip<F::Addr>) -> Result<Ports, Stop> {
    if parse::is_transport(ip.protocol) {
        return parse::transport(packet, ip).map(|transport| transport.ports);
    }
    let truncated = Stop(Reason::Truncated);
    let message: &Icmp = packet.view(ip.payload).ok_or(truncated)?;
    if ip.protocol != F::ICMP || message.kind != F::ECHO_REQUEST {
        return Err(Stop(Reason::NotProbe));
    }
    let identifier: &Be16 = packet.view(ip.payload + size_of::<Icmp>()).ok_or(truncated)?;
    Ok(Ports { source: *identifier, destination: Be16::new(0) })
}
