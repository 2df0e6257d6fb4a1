//! The rules of a slot, case by case and as laws.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

/// (cur, prev), the new owner, who is gone, and what (cur, prev) become.
type Case = ((u16, u16), u16, &'static [u16], (u16, u16));

#[test]
fn change_by_case() {
    let cases: [Case; 16] = [
        ((1, 0), 1, &[], (1, 0)),     // settled, same owner
        ((1, 0), 2, &[], (2, 1)),     // settled, new owner: protect the old one
        ((1, 0), 2, &[1], (2, 0)),    // ... unless it is gone: nothing is recorded elsewhere
        ((0, 0), 2, &[], (2, 0)),     // an empty slot has no flows
        ((1, 0), 0, &[], (0, 1)),     // the pool ran empty: established flows still have an owner
        ((1, 0), 0, &[1], (0, 0)),    // ... unless it is gone
        ((2, 1), 3, &[], (3, 1)),     // moving: the oldest owner stays
        ((2, 1), 1, &[], (1, 1)),     // back to the former owner
        ((2, 1), 0, &[], (0, 1)),     // moving, the pool ran empty
        ((0, 1), 3, &[], (3, 1)),     // ... and has somebody again
        ((2, 1), 2, &[1], (2, 2)),    // the former owner's delay has ended
        ((2, 1), 3, &[1], (3, 3)),    // ... as the owner changes
        ((2, 1), 0, &[1], (0, 2)),    // ... as the pool runs empty
        ((2, 1), 0, &[1, 2], (0, 0)), // ... and nobody is left
        ((2, 2), 3, &[], (3, 2)),     // moving with nobody older: the owner is now the oldest
        ((2, 2), 3, &[2], (3, 3)),    // ... and gone
    ];
    for ((cur, prev), new_cur, gone, expected) in cases {
        let slot = change(Slot::new(cur, prev), new_cur, |id| gone.contains(&id));
        let expected = Slot::new(expected.0, expected.1);
        assert_eq!(slot, expected, "({cur}, {prev}) -> {new_cur}, gone {gone:?}");
    }
}

#[test]
fn settle_by_case() {
    let moving = Slot::new(2, 1);
    let settled = Slot::new(2, 0);
    assert_eq!(settle(moving, 100, 399, 300), moving);
    assert_eq!(settle(moving, 100, 400, 300), settled);
    assert_eq!(settle(moving, 401, 400, 300), moving, "seen is ahead of now");
    assert_eq!(settle(moving, 401, 400, 0), moving, "seen is ahead of now");
    assert_eq!(settle(moving, u32::MAX - 99, 199, 300), moving, "the clock wrapped around");
    assert_eq!(settle(moving, u32::MAX - 99, 200, 300), settled, "the clock wrapped around");
    assert_eq!(settle(settled, 0, 1_000, 300), settled);
    assert_eq!(settle(Slot::new(0, 1), 0, 300, 300), Slot::new(0, 0));
    assert_eq!(settle(Slot::new(2, 2), 0, 300, 300), settled);
}

#[test]
fn diff_by_case() {
    let moves = |old: &[u16], new: &[u16]| {
        let diff = diff(old, new);
        (diff.slots, diff.moved, diff.minimum)
    };
    assert_eq!(moves(&[], &[]), (0, 0, 0));
    assert_eq!(moves(&[1, 2, 1, 2], &[1, 2, 1, 2]), (4, 0, 0));
    assert_eq!(moves(&[1, 2, 1, 2], &[2, 1, 2, 1]), (4, 4, 0));
    assert_eq!(moves(&[1, 1, 2, 2], &[3, 1, 2, 1]), (4, 2, 1));
    assert_eq!(moves(&[0; 4], &[1, 2, 1, 2]), (4, 4, 4));
    assert_eq!(moves(&[1; 4], &[1; 3]), (3, 3, 3));
    let half = Diff { slots: 4, moved: 2, minimum: 1 };
    assert_eq!((half.share(), half.minimum_share()), (0.5, 0.25));
    assert_eq!(Diff::default().share(), 0.0);
}

/// What a packet path that keeps the contract of the module's documentation does with flows.
#[derive(Default)]
struct Flows {
    owners: HashMap<u32, u16>,
    recorded: HashMap<u32, u16>,
}

impl Flows {
    fn open(&mut self, flow: u32, slot: Slot) {
        if slot.cur() == 0 {
            return;
        }
        self.owners.insert(flow, slot.cur());
        if !slot.is_settled() {
            self.recorded.insert(flow, slot.cur());
        }
    }

    fn forward(&self, flow: u32, slot: Slot, gone: &HashSet<u16>) -> u16 {
        if slot.is_settled() {
            return slot.cur();
        }
        let recorded = self.recorded.get(&flow).filter(|owner| !gone.contains(owner));
        recorded.copied().unwrap_or(slot.prev())
    }
}

proptest! {
    /// The promise itself: whatever the table does, a flow goes to the owner it was opened on for
    /// as long as that owner serves it. The one exception, an empty pool that loses both owners of
    /// a slot at once, ends the run.
    #[test]
    fn no_change_moves_an_established_flow(
        steps in prop::collection::vec((0u16..6, prop::bool::weighted(0.2)), 1..40),
    ) {
        let mut slot = Slot::default();
        let mut gone = HashSet::new();
        let mut flows = Flows::default();
        for (flow, (owner, leaves)) in (0..).zip(steps) {
            let owner = if gone.contains(&owner) { 0 } else { owner };
            if leaves && slot.cur() != owner && slot.cur() != 0 {
                gone.insert(slot.cur());
            }
            slot = change(slot, owner, |id| gone.contains(&id));
            prop_assert_eq!(change(slot, owner, |id| gone.contains(&id)), slot, "twice is once");
            prop_assert_eq!(slot.cur(), owner);
            prop_assert!(!gone.contains(&slot.prev()));
            flows.owners.retain(|_, owner| !gone.contains(owner));
            if slot == Slot::default() && !flows.owners.is_empty() {
                return Ok(());
            }
            flows.open(flow, slot);
            for (flow, owner) in &flows.owners {
                prop_assert_eq!(flows.forward(*flow, slot, &gone), *owner);
            }
        }
    }

    #[test]
    fn no_table_moves_fewer_than_the_minimum(
        old in prop::collection::vec(0u16..5, 50),
        new in prop::collection::vec(0u16..5, 50),
    ) {
        let there = diff(&old, &new);
        let back = diff(&new, &old);
        prop_assert_eq!(there, back);
        prop_assert!(there.minimum <= there.moved);
        let (mut old, mut new) = (old, new);
        old.sort_unstable();
        new.sort_unstable();
        prop_assert_eq!(diff(&old, &new).minimum, there.minimum);
    }
}
