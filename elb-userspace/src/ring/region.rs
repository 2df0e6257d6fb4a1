//! The slots of one ring where packets read them: whole words, each valid by itself.

use std::sync::atomic::{AtomicU32, Ordering};

use elb_common::ring::Slot;

use super::slots;
use crate::publish::RingWrite;

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

    /// Lets the ring follow a new table; a slot that changes starts to be watched `now`.
    pub fn write(self, ring: &RingWrite, now: u32) {
        for ((word, seen), owner) in self.slots.iter().zip(self.seen).zip(&ring.owners) {
            let slot = Slot(word.load(Ordering::Relaxed));
            // Nearly all slots of a usual change: it takes less to see that than to follow the rules.
            if slot == Slot::new(*owner, 0) && *owner != 0 {
                continue;
            }
            let next = slots::follow(ring.kind, slot, *owner, |id| ring.gone.contains(&id));
            if next != slot {
                seen.store(now, Ordering::Relaxed);
                word.store(next.0, Ordering::Release);
            }
        }
    }

    /// Settles the slots that nobody needed to be moving for `idle` seconds; with `together`, all
    /// of them or none. The number of slots that still move.
    ///
    /// While a ring replaces another one, all its slots move together: then all flows since are
    /// recorded, and yet another ring may replace it without knowing it.
    pub fn settle(self, now: u32, idle: u32, together: bool) -> u32 {
        let moving = || self.slots.iter().zip(self.seen).filter(|(word, _)| !settled(word));
        let quiet = |seen: &AtomicU32| slots::is_quiet(seen.load(Ordering::Relaxed), now, idle);
        let mut left = 0;
        if together && !moving().all(|(_, seen)| quiet(seen)) {
            return u32::try_from(moving().count()).unwrap_or(u32::MAX);
        }
        for (word, seen) in moving() {
            let slot = Slot(word.load(Ordering::Relaxed));
            let next = slots::settle(slot, seen.load(Ordering::Relaxed), now, idle);
            if next != slot {
                word.store(next.0, Ordering::Release);
            }
            left += u32::from(!next.is_settled());
        }
        left
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

fn settled(word: &AtomicU32) -> bool {
    Slot(word.load(Ordering::Relaxed)).is_settled()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::ring::slots::Kind;

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
            kind: Kind::default(),
        };
        region.write(&ring, 9);
        let expected = [Slot::new(1, 0), Slot::new(3, 2), Slot::new(0, 0)];
        assert!(region.slots().eq(expected));
        assert_eq!(seen.iter().map(|s| s.load(Ordering::Relaxed)).collect::<Vec<_>>(), [5, 9, 5]);
        region.clear();
        assert!(slots.iter().chain(&seen).all(|word| word.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn slots_settle_one_by_one_or_together() {
        let moving = [Slot::new(1, 1).0, Slot::new(2, 1).0, 3];
        let (slots, seen) = (words(&moving), words(&[100, 200, 0]));
        let region = Words::new(&slots, &seen);
        assert_eq!(region.settle(300, 99, true), 2);
        assert_eq!(region.settle(300, 199, false), 2);
        assert_eq!(region.settle(300, 99, false), 1);
        assert!(region.slots().eq([Slot::new(1, 0), Slot::new(2, 1), Slot::new(3, 0)]));
        assert_eq!(region.settle(301, 99, true), 0);
        assert!(region.slots().all(Slot::is_settled));
    }
}
