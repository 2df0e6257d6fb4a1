//! Which listener a packet is for.

use super::{Family, Ip, Stop, Tables, Transport, parse};
use crate::listener::{Listener, RangeKey, vip_flags};
use crate::reason::Reason;

/// The listener for exactly this port, else the one for the narrowest range that holds it.
#[inline(always)]
pub(super) fn listener<'t, F: Family, T: Tables>(
    tables: &'t T,
    ip: &Ip<F::Addr>,
    transport: &Transport,
) -> Result<&'t Listener, Stop> {
    // One look instead of two, which nothing else would find.
    if !F::may_be_vip(tables, ip.destination) {
        return Err(Stop::because(Reason::NotVip));
    }
    let port = transport.ports.destination;
    match F::listener(tables, ip.destination, port, ip.protocol) {
        Some(listener) => Ok(listener),
        None => range::<F, T>(tables, ip, transport),
    }
}

/// A second look-up that only packets pay for that no exact listener wants: it tells a foreign
/// address from a virtual one without such a port.
#[inline(always)]
fn range<'t, F: Family, T: Tables>(
    tables: &'t T,
    ip: &Ip<F::Addr>,
    transport: &Transport,
) -> Result<&'t Listener, Stop> {
    let vip = F::vip(tables, ip.destination).ok_or_else(|| Stop::because(Reason::NotVip))?;
    let is_udp = parse::is_udp(ip.protocol);
    let wanted = if is_udp { vip_flags::RANGES_UDP } else { vip_flags::RANGES_TCP };
    if vip.flags & wanted == 0 {
        return Err(Stop::because(Reason::NoListener));
    }
    let key = RangeKey::new(vip.number, transport.ports.destination, ip.protocol);
    tables.range(&key).ok_or_else(|| Stop::because(Reason::NoListener))
}

/// Why a fragment is not forwarded: it names no listener, so one for a virtual address is dropped
/// and counted, any other passes.
#[inline(always)]
pub(super) fn fragment<F: Family, T: Tables>(tables: &T, ip: &Ip<F::Addr>) -> Stop {
    match F::vip(tables, ip.destination) {
        Some(_) => Stop(Reason::Fragment),
        None => Stop(Reason::NotVip),
    }
}
