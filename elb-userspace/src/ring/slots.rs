//! How a slot in use follows a new table, without breaking the connections of its former owner.
//!
//! The rules keep these promises to the packet path, which sends new flows to `cur` and records
//! them while the slot is moving, and sends flows it has no record of to `prev`:
//! - `prev` is the oldest owner whose flows may live; the flows of every later owner are recorded;
//! - `prev == cur` protects recorded flows only: nobody older is left;
//! - a slot is settled only if no flow can live that a settled slot would send elsewhere.

use elb_common::ring::Slot;

/// The slot after its entry in the table became `new_cur` (0: the pool has nobody to take it).
///
/// `gone` tells whether a backend no longer serves even its established flows; it is asked about
/// the present and the former owner only. Applying the same change again changes nothing.
pub fn change(slot: Slot, new_cur: u16, gone: impl Fn(u16) -> bool) -> Slot {
    let lives = |owner: u16| owner != 0 && !gone(owner);
    let (cur, prev) = (slot.cur(), slot.prev());
    if slot.is_settled() {
        // No flow is recorded anywhere: only the owner's own flows can need protection.
        let former = if cur != new_cur && lives(cur) { cur } else { 0 };
        Slot::new(new_cur, former)
    } else if lives(prev) {
        Slot::new(new_cur, prev)
    } else if new_cur != 0 {
        Slot::new(new_cur, new_cur)
    } else {
        // With neither owner left, 0 in both places, there is nobody to send a miss to.
        Slot::new(0, if lives(cur) { cur } else { 0 })
    }
}

/// The slot after a look at the clock: settled if for `idle` seconds no packet needed it to be
/// moving.
///
/// `seen` is the second in which the packet path last answered from `prev` or met a recorded flow
/// of an owner other than `cur`, or that of the last change if it did neither since; `now` is the
/// present one. Both are read from the same 32-bit clock and may have wrapped around between;
/// `seen` may be slightly ahead of `now`, as the two are not read at the same time. `idle` is below
/// 2^31.
pub fn settle(slot: Slot, seen: u32, now: u32, idle: u32) -> Slot {
    let quiet = now.wrapping_sub(seen);
    let seen_is_ahead = quiet > u32::MAX / 2;
    if slot.is_settled() || seen_is_ahead || quiet < idle { slot } else { Slot::new(slot.cur(), 0) }
}

/// How many slots a new table gives to another owner, against what no table could avoid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Slots in the new table.
    pub slots: u32,
    /// Slots whose owner changed.
    pub moved: u32,
    /// The least number of slots that had to move, given how many each owner had and now has.
    pub minimum: u32,
}

impl Diff {
    /// The part of the slots that moved, 0..=1.
    pub fn share(&self) -> f64 {
        f64::from(self.moved) / f64::from(self.slots.max(1))
    }

    /// The part of the slots that had to move, 0..=1.
    pub fn minimum_share(&self) -> f64 {
        f64::from(self.minimum) / f64::from(self.slots.max(1))
    }
}

/// Compares the owners (`cur`, 0 = none) in a ring and in the next one.
///
/// A ring of another size is another ring: every slot of it counts as moved, unavoidably.
pub fn diff(old: &[u16], new: &[u16]) -> Diff {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let slots = count(new.len());
    if old.len() != new.len() {
        return Diff { slots, moved: slots, minimum: slots };
    }
    let mut gained = vec![0i64; usize::from(u16::MAX) + 1];
    let mut moved = 0;
    for (&old, &new) in old.iter().zip(new).filter(|(old, new)| old != new) {
        gained[usize::from(old)] -= 1;
        gained[usize::from(new)] += 1;
        moved += 1;
    }
    let minimum = gained.iter().filter(|gain| **gain > 0).sum::<i64>();
    Diff { slots, moved, minimum: u32::try_from(minimum).unwrap_or(slots) }
}

#[cfg(test)]
mod tests;
