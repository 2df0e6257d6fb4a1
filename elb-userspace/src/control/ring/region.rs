//! The slots of one ring where packets read them: whole words, each valid by itself.

use std::sync::atomic::{AtomicU32, Ordering};

use elb_common::ring::Slot;

use super::slots;
use crate::control::plan::RingWrite;

/// A region of `RINGS` and the same one of `RINGS_SEEN`. Packets may read the one and write the
/// other meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct Words<'a> {
    slots: &'a [AtomicU32],
    seen: &'a [AtomicU32],
}

impl<'a> Words<'a> {
    /// Slots and, for each, when it last needed to be moving; as many of the one as of the other.
    pub fn new(slots: &'a [AtomicU32], seen: &'a [AtomicU32]) -> Self {
        assert_eq!(slots.len(), seen.len(), "a slot has one time");
        Self { slots, seen }
    }

    /// Lets the ring follow a new table; a slot that begins to move, or to have exceptions, does so `now`.
    pub fn write(self, ring: &RingWrite, now: u32) {
        for ((word, seen), owner) in self.slots.iter().zip(self.seen).zip(&ring.owners) {
            let slot = Slot(word.load(Ordering::Relaxed));
            // Nearly all slots of a usual change: it takes less to see that than to follow the rules.
            if slot == Slot::new(*owner, 0) && *owner != 0 {
                continue;
            }
            let next = slots::follow(ring.kind, slot, *owner, |id| ring.gone.contains(&id));
            if next == slot {
                continue;
            }
            // A moving slot that changes again protects the flows from before its first change.
            if !(slot.is_moving() && next.is_moving()) {
                seen.store(now, Ordering::Relaxed);
            }
            word.store(next.0, Ordering::Release);
        }
    }

    /// Converts the moving slots whose older flows all have records by `now`; a flow of the pool last
    /// found no room for its record at second `refused`.
    pub fn convert(self, now: u32, refused: u32, idle: u32) {
        for (word, seen) in self.slots.iter().zip(self.seen) {
            let slot = Slot(word.load(Ordering::Relaxed));
            let since = seen.load(Ordering::Relaxed);
            if slot.is_moving() && slots::may_convert(since, refused, now, idle) {
                seen.store(now, Ordering::Relaxed);
                word.store(Slot::excepting(slot.cur()).0, Ordering::Release);
            }
        }
    }

    /// Settles the slots that need no record: the sweep that began at second `swept` found none.
    pub fn settle(self, swept: u32) {
        for (word, seen) in self.slots.iter().zip(self.seen) {
            let slot = Slot(word.load(Ordering::Relaxed));
            if slot.has_exceptions() && slots::may_settle(seen.load(Ordering::Relaxed), swept) {
                word.store(Slot::new(slot.cur(), 0).0, Ordering::Release);
            }
        }
    }

    /// How many slots are in which state.
    pub fn states(self) -> States {
        let mut states = States::default();
        for slot in self.slots() {
            states.moving += u32::from(slot.is_moving());
            states.exceptions += u32::from(slot.has_exceptions());
        }
        states
    }

    /// Empties the region.
    pub fn clear(self) {
        // Most of a map was never used: reading does not make the kernel back it with memory.
        let used = self.slots.iter().chain(self.seen);
        used.filter(|word| word.load(Ordering::Relaxed) != 0)
            .for_each(|word| word.store(0, Ordering::Release));
    }

    /// The slots.
    pub fn slots(self) -> impl Iterator<Item = Slot> + 'a {
        self.slots.iter().map(|word| Slot(word.load(Ordering::Relaxed)))
    }
}

/// Slots that are not settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct States {
    /// Slots whose former owners have flows without a record.
    pub moving: u32,
    /// Slots of which flows of other owners may be recorded.
    pub exceptions: u32,
}

impl States {
    /// Whether all slots are settled.
    pub const fn are_settled(self) -> bool {
        self.moving == 0 && self.exceptions == 0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::control::ring::slots::RingKind;

    fn words(values: &[u32]) -> Vec<AtomicU32> {
        values.iter().map(|value| AtomicU32::new(*value)).collect()
    }

    #[test]
    fn only_what_changes_is_written_and_watched() {
        let (slots, seen) = (words(&[1, 2, 0]), words(&[5, 5, 5]));
        let region = Words::new(&slots, &seen);
        let ring = RingWrite {
            base: 0,
            owners: vec![1, 3, 0],
            gone: BTreeSet::new(),
            kind: RingKind::default(),
        };
        region.write(&ring, 9);
        let expected = [Slot::new(1, 0), Slot::new(3, 2), Slot::new(0, 0)];
        assert!(region.slots().eq(expected));
        assert_eq!(seen.iter().map(|s| s.load(Ordering::Relaxed)).collect::<Vec<_>>(), [5, 9, 5]);
        region.clear();
        assert!(slots.iter().chain(&seen).all(|word| word.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn slots_convert_and_settle_one_by_one() {
        let unsettled = [Slot::new(1, 1).0, Slot::new(2, 1).0, Slot::new(3, 1).0, 3];
        let (slots, seen) = (words(&unsettled), words(&[100, 100, 200, 0]));
        let region = Words::new(&slots, &seen);
        assert_eq!(region.states(), States { moving: 2, exceptions: 1 });
        region.convert(250, 0, 99);
        assert_eq!(region.states(), States { moving: 1, exceptions: 2 });
        region.settle(250);
        let expected = [Slot::new(1, 0), Slot::new(2, 2), Slot::new(3, 1), Slot::new(3, 0)];
        assert!(region.slots().eq(expected));
        region.convert(301, 250, 99);
        assert_eq!(region.states(), States { moving: 1, exceptions: 1 });
        region.convert(350, 0, 99);
        region.settle(353);
        assert!(region.states().are_settled());
    }

    #[test]
    fn a_moving_slot_keeps_the_time_of_its_first_change() {
        let (slots, seen) = (words(&[1]), words(&[0]));
        let region = Words::new(&slots, &seen);
        let give = |owner, now| {
            let (owners, gone) = (vec![owner], BTreeSet::new());
            region.write(&RingWrite { base: 0, owners, gone, kind: RingKind::default() }, now);
            seen[0].load(Ordering::Relaxed)
        };
        assert_eq!([give(2, 5), give(3, 6), give(1, 7), give(2, 8)], [5, 5, 7, 8]);
    }
}
