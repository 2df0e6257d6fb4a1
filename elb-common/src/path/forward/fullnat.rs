//! Both ends are translated (IPv4): the backend sees one of our source addresses in the place of its client's, and answers
//! that (see [`bound`](super::super::reply::bound)).

use super::super::translate::{self, Ends, quote};
use super::super::{Ip, Link, Packet, Stop, V4};
use crate::addr::{Be16, Be32};
use crate::backend::Backend;
use crate::flow::Ports;
use crate::reason::Reason;

/// Addresses the packet to the backend, from this address and port.
#[inline(always)]
pub(in super::super) fn rewrite<P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<Be32>,
    backend: &Backend,
    (source, port): (Be32, Be16),
) -> Result<(), Stop> {
    let truncated = || Stop::because(Reason::Truncated);
    let ports = if ip.is_later_fragment() {
        None
    } else {
        let old: Ports = *packet.view(ip.payload).ok_or_else(truncated)?;
        Some(Ports { source: port, destination: port_of(backend, old.destination) })
    };
    let ends = Ends { source, destination: backend.address_v4(), ports };
    translate::both(packet, link, ip, &ends)?;
    *packet.view_mut(0).ok_or_else(truncated)? = backend.ethernet();
    Ok(())
}

/// An error about an answer of the backend, from a client or from a router on the way to it: the answer that it quotes
/// gets the ends back that the backend knows, and it comes from the source address, the only one that the backend's side
/// has to let in.
#[inline(always)]
pub(in super::super) fn error<P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<Be32>,
    backend: &Backend,
    (source, port): (Be32, Be16),
) -> Result<(), Stop> {
    let truncated = || Stop::because(Reason::Truncated);
    let (_, quote) = quote::quoted::<V4, P>(packet, link, ip)?;
    let old: Ports = *packet.view(quote.payload as usize).ok_or_else(truncated)?;
    let ports = Ports { source: port_of(backend, old.source), destination: port };
    let ends = Ends { source: backend.address_v4(), destination: source, ports: Some(ports) };
    quote::both(packet, link, ip, quote, &ends)?;
    let outer = Ends { source, destination: backend.address_v4(), ports: None };
    translate::both(packet, link, ip, &outer)?;
    *packet.view_mut(0).ok_or_else(truncated)? = backend.ethernet();
    Ok(())
}

/// The backend's port; its listener's, if it has none of its own.
#[inline(always)]
fn port_of(backend: &Backend, old: Be16) -> Be16 {
    let port = backend.translation().port;
    if port.raw() == 0 { old } else { port }
}
