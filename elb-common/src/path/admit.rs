//! Who may open a flow: the listener's IP group and its limits. Segments of connections that exist
//! are not judged, and pay nothing, unless the IP group cuts them, too.

use super::{Family, Ip, Stop, Tables, Transport};
use crate::listener::{Listener, listener_flags as flags};
use crate::reason::Reason;

/// What the listener says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It may go on.
    Granted,
    /// It may go on if it belongs to a recorded flow: a datagram does not say whether it is the
    /// first one.
    IfRecorded,
}

/// Judges a packet: whether the listener serves at all, and where it opens a flow, or may open one,
/// whether it serves its sender.
#[inline(always)]
pub(super) fn packet<F: Family, T: Tables>(
    tables: &T,
    listener: &Listener,
    ip: &Ip<F::Addr>,
    transport: &Transport,
) -> Result<Admission, Stop> {
    if listener.flags & flags::DISABLED != 0 {
        return Err(Stop(Reason::Disabled));
    }
    const ANY: u16 = flags::WHITELIST | flags::BLACKLIST | flags::LIMITED;
    let cuts = listener.flags & flags::CUT != 0;
    if listener.flags & ANY == 0 || !(transport.opens() || transport.is_udp() || cuts) {
        return Ok(Admission::Granted);
    }
    match (lets_in::<F, T>(tables, listener, ip.source), transport.opens()) {
        (true, true) => opening(tables, listener, || tables.now()).map(|()| Admission::Granted),
        (true, false) => Ok(Admission::Granted),
        (false, true) => Err(Stop(Reason::AccessDenied)),
        (false, false) if cuts => Err(Stop(Reason::Cut)),
        (false, false) => Ok(Admission::IfRecorded),
    }
}

/// Whether one more connection may open; the clock is read only where a rate is limited.
#[inline(always)]
pub(super) fn opening<T: Tables>(
    tables: &T,
    listener: &Listener,
    now: impl FnOnce() -> u32,
) -> Result<(), Stop> {
    if listener.flags & flags::LIMITED == 0 {
        return Ok(());
    }
    if is_full(tables, listener) {
        return Err(Stop(Reason::ConnectionLimit));
    }
    if listener.cps > 0 && !tables.may_open(listener.id, listener.cps, now()) {
        return Err(Stop(Reason::RateLimited));
    }
    Ok(())
}

/// Whether the listener has as many connections as it may have. A count that no sweep corrects any more
/// may only grow: it shuts no client out.
#[inline(always)]
pub(super) fn is_full<T: Tables>(tables: &T, listener: &Listener) -> bool {
    let most = listener.max_connections;
    most > 0 && tables.listener_connections(listener.id) >= most && tables.counts_are_believed()
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
