//! Counters of what was forwarded, and of what a listener's packets were dropped for. All that was not
//! forwarded is counted by its reason, too, in `process`.

use super::{Stop, Tables, Transport};
use crate::reason::Fate;

/// Counts a forwarded frame by listener and by backend.
#[inline(always)]
pub(super) fn forwarded<T: Tables>(tables: &T, listener: u16, backend: u16, bytes: u64) {
    tables.count_listener(listener, bytes);
    tables.count_backend(backend, bytes);
}

/// Counts a connection that opens at a backend, or that its client resets.
#[inline(always)]
pub(super) fn chosen<T: Tables>(tables: &T, listener: u16, backend: u16, transport: &Transport) {
    if transport.opens() {
        tables.count_opening(listener, backend);
    } else if transport.resets() {
        tables.count_reset(listener);
    }
}

/// Counts a packet for a listener that is not forwarded, if it is dropped.
#[inline(always)]
pub(super) fn stopped<T: Tables>(
    tables: &T,
    listener: u16,
    backend: u16,
    Stop(reason): Stop,
) -> Stop {
    if T::IS_LOGGED {
        tables.stopped(listener, backend);
    }
    if matches!(reason.fate(), Fate::Dropped) {
        tables.count_dropped(listener, reason);
    }
    Stop(reason)
}
