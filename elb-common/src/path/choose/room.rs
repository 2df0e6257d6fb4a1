//! Members that have as many connections as they may: a new one goes to another that has room.
//!
//! A connection counts as open from its second packet on. Those of which the first came in this second count
//! where there is a choice, so that a burst is spread; alone they shut no client out, or a flood of first
//! packets would.

use super::Tables;
use crate::ring::Slot;

/// A second in which nothing opens.
const NEVER: u32 = u32::MAX;

/// What a backend has room for, as a number, the less the more room: for one more connection.
pub const FREE: u32 = 0;
/// For none. Between the two: for one more if not all that opened in this second become connections.
pub const NONE: u32 = 2;

/// What a backend has room for, from 0 (for one more) to 2 (for none).
#[inline(always)]
pub fn of<T: Tables>(tables: &T, id: u16, now: u32) -> u32 {
    let most = tables.backend(id).map_or(0, |backend| backend.max_connections);
    if most == 0 {
        return FREE;
    }
    let is_full = |second| u32::from(tables.backend_connections(id, second) >= most);
    is_full(now) + is_full(NEVER)
}

/// The owner of a slot, or the best one so far if that has as much room: what it has room for in the high half, its
/// id in the low half. The verifier knows nothing of the number that comes back, and walks a loop over slots once.
#[inline(always)]
pub fn of_owner<T: Tables>(tables: &T, slot: u32, now: u32, best: u32) -> u32 {
    let id = tables.slot(slot).map_or(0, Slot::cur);
    let found = of(tables, id, now) << 16 | u32::from(id);
    found.min(best)
}
