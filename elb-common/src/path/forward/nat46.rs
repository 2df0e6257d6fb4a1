//! A packet of IPv4 for a backend with IPv6: its client becomes an address of ours that says whose it is (see
//! [`embedded`](crate::embedded)), so that the answer needs no record to be translated back.

use super::super::ends::end;
use super::super::translate::{self, Port};
use super::super::version::{self, Ends, Hop, error};
use super::super::{Ip, Link, Packet, Stop, V4};
use crate::addr::{Be16, Be32, Be128};
use crate::backend::Backend;
use crate::checksum;
use crate::embedded::{Prefix, embed};
use crate::reason::Reason;

/// How clients are known to the backend: by addresses of this prefix, with the number of their listener.
#[derive(Clone, Copy)]
pub(in super::super) struct Known {
    /// The prefix.
    pub(in super::super) prefix: Prefix,
    /// The listener's number.
    pub(in super::super) listener: u16,
}

impl Known {
    /// Of a listener whose members may know its clients so.
    #[inline(always)]
    pub(in super::super) const fn new(prefix: Prefix, listener: u16) -> Option<Self> {
        let [first, second] = prefix;
        if first | second == 0 { None } else { Some(Self { prefix, listener }) }
    }

    #[inline(always)]
    const fn address(self, client: Be32) -> Be128 {
        embed(self.prefix, self.listener, client)
    }
}

/// Addresses the packet to the backend. A datagram has its checksum.
#[inline(always)]
pub(in super::super) fn rewrite<P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<Be32>,
    backend: &Backend,
    known: Known,
) -> Result<(), Stop> {
    // First: what follows goes many ways, and the verifier walks the rest once for each.
    if !ip.is_later_fragment() {
        // The client's words are in its new address, too.
        let source = checksum::sum_of(&known.address(Be32::from_raw(0)));
        let by = u32::from(source) + checksum::add_u32(!ip.destination.raw());
        let port = port_of(packet, ip.payload + size_of::<Be16>(), backend, by)?;
        translate::transport::<{ end::DESTINATION }, P>(packet, ip.payload, ip.protocol, port)?;
    }
    let ends = Ends { source: known.address(ip.source), destination: backend.address };
    version::to_v6(packet, link, ip, hop(backend), ends)
}

/// An error about an answer of the backend, from a client or from a router on the way to it: it and the answer that it
/// quotes become what the backend sent.
#[inline(always)]
pub(in super::super) fn error<P: Packet>(
    packet: &mut P,
    link: &Link,
    ip: &Ip<Be32>,
    backend: &Backend,
    known: Known,
) -> Result<(), Stop> {
    let (quoted, quote) = error::quoted::<V4, P>(packet, link, ip)?;
    let source = checksum::sum_of(&known.address(Be32::from_raw(0)));
    let by = u32::from(source) + checksum::add_u32(!quoted.source.raw());
    let port = port_of(packet, quote.payload as usize, backend, by)?;
    let client = known.address(quoted.destination);
    let change =
        error::Quoted { ends: Ends { source: backend.address, destination: client }, port };
    let outer = Ends { source: known.address(ip.source), destination: backend.address };
    error::to_v6(packet, link, ip, (hop(backend), outer), (&quoted, quote, change))
}

/// What the port at `offset` is replaced by, the backend's, and what that and the addresses add to a sum; the backend's is
/// not among those that `by` has.
#[inline(always)]
fn port_of<P: Packet>(packet: &P, offset: usize, backend: &Backend, by: u32) -> Result<Port, Stop> {
    let old: Be16 = *packet.view(offset).ok_or(Stop(Reason::Truncated))?;
    let translation = backend.translation();
    if translation.port.raw() == 0 {
        return Ok(Port { new: old, by: by + u32::from(translation.address_sum) });
    }
    let by = by + u32::from(translation.sum) + u32::from(!old.raw());
    Ok(Port { new: translation.port, by })
}

#[inline(always)]
const fn hop(backend: &Backend) -> Hop {
    Hop { destination: backend.next_hop, source: backend.source }
}
