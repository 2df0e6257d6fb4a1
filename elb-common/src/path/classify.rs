//! Which listener a packet is for.

use super::answer::refuse::refusal;
use super::{Family, Ip, Link, Packet, Stop, Tables, Transport, parse};
use crate::listener::{Listener, RangeKey, vip_flags};
use crate::reason::Reason;

/// The listener for exactly this port, else the one for the narrowest range that holds it; none if the receiver is no
/// virtual address.
#[inline(always)]
pub(super) fn listener<'t, F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &'t T,
    link: &Link,
    ip: &Ip<F::Addr>,
    transport: &Transport,
) -> Result<Option<&'t Listener>, Stop> {
    // One look, which nothing else would find.
    if !F::may_be_vip(tables, ip.destination) {
        return Ok(None);
    }
    let port = transport.ports.destination;
    match F::listener(tables, ip.destination, port, ip.protocol) {
        Some(listener) => addressed(packet, tables, link).map(|()| Some(listener)),
        None => range::<F, P, T>(packet, tables, link, ip, transport),
    }
}

/// A second look-up that only packets pay for that no exact listener wants: it distinguishes a foreign
/// address from a virtual one without such a port.
#[inline(always)]
fn range<'t, F: Family, P: Packet, T: Tables>(
    packet: &mut P,
    tables: &'t T,
    link: &Link,
    ip: &Ip<F::Addr>,
    transport: &Transport,
) -> Result<Option<&'t Listener>, Stop> {
    let vip = F::vip(tables, ip.destination).filter(|vip| vip.flags & vip_flags::SOURCE == 0);
    let Some(vip) = vip else { return Ok(None) };
    addressed(packet, tables, link)?;
    let is_udp = parse::is_udp(ip.protocol);
    let wanted = if is_udp { vip_flags::RANGES_UDP } else { vip_flags::RANGES_TCP };
    let key = RangeKey::new(vip.number, transport.ports.destination, ip.protocol);
    let found = if vip.flags & wanted != 0 { tables.range(&key) } else { None };
    match found {
        Some(listener) => Ok(Some(listener)),
        None if vip.flags & vip_flags::OWN != 0 => Err(Stop::because(Reason::NoListener)),
        // The kernel, whose address it is not, could only send it back to the router that it came from.
        None => Err(Stop(tables.refuse::<F, P>(packet, refusal::CLOSED_PORT))),
    }
}

/// Whether a frame is addressed to the interface that it came by. An interface that is promiscuous, or whose
/// switch floods, gets those of other hosts, too, which the kernel ignores.
#[inline(always)]
pub(super) fn addressed<P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    link: &Link,
) -> Result<(), Stop> {
    if tables.is_mac_of(packet.ingress(), link.destination) {
        return Ok(());
    }
    tables.stray(packet).map_or(Ok(()), |reason| Err(Stop(reason)))
}

/// Why a fragment is not forwarded: it names no listener, so one for a virtual address is dropped
/// and counted, unless the address is this host's, too; any other passes.
#[inline(always)]
pub(super) fn fragment<F: Family, P: Packet, T: Tables>(
    packet: &P,
    tables: &T,
    link: &Link,
    ip: &Ip<F::Addr>,
) -> Stop {
    let Some(vip) = F::vip(tables, ip.destination) else { return Stop(Reason::NotVip) };
    if let Err(stop) = addressed(packet, tables, link) {
        return stop;
    }
    let is_own = vip.flags & vip_flags::OWN != 0;
    Stop(if is_own { Reason::OwnConnection } else { Reason::Fragment })
}
