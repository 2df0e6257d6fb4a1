//! Whose turn it is on a schedule: `ROUND_ROBIN` and `LEAST_CONNECTIONS`.

use super::room::{FREE, NONE};
use super::{Answer, Tables};
use crate::listener::{Listener, algorithm};
use crate::reason::Reason;
use crate::ring::{self, Slot};

/// Owners that `LEAST_CONNECTIONS` compares: all of a pool that has no more, else those whose turn
/// it is.
pub const CANDIDATES: u32 = 8;

/// Turns that are picked from all of a schedule, where an owner has no room, for another that has.
const PICKED: u32 = 8;

/// Turns of the [rounds](ring::rounds) that are looked at after these: all owners of a pool that has no more.
pub const LOOKED_AT: u32 = 64;

/// The schedule of a pool, and the second it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// First slot.
    pub base: u32,
    /// Slots.
    pub size: u32,
    /// The present second.
    pub now: u32,
}

/// The backend that the client is `served` by, if there is one and it has room; else the owner whose turn it
/// is, of those that have room: its id, 0: there is no owner.
#[inline(always)]
pub(super) fn next<T: Tables>(tables: &T, listener: &Listener, now: u32, served: u16) -> Answer {
    if served != 0 && (!listener.limits_members() || tables.room(served, now) != NONE) {
        return Answer::id(served);
    }
    let schedule = Schedule { base: listener.ring_base, size: listener.ring_size, now };
    let turn = tables.turn(listener.pool);
    let mut id = schedule.owner(tables, turn).unwrap_or(0);
    if listener.algorithm == algorithm::LEAST_CONNECTIONS {
        let least = tables.least_loaded(schedule, turn);
        if least != 0 {
            id = least;
        }
    }
    if !listener.limits_members() || tables.room(id, now) == FREE {
        return Answer::id(id);
    }
    let another = tables.another(schedule, turn);
    if another >> 16 < NONE {
        Answer::id(another as u16)
    } else if tables.counts_are_believed() {
        Answer::refused(Reason::MemberLimit)
    } else {
        Answer::id(id)
    }
}

/// Another owner than one without room whose turn it was: one of a few turns picked from all of the
/// schedule, so that those who have room share by weight what the others do not take; else one of the
/// rounds. What it has room for, from 0 (for one more) to 2 (for none), in the high half, its id in the low half.
#[inline(always)]
pub fn another<T: Tables>(tables: &T, schedule: &Schedule, turn: u32) -> u32 {
    /// 2^32 by the golden ratio: multiples of it are nowhere close to each other (Knuth, 6.4).
    const STEP: u32 = 0x9e37_79b1;
    let Schedule { base, size, now } = *schedule;
    let mut best = NONE << 16;
    let mut picked = turn.wrapping_mul(PICKED).wrapping_mul(STEP);
    for _ in 0..PICKED {
        best = tables.owner_room(base.wrapping_add(ring::index(picked, size)), now, best);
        if best >> 16 == FREE {
            return best;
        }
        picked = picked.wrapping_add(STEP);
    }
    let rounds = ring::rounds(size);
    // As many places follow as are looked at.
    let starts = rounds.saturating_sub(LOOKED_AT - 1);
    let first = base.wrapping_add(size.wrapping_sub(rounds));
    let mut at = first.wrapping_add(turn.checked_rem(starts).unwrap_or(0));
    for _ in 0..LOOKED_AT {
        best = tables.owner_room(at, now, best);
        if best >> 16 == FREE {
            return best;
        }
        at = at.wrapping_add(1);
    }
    best
}

impl Schedule {
    /// The owner with the fewest connections for its weight, of those whose turn it is; `None`: not known. Without
    /// a branch for each comparison, whose combinations the verifier would walk.
    #[inline(always)]
    pub fn least_loaded<T: Tables>(&self, tables: &T, turn: u32) -> Option<u16> {
        let mut least = i64::MAX;
        for candidate in 0..CANDIDATES {
            let owner = self.owner(tables, turn.wrapping_add(candidate))?;
            let load = self.load(tables, owner, candidate)?;
            let more = load.wrapping_sub(least);
            least = least.wrapping_add(more & (more >> 63));
        }
        Some(least as u16)
    }

    /// Whether it has as many connections as it may have in the highest bit that a positive number has,
    /// then connections for its weight, then how late its turn is, its id in the low 16.
    #[inline(always)]
    fn load<T: Tables>(&self, tables: &T, id: u16, turns: u32) -> Option<i64> {
        const MOST: u32 = (1 << 27) - 1;
        let backend = tables.backend(id)?;
        let (weight, most) = (u64::from(backend.weight), backend.max_connections);
        let open = tables.backend_connections(id, self.now);
        let load = (u64::from(open & MOST) << 16).checked_div(weight)?;
        // Most is 0 where there is no limit: one less is more than there can be.
        let is_full = u64::from(open > most.wrapping_sub(1));
        Some((is_full << 62 | load << 19 | u64::from(turns & 7) << 16 | u64::from(id)) as i64)
    }

    #[inline(always)]
    fn owner<T: Tables>(&self, tables: &T, turn: u32) -> Option<u16> {
        let index = self.base.wrapping_add(turn.checked_rem(self.size)?);
        tables.slot(index).map(Slot::cur)
    }
}
