//! How a slot in use follows a new table, without breaking the connections of its former owner.
//!
//! A slot is *settled* `(c, 0)`, *moving* `(c, p)` or has *exceptions* `(c, c)`; see
//! [`elb_common::ring::Slot`] for what packets make of it. The rules keep these promises to the packet
//! path:
//! - in a moving slot `prev` is the oldest owner whose flows may live, and all later flows are recorded;
//! - in a slot with exceptions every flow that is not the present owner's is recorded;
//! - in a settled slot no such flow lives.
//!
//! A moving slot converts to one with exceptions once every older flow that lives has sent a packet, and
//! so has a record: after one idle timeout, whatever else goes on. That one settles when a sweep of the
//! flow tables finds no record that it needs.

use elb_common::ring::Slot;

/// The kind of a ring: what its slots' rules depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RingKind {
    /// New flows take its owners in turn, and every flow is recorded.
    pub scheduled: bool,
    /// It replaces a ring that flows without a record still live on.
    pub succeeds: bool,
}

/// The slot of a ring of this kind after its entry in the table became `new_cur` (0: no owner).
///
/// `gone` says whether a backend no longer serves even its established flows; it is asked about
/// the present and the former owner only. Applying the same change again changes nothing.
pub fn follow(kind: RingKind, slot: Slot, new_cur: u16, gone: impl Fn(u16) -> bool) -> Slot {
    if kind.scheduled {
        // All flows are recorded, and their records are always asked for.
        Slot::new(new_cur, 0)
    } else if kind.succeeds && slot == Slot::default() {
        Slot::excepting(new_cur)
    } else {
        change(slot, new_cur, gone)
    }
}

/// A slot that flows find by a hash.
pub fn change(slot: Slot, new_cur: u16, gone: impl Fn(u16) -> bool) -> Slot {
    let (cur, prev) = (slot.cur(), slot.prev());
    let lives = |owner: u16| owner != 0 && !gone(owner);
    if slot.is_moving() {
        // The former owner is gone, or is the present one again: only recorded flows are elsewhere.
        let is_over = !lives(prev) || prev == new_cur;
        return if is_over { Slot::excepting(new_cur) } else { Slot::new(new_cur, prev) };
    }
    if cur == new_cur || slot == Slot::default() {
        Slot::new(new_cur, prev)
    } else if lives(cur) {
        Slot::new(new_cur, cur)
    } else {
        // Records of the owner may be left: they end when packets meet them, or with a sweep.
        Slot::excepting(new_cur)
    }
}

/// Whether a moving slot may convert: every older flow that lives has a record.
///
/// `since` is the second in which the slot began to move, `refused` the one in which a flow of the pool
/// last found no room for its record (0: none did); `now` is the present one. After four idle timeouts
/// even refused flows do not hold the slot: a flood could hold it for ever.
pub fn may_convert(since: u32, refused: u32, now: u32, idle: u32) -> bool {
    let is_over = |begun: u32, timeouts: u32| is_quiet(begun, now, idle.saturating_mul(timeouts));
    is_over(since, 1) && (refused == 0 || is_over(refused, 1) || is_over(since, 4))
}

/// Whether a slot with exceptions may settle: the sweep that began at second `swept` found no record
/// that it needs, and the slot was as it is for a second before. `seen` is when it became so, or when
/// a sweep last found one.
pub const fn may_settle(seen: u32, swept: u32) -> bool {
    seen.saturating_add(1) < swept
}

/// Whether something is over for more than `idle` seconds, and one, since both clocks are read in whole
/// seconds. `seen` may be slightly ahead of `now`, as the two are not read at the same time.
pub const fn is_quiet(seen: u32, now: u32, idle: u32) -> bool {
    now.saturating_sub(seen) > idle.saturating_add(1)
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
