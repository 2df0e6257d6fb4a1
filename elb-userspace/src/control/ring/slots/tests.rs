//! The rules of a slot, case by case and as laws.

use proptest::prelude::*;

use super::*;

/// (cur, prev), the new owner, who is gone, and what (cur, prev) become.
type Case = ((u16, u16), u16, &'static [u16], (u16, u16));

const NO_MEMBER: u16 = Slot::NO_MEMBER;

#[test]
fn change_by_case() {
    let cases: [Case; 20] = [
        ((1, 0), 1, &[], (1, 0)),  // settled, same owner
        ((1, 0), 2, &[], (2, 1)),  // settled, new owner: protect the old one
        ((1, 0), 2, &[1], (2, 2)), // ... unless it is gone
        ((0, 0), 2, &[], (2, 0)),  // an empty slot has no flows
        ((0, 0), 0, &[], (0, 0)),
        ((1, 0), 0, &[], (0, 1)), // the pool ran empty: old flows still have an owner
        ((1, 0), 0, &[1], (0, NO_MEMBER)), // ... unless it is gone
        ((2, 1), 3, &[], (3, 1)), // moving: the oldest owner stays
        ((2, 1), 1, &[], (1, 1)), // back to the former owner: others' flows are recorded
        ((2, 1), 0, &[], (0, 1)), // moving, the pool ran empty
        ((0, 1), 3, &[], (3, 1)), // ... and has members again
        ((2, 1), 2, &[1], (2, 2)), // the former owner's delay has ended
        ((2, 1), 3, &[1], (3, 3)), // ... as the owner changes
        ((2, 1), 0, &[1], (0, NO_MEMBER)), // ... as the pool runs empty
        ((0, NO_MEMBER), 0, &[], (0, NO_MEMBER)),
        ((0, NO_MEMBER), 3, &[], (3, 3)), // ... and has members again
        ((2, 2), 2, &[], (2, 2)),         // exceptions, same owner
        ((2, 2), 3, &[], (3, 2)),         // ... a new owner: protect the old one
        ((2, 2), 3, &[2], (3, 3)),        // ... unless it is gone
        ((2, 2), 0, &[], (0, 2)),
    ];
    for ((cur, prev), new_cur, gone, expected) in cases {
        let slot = change(Slot::new(cur, prev), new_cur, |id| gone.contains(&id));
        let expected = Slot::new(expected.0, expected.1);
        assert_eq!(slot, expected, "({cur}, {prev}) -> {new_cur}, gone {gone:?}");
    }
}

#[test]
fn rings_of_other_kinds_by_case() {
    let none_gone = |_| false;
    for (slot, new) in [((0, 0), 1), ((1, 0), 2), ((1, 0), 0), ((1, 1), 2), ((0, NO_MEMBER), 2)] {
        let scheduled = RingKind { scheduled: true, succeeds: slot.0 == slot.1 };
        let slot = follow(scheduled, Slot::new(slot.0, slot.1), new, none_gone);
        assert_eq!(slot, Slot::new(new, 0));
    }
    let hashed = RingKind { scheduled: false, succeeds: true };
    assert_eq!(follow(hashed, Slot::default(), 1, none_gone), Slot::new(1, 1));
    assert_eq!(follow(hashed, Slot::default(), 0, none_gone), Slot::new(0, NO_MEMBER));
    assert_eq!(follow(hashed, Slot::new(1, 1), 2, none_gone), Slot::new(2, 1));
}

#[test]
fn slots_convert_after_one_idle_timeout_or_after_four() {
    assert!(!may_convert(100, 0, 401, 300));
    assert!(may_convert(100, 0, 402, 300));
    assert!(!may_convert(401, 0, 400, 0), "the clock of the change is ahead");
    assert!(!may_convert(100, 102, 403, 300), "a flow found no room meanwhile");
    assert!(may_convert(100, 102, 404, 300));
    assert!(!may_convert(100, 1301, 1301, 300));
    assert!(may_convert(100, 1302, 1302, 300), "flows are refused without end");
}

#[test]
fn slots_settle_by_a_sweep_that_began_later_and_found_nothing() {
    assert!(!may_settle(100, 100));
    assert!(!may_settle(100, 101));
    assert!(may_settle(100, 102));
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

proptest! {
    /// What a slot promises to the flows of its owners, whatever comes and goes.
    #[test]
    fn changes_protect_the_oldest_owner_that_lives(
        steps in prop::collection::vec((0u16..4, prop::collection::hash_set(1u16..4, 0..2)), 1..30)
    ) {
        let mut slot = Slot::default();
        for (owner, gone) in steps {
            let owner = if gone.contains(&owner) { 0 } else { owner };
            let next = change(slot, owner, |id| gone.contains(&id));
            prop_assert_eq!(change(next, owner, |id| gone.contains(&id)), next, "twice is once");
            prop_assert!(next.cur() == owner && !gone.contains(&next.prev()));
            let oldest = if slot.is_moving() { slot.prev() } else { slot.cur() };
            if oldest != 0 && !gone.contains(&oldest) && oldest != owner {
                prop_assert_eq!(next, Slot::new(owner, oldest));
            }
            slot = next;
        }
    }
}

proptest! {
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
