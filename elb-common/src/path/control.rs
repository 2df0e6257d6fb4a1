//! Errors about packets that a backend sent: the flow that they quote shows whose they are.
//!
//! A router or a client that cannot take a backend's answer informs its sender, which is the virtual
//! address. The error (RFC 792, RFC 4443) carries the beginning of that answer; turned round, its
//! addresses and ports are those of the flow, and the flow's backend must learn of it: without
//! "fragmentation needed" and "packet too big" its path MTU discovery fails.

use super::wire::{Icmp, IcmpError};
use super::{Family, Ip, Link, Packet, Stop, Tables, Transport, classify, parse};
use crate::flow::Ports;
use crate::reason::Reason;

/// Whether the packet is an error that another packet caused. No host puts options or extension
/// headers before one; each would be another 9 ways for the verifier to walk.
#[inline(always)]
pub(super) fn is_error<F: Family, P: Packet>(packet: &P, link: &Link, ip: &Ip<F::Addr>) -> bool {
    let message = packet.view::<Icmp>(ip.payload);
    ip.protocol == F::ICMP
        && ip.payload == link.end + F::HEADER
        && message.is_some_and(|message| F::is_error(message.kind))
}

/// Makes of an error, whose header is `ip`, the flow that it is about, as a packet of its client would
/// show it. Anyone can forge an error, so it opens no flow, and none is recorded after it.
#[inline(always)]
pub(super) fn flow<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    ip: &mut Ip<F::Addr>,
) -> Result<Transport, Stop> {
    let Quote { payload, protocol } = tables.quote::<F, P>(packet)?;
    let quoted = F::addresses(packet, ip.payload + size_of::<IcmpError>())?;
    (ip.destination, ip.source) = quoted;
    ip.protocol = protocol as u8;
    let ports: Ports = *packet.view(payload as usize).ok_or(Stop(Reason::Truncated))?;
    Ok(Transport::quoted(Ports { source: ports.destination, destination: ports.source }))
}

/// The packet that an error quotes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Offset of its payload in the frame.
    pub payload: u32,
    /// Protocol of its payload.
    pub protocol: u32,
}

/// The packet that an error quotes, if a virtual address sent it.
#[inline(always)]
pub(super) fn quote<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
) -> Result<Quote, Stop> {
    let start = ip.payload + size_of::<IcmpError>();
    // Before the rest is read, so that no address has to be kept meanwhile.
    let (source, _) = F::addresses(packet, start)?;
    if !F::same(source, ip.destination) {
        return Err(Stop(Reason::OtherProtocol));
    }
    let answer = F::quoted(packet, start)?;
    if answer.is_later_fragment() {
        return Err(classify::fragment::<F, P, T>(packet, tables, link, ip));
    }
    if !parse::is_transport(answer.protocol) {
        return Err(Stop(Reason::OtherProtocol));
    }
    if answer.payload + size_of::<Ports>() > link.end + ip.length as usize {
        return Err(Stop(Reason::Truncated));
    }
    Ok(Quote { payload: answer.payload as u32, protocol: u32::from(answer.protocol) })
}
