//! Counters of what was forwarded. What was not is counted by its reason, in `process`.

use super::Tables;

/// Counts a forwarded frame by listener and by backend.
#[inline(always)]
pub(super) fn forwarded<T: Tables>(tables: &T, listener: u16, backend: u16, bytes: u64) {
    tables.count_listener(listener, bytes);
    tables.count_backend(backend, bytes);
}
