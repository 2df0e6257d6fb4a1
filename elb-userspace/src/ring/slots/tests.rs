//! The rules of a slot, case by case and as laws.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;

use super::*;

/// (cur, prev), the new owner, who is gone, and what (cur, prev) become.
type Case = ((u16, u16), u16, &'static [u16], (u16, u16));

const NOBODY: u16 = Slot::NOBODY;

#[test]
fn change_by_case() {
    let cases: [Case; 18] = [
        ((1, 0), 1, &[], (1, 0)),          // settled, same owner
        ((1, 0), 2, &[], (2, 1)),          // settled, new owner: protect the old one
        ((1, 0), 2, &[1], (2, 2)),         // ... unless it is gone: what it had is recorded anew
        ((0, 0), 2, &[], (2, 0)),          // an empty slot has no flows
        ((1, 0), 0, &[], (0, 1)),          // the pool ran empty: old flows still have an owner
        ((1, 0), 0, &[1], (0, NOBODY)),    // ... unless it is gone
        ((2, 1), 3, &[], (3, 1)),          // moving: the oldest owner stays
        ((2, 1), 1, &[], (1, 1)),          // back to the former owner
        ((2, 1), 0, &[], (0, 1)),          // moving, the pool ran empty
        ((0, 1), 3, &[], (3, 1)),          // ... and has somebody again
        ((2, 1), 2, &[1], (2, 2)),         // the former owner's delay has ended
        ((2, 1), 3, &[1], (3, 3)),         // ... as the owner changes
        ((2, 1), 0, &[1], (0, 2)),         // ... as the pool runs empty
        ((2, 1), 0, &[1, 2], (0, NOBODY)), // ... and only recorded flows are left
        ((0, NOBODY), 0, &[], (0, NOBODY)),
        ((0, NOBODY), 3, &[], (3, 3)), // ... and new ones
        ((2, 2), 3, &[], (3, 2)),      // moving with nobody older: the owner is now the oldest
        ((2, 2), 3, &[2], (3, 3)),     // ... and gone
    ];
    for ((cur, prev), new_cur, gone, expected) in cases {
        let slot = change(Slot::new(cur, prev), new_cur, |id| gone.contains(&id));
        let expected = Slot::new(expected.0, expected.1);
        assert_eq!(slot, expected, "({cur}, {prev}) -> {new_cur}, gone {gone:?}");
    }
}

#[test]
fn rings_of_other_kinds_by_case() {
    let nobody = |_| false;
    let scheduled = Kind { scheduled: true, succeeds: false };
    let cases = [
        ((0, 0), 1, (1, 0)), // settled stays settled
        ((1, 0), 2, (2, 0)),
        ((1, 0), 0, (0, 0)),
        ((1, 1), 2, (2, 2)), // moving stays moving
        ((1, 1), 0, (0, NOBODY)),
        ((0, NOBODY), 2, (2, 2)),
    ];
    for ((cur, prev), new, expected) in cases {
        let slot = follow(scheduled, Slot::new(cur, prev), new, nobody);
        assert_eq!(slot, Slot::new(expected.0, expected.1), "({cur}, {prev}) -> {new}");
    }
    for scheduled in [false, true] {
        let kind = Kind { scheduled, succeeds: true };
        assert_eq!(follow(kind, Slot::default(), 1, nobody), Slot::new(1, 1));
        assert_eq!(follow(kind, Slot::default(), 0, nobody), Slot::new(0, NOBODY));
    }
    let hashed = Kind { scheduled: false, succeeds: true };
    assert_eq!(follow(hashed, Slot::new(1, 1), 2, nobody), Slot::new(2, 1));
}

#[test]
fn settle_by_case() {
    let moving = Slot::new(2, 1);
    let settled = Slot::new(2, 0);
    assert_eq!(settle(moving, 100, 401, 300), moving);
    assert_eq!(settle(moving, 100, 402, 300), settled);
    assert_eq!(settle(moving, 401, 400, 300), moving, "seen is ahead of now");
    assert_eq!(settle(moving, 401, 400, 0), moving, "seen is ahead of now");
    assert_eq!(settle(moving, u32::MAX - 99, 201, 300), moving, "the clock wrapped around");
    assert_eq!(settle(moving, u32::MAX - 99, 202, 300), settled, "the clock wrapped around");
    assert_eq!(settle(settled, 0, 1_000, 300), settled);
    assert_eq!(settle(Slot::new(0, 1), 0, 302, 300), Slot::new(0, 0));
    assert_eq!(settle(Slot::new(0, NOBODY), 0, 302, 300), Slot::new(0, 0));
    assert_eq!(settle(Slot::new(2, 2), 0, 302, 300), settled);
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

const IDLE: u32 = 10;
const HOLD: u32 = 8;

/// A slot, and what a packet path that keeps the contract of the module's documentation does with
/// the flows that fall on it. Of four flows, the odd ones are UDP.
#[derive(Debug, Default)]
struct World {
    now: u32,
    slot: Slot,
    seen: u32,
    hold_until: u32,
    gone: HashSet<u16>,
    /// Owner, and when it was last seen.
    records: HashMap<u8, (u16, u32)>,
    /// Where each flow really is: its owner, and when it was last seen.
    flows: HashMap<u8, (u16, u32)>,
}

#[derive(Clone, Debug)]
enum Step {
    /// A new table gives the slot to this owner.
    Give(u16),
    /// A member is cut, and another one, or nobody, owns its slots.
    Fail(u16, u16),
    /// It serves again what it has, and owns the slot or not.
    Recover(u16, bool),
    /// A packet of a flow; of TCP, one that opens it.
    Packet(u8),
    Open(u8),
    Wait(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (0u16..4).prop_map(Step::Give),
        2 => (1u16..4, 0u16..4).prop_map(|(member, other)| Step::Fail(member, other)),
        2 => (1u16..4, any::<bool>()).prop_map(|(member, owns)| Step::Recover(member, owns)),
        4 => (0u8..4).prop_map(Step::Packet),
        1 => (0u8..4).prop_map(Step::Open),
        3 => (1u32..7).prop_map(Step::Wait),
    ]
}

impl World {
    fn take(&mut self, step: Step) {
        match step {
            Step::Give(owner) => self.give(owner),
            Step::Fail(member, other) => {
                self.gone.insert(member);
                let cur = self.slot.cur();
                self.give(if cur == member { other } else { cur });
            }
            Step::Recover(member, owns) => {
                self.gone.remove(&member);
                self.give(if owns { member } else { self.slot.cur() });
            }
            Step::Packet(flow) if flow % 2 == 0 && !self.flows.contains_key(&flow) => {}
            Step::Packet(flow) => self.packet(flow, false),
            Step::Open(flow) => self.packet(flow, flow % 2 == 0),
            Step::Wait(seconds) => {
                self.now += seconds;
                self.slot = settle(self.slot, self.seen, self.now, IDLE);
            }
        }
        self.flows.retain(|_, (owner, _)| !self.gone.contains(owner));
    }

    fn give(&mut self, owner: u16) {
        let owner = if self.gone.contains(&owner) { 0 } else { owner };
        let next = change(self.slot, owner, |id| self.gone.contains(&id));
        assert_eq!(change(next, owner, |id| self.gone.contains(&id)), next, "twice is once");
        assert!(next.cur() == owner && !self.gone.contains(&next.prev()));
        if next != self.slot {
            (self.slot, self.seen, self.hold_until) = (next, self.now, self.now + HOLD);
        }
    }

    /// The promise itself: a flow that is not idle goes to the owner it was opened on for as long as
    /// that owner serves it. UDP flows must also say a word while they are held.
    fn packet(&mut self, flow: u8, opens: bool) {
        let is_udp = flow % 2 == 1;
        let life = if is_udp { HOLD - 1 } else { IDLE };
        let lives = |(_, seen): &(u16, u32)| !opens && self.now - seen <= life;
        let owner = self.flows.get(&flow).copied().filter(lives);
        let goes_to = self.forward(flow, is_udp, opens);
        match owner {
            Some((owner, _)) => assert_eq!(goes_to, owner, "flow {flow}"),
            // A TCP flow that is over stays over.
            None if !is_udp && !opens => drop(self.flows.remove(&flow)),
            None => {}
        }
        if goes_to != 0 && (owner.is_some() || is_udp || opens) {
            self.flows.insert(flow, (goes_to, self.now));
        }
    }

    fn forward(&mut self, flow: u8, is_udp: bool, opens: bool) -> u16 {
        if self.slot.is_settled() {
            return self.slot.cur();
        }
        let serves = |owner: u16| ![0, NOBODY].contains(&owner) && !self.gone.contains(&owner);
        let recorded = self.records.get_mut(&flow).filter(|(_, seen)| self.now - *seen <= IDLE);
        let recorded = recorded.map(|(owner, seen)| {
            *seen = self.now;
            *owner
        });
        let cur = self.slot.cur();
        let older = Some(self.slot.prev()).filter(|owner| serves(*owner)).unwrap_or(cur);
        let id = match recorded.filter(|owner| serves(*owner) && !opens) {
            Some(owner) => owner,
            None if !is_udp && !opens => older,
            None => {
                let id = if is_udp && self.now < self.hold_until { older } else { cur };
                if id != 0 {
                    self.records.insert(flow, (id, self.now));
                }
                id
            }
        };
        if id != cur {
            self.seen = self.now;
        }
        id
    }
}

/// The records of an owner outlive the time in which its slot moves.
#[test]
fn flows_that_found_another_owner_stay_there_when_the_first_one_recovers() {
    let mut world = World::default();
    let udp = 1;
    for step in [
        Step::Give(1),
        Step::Give(2),
        Step::Wait(HOLD),
        Step::Packet(udp),
        Step::Wait(3),
        Step::Packet(udp),
        Step::Wait(1),
        Step::Fail(2, 1),
        Step::Packet(udp),
        Step::Wait(2),
        Step::Packet(udp),
    ] {
        world.take(step);
    }
    assert_eq!(world.flows[&udp].0, 1);
    world.take(Step::Recover(2, true));
    world.take(Step::Packet(udp));
    assert_eq!(world.flows[&udp].0, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_change_moves_an_established_flow(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::default();
        steps.into_iter().for_each(|step| world.take(step));
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
