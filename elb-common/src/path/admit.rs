//! Who may open a flow: the listener's IP group and its limits. Segments of connections that exist
//! are not judged, and pay nothing.

use super::identify::Identity;
use super::{Family, Ip, Stop, Tables, Transport};
use crate::listener::{Listener, listener_flags as flags};
use crate::reason::Reason;

/// Whether the packet may go on.
#[inline(always)]
pub(super) fn packet<F: Family, T: Tables>(
    tables: &T,
    listener: &Listener,
    ip: &Ip<F::Addr>,
    flow: &Identity<F::FlowKey>,
    transport: &Transport,
) -> Result<(), Stop> {
    const ANY: u16 = flags::WHITELIST | flags::BLACKLIST | flags::LIMITED;
    if listener.flags & ANY == 0 || !(transport.opens() || transport.is_udp()) {
        return Ok(());
    }
    if !lets_in::<F, T>(tables, listener, ip.source)
        && !is_recorded::<F, T>(tables, listener, flow, transport)
    {
        return Err(Stop(Reason::AccessDenied));
    }
    if transport.opens() { opening(tables, listener, tables.now()) } else { Ok(()) }
}

/// Whether one more connection may open now.
#[inline(always)]
pub(super) fn opening<T: Tables>(tables: &T, listener: &Listener, now: u32) -> Result<(), Stop> {
    if listener.flags & flags::LIMITED == 0 {
        return Ok(());
    }
    let most = listener.max_connections;
    if most > 0 && tables.listener_connections(listener.id) >= most {
        return Err(Stop(Reason::ConnectionLimit));
    }
    if listener.cps > 0 && !tables.may_open(listener.id, listener.cps, now) {
        return Err(Stop(Reason::RateLimited));
    }
    Ok(())
}

#[inline(always)]
fn lets_in<F: Family, T: Tables>(tables: &T, listener: &Listener, client: F::Addr) -> bool {
    let listed = flags::WHITELIST | flags::BLACKLIST;
    if listener.flags & listed == 0 {
        return true;
    }
    let is_white = listener.flags & flags::WHITELIST != 0;
    F::in_group(tables, listener.group, client) == is_white
}

/// A datagram does not say whether it opens a flow; one whose flow is recorded does not.
#[inline(always)]
fn is_recorded<F: Family, T: Tables>(
    tables: &T,
    listener: &Listener,
    flow: &Identity<F::FlowKey>,
    transport: &Transport,
) -> bool {
    if transport.opens() {
        return false;
    }
    let Some(pool) = tables.pool(listener.pool) else { return false };
    let now = tables.now();
    F::flow(tables, &flow.key, pool.oldest(now), now).is_some()
}
