//! Which listener a packet is for.

use super::{Family, Ip, Stop, Tables, Transport};
use crate::addr::Be16;
use crate::listener::{Listener, listener_flags, vip_flags};
use crate::reason::Reason;

/// The listener for exactly this port, else the one for any port.
#[inline(always)]
pub(super) fn listener<'t, F: Family, T: Tables>(
    tables: &'t T,
    ip: &Ip<F::Addr>,
    transport: &Transport,
) -> Result<&'t Listener, Stop> {
    let port = transport.ports.destination;
    let listener = match F::listener(tables, ip.destination, port, ip.protocol) {
        Some(listener) => listener,
        None => any_port::<F, T>(tables, ip, transport)?,
    };
    if listener.flags & listener_flags::DISABLED != 0 {
        return Err(Stop(Reason::Disabled));
    }
    Ok(listener)
}

/// A second look-up that only packets pay for that no exact listener wants: it tells a foreign
/// address from a virtual one without such a port.
#[inline(always)]
fn any_port<'t, F: Family, T: Tables>(
    tables: &'t T,
    ip: &Ip<F::Addr>,
    transport: &Transport,
) -> Result<&'t Listener, Stop> {
    let vip = F::vip(tables, ip.destination).ok_or(Stop(Reason::NotVip))?;
    let wanted = if transport.is_udp() { vip_flags::ANY_UDP } else { vip_flags::ANY_TCP };
    if vip.flags & wanted == 0 {
        return Err(Stop(Reason::NoListener));
    }
    F::listener(tables, ip.destination, Be16::new(0), ip.protocol).ok_or(Stop(Reason::NoListener))
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
