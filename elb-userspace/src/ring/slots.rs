//! How a slot in use follows a new table, without breaking the connections of its former owner.
//!
//! The rules keep these promises to the packet path, which sends new flows to `cur` and records
//! them while the slot is moving, and sends flows it has no record of to `prev`:
//! - `prev` is the oldest owner whose flows may live; the flows of every later owner are recorded;
//! - `prev == cur` protects recorded flows only: nobody older is left;
//! - a slot is settled only if no flow can live that a settled slot would send elsewhere.
//!
//! Three kinds of change follow from them: of a ring whose slots flows find by a hash ([`change`]),
//! of a schedule whose slots new flows take in turn ([`reschedule`]), and the first owners of a ring
//! that replaces another one ([`begin`]).

use elb_common::ring::Slot;

/// What a ring is, as far as its slots follow other rules for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kind {
    /// New flows take its owners in turn, and every flow is recorded.
    pub scheduled: bool,
    /// It replaces a ring that flows without a record still live on.
    pub succeeds: bool,
}

/// The slot of a ring of this kind after its entry in the table became `new_cur` (0: nobody).
///
/// `gone` tells whether a backend no longer serves even its established flows; it is asked about
/// the present and the former owner only. Applying the same change again changes nothing.
pub fn follow(kind: Kind, slot: Slot, new_cur: u16, gone: impl Fn(u16) -> bool) -> Slot {
    if kind.succeeds && slot == Slot::default() {
        begin(new_cur)
    } else if kind.scheduled {
        reschedule(slot, new_cur)
    } else {
        change(slot, new_cur, gone)
    }
}

/// A slot that flows find by a hash.
pub fn change(slot: Slot, new_cur: u16, gone: impl Fn(u16) -> bool) -> Slot {
    let lives = |owner: u16| ![0, Slot::NOBODY].contains(&owner) && !gone(owner);
    let (cur, prev) = (slot.cur(), slot.prev());
    if slot.is_settled() {
        if cur == new_cur || cur == 0 {
            Slot::new(new_cur, 0)
        } else if lives(cur) {
            Slot::new(new_cur, cur)
        } else {
            // Records of the owner may be left from before the slot settled. Flows are recorded
            // anew until those count no more, or a recovery would bring the old ones back.
            begin(new_cur)
        }
    } else if lives(prev) {
        Slot::new(new_cur, prev)
    } else if new_cur == 0 && lives(cur) {
        Slot::new(0, cur)
    } else {
        begin(new_cur)
    }
}

/// A slot of a schedule: all flows are recorded, so that nobody needs a former owner; one that is
/// moving stays so for the flows of a ring before.
pub fn reschedule(slot: Slot, new_cur: u16) -> Slot {
    if slot.is_settled() { Slot::new(new_cur, 0) } else { begin(new_cur) }
}

/// A slot that is moving with nobody older: recorded flows are honoured, others go to `cur`, or
/// where the ring before sends them.
pub fn begin(cur: u16) -> Slot {
    Slot::new(cur, if cur == 0 { Slot::NOBODY } else { cur })
}

/// The slot after a look at the clock: settled if nobody needs it to be moving any more.
pub fn settle(slot: Slot, seen: u32, now: u32, idle: u32) -> Slot {
    if is_quiet(seen, now, idle) { Slot::new(slot.cur(), 0) } else { slot }
}

/// Whether no packet needed a slot to be moving for more than `idle` seconds, and one, since both
/// clocks are read in whole seconds.
///
/// `seen` is the second in which the packet path last answered from `prev` or met a recorded flow
/// of an owner other than `cur`, or that of the last change if it did neither since; `now` is the
/// present one. Both are read from the same 32-bit clock and may have wrapped around between;
/// `seen` may be slightly ahead of `now`, as the two are not read at the same time. `idle` is below
/// 2^31.
pub fn is_quiet(seen: u32, now: u32, idle: u32) -> bool {
    let quiet = now.wrapping_sub(seen);
    let seen_is_ahead = quiet > u32::MAX / 2;
    !seen_is_ahead && quiet > idle + 1
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
    /// Of a ring that replaces another one: every slot counts as moved, unavoidably.
    pub const fn whole(slots: u32) -> Self {
        Self { slots, moved: slots, minimum: slots }
    }

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
/// A ring of another size is another ring: see [`Diff::whole`].
pub fn diff(old: &[u16], new: &[u16]) -> Diff {
    let slots = u32::try_from(new.len()).unwrap_or(u32::MAX);
    if old.len() != new.len() {
        return Diff::whole(slots);
    }
    let most = old.iter().chain(new).copied().max().unwrap_or(0);
    let mut gained = vec![0i64; usize::from(most) + 1];
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
