//! Schedules: whose turn it is, where each new connection takes the next turn.
//!
//! A schedule lies where other pools have their lookup table. Unlike there, the place of a member
//! says nothing about flows: all of them are recorded.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use elb_common::ring;

use super::maglev::{EMPTY, RingMember};
use super::rise::{self, RingEntry, Risen};

/// Turns by weight of members some of which may be rising. Where members have limits, it ends with rounds
/// of all.
///
/// # Panics
/// As [`by_weight`].
pub fn by_share(members: &[RingEntry], has_limits: bool, size: u32) -> Vec<u16> {
    let shares = weighted(members, &rise::weights(members));
    match has_limits {
        true => with_rounds(&shares, size),
        false => by_weight(&shares, size),
    }
}

/// Every member of a weight once a round, but one that is rising in as many of the rounds as it has risen:
/// where members have few connections, their turn alone decides.
///
/// # Panics
/// As [`by_weight`].
pub fn by_presence(members: &[RingEntry], has_limits: bool, size: u32) -> Vec<u16> {
    let risen = rise::against_furthest(members);
    if risen.iter().all(|one| *one == Risen::FULL) {
        let ring: Vec<RingMember> = members.iter().map(|one| one.member).collect();
        return in_rounds(&ring, size);
    }
    let alike = |one: &RingEntry| {
        let weight = one.member.weight.min(1);
        RingEntry { member: RingMember { weight, ..one.member }, ..*one }
    };
    let alike: Vec<RingEntry> = members.iter().map(alike).collect();
    by_share(&alike, has_limits, size)
}

/// The members with other weights.
fn weighted(members: &[RingEntry], weights: &[u32]) -> Vec<RingMember> {
    let pairs = members.iter().zip(weights);
    pairs.map(|(one, weight)| RingMember { weight: *weight, ..one.member }).collect()
}

/// Turns by weight, evenly spread (stride scheduling, Waldspurger 1995): the index into `members`
/// whose turn it is, `size` times, or [`EMPTY`] everywhere if all weights are 0.
///
/// A member of weight `w` has its turns at the times `(k + ½) / w`, and earlier times come first;
/// at the same time members go in the order of their identities, so that equal weights strictly
/// alternate. After as many turns as the weights have in sum, divided by what they have in common,
/// it repeats itself; the end and the beginning of the schedule need not fit together.
///
/// # Panics
/// If there are more than 65,535 members.
pub fn by_weight(members: &[RingMember], size: u32) -> Vec<u16> {
    let order = order(members);
    let common = order.iter().fold(0, |common, (_, weight, _)| divisor(common, *weight));
    let period: u64 = order.iter().map(|(_, weight, _)| u64::from(weight / common.max(1))).sum();
    let mut next: BinaryHeap<Reverse<Turn>> =
        (0..).zip(&order).map(|(place, member)| Reverse(Turn::first(place, member.1))).collect();
    let turns = usize::try_from(period.min(u64::from(size))).unwrap_or(usize::MAX);
    let mut schedule = Vec::with_capacity(size as usize);
    while schedule.len() < turns
        && let Some(mut turn) = next.peek_mut()
    {
        schedule.push(order[turn.0.place as usize].2);
        turn.0 = turn.0.following(order[turn.0.place as usize].1);
    }
    repeat(schedule, size)
}

/// As [`by_weight`], but that [at the end](ring::rounds) every member has a turn before any has another.
///
/// # Panics
/// If there are more than 65,535 members.
pub fn with_rounds(members: &[RingMember], size: u32) -> Vec<u16> {
    let mut schedule = by_weight(members, size);
    let rounds = ring::rounds(size);
    schedule.truncate((size - rounds) as usize);
    schedule.extend(in_rounds(members, rounds));
    schedule
}

/// Every member of a weight once a round, in the order of their identities.
///
/// # Panics
/// If there are more than 65,535 members.
pub fn in_rounds(members: &[RingMember], size: u32) -> Vec<u16> {
    let mut round: Vec<u16> = order(members).into_iter().map(|(.., index)| index).collect();
    round.truncate(size as usize);
    repeat(round, size)
}

/// Identity, weight and index of the members that have a weight, in the order of their identities.
fn order(members: &[RingMember]) -> Vec<(u64, u32, u16)> {
    assert!(members.len() <= usize::from(EMPTY), "more than 65,535 members in one schedule");
    let weighted = (0..).zip(members).filter(|(_, member)| member.weight > 0);
    let mut order: Vec<_> = weighted.map(|(index, m)| (m.identity, m.weight, index)).collect();
    order.sort_unstable();
    order
}

fn repeat(mut turns: Vec<u16>, size: u32) -> Vec<u16> {
    if turns.is_empty() {
        return vec![EMPTY; size as usize];
    }
    while turns.len() < size as usize {
        turns.extend_from_within(..turns.len().min(size as usize - turns.len()));
    }
    turns
}

/// A member's next turn; earlier ones are less.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    /// In 2^-32 of the time in which a member of weight 1 has one.
    time: u64,
    /// Its place in the order of identities.
    place: u32,
    /// Turns it had before.
    before: u32,
}

impl Turn {
    fn first(place: u32, weight: u32) -> Self {
        Self { time: Self::time(0, weight), place, before: 0 }
    }

    fn following(self, weight: u32) -> Self {
        let before = self.before + 1;
        Self { time: Self::time(before, weight), before, ..self }
    }

    /// Computed anew for each turn, so that no error adds up.
    fn time(before: u32, weight: u32) -> u64 {
        ((2 * u64::from(before) + 1) << 31) / u64::from(weight)
    }
}

/// The greatest common divisor.
fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn members(weights: &[u32]) -> Vec<RingMember> {
        let member = |(identity, weight): (u64, &u32)| RingMember { identity, weight: *weight };
        (1..).zip(weights).map(member).collect()
    }

    fn counts(schedule: &[u16], members: usize) -> Vec<u32> {
        let mut counts = vec![0; members];
        schedule.iter().for_each(|index| counts[usize::from(*index)] += 1);
        counts
    }

    #[test]
    fn turns_by_case() {
        assert_eq!(by_weight(&members(&[1, 1]), 5), [0, 1, 0, 1, 0]);
        assert_eq!(by_weight(&members(&[7, 7, 7]), 7), [0, 1, 2, 0, 1, 2, 0]);
        assert_eq!(by_weight(&members(&[1, 3]), 8), [1, 0, 1, 1, 1, 0, 1, 1]);
        assert_eq!(by_weight(&members(&[2, 0, 1]), 6), [0, 2, 0, 0, 2, 0]);
        assert_eq!(in_rounds(&members(&[1, 0, 3]), 5), [0, 2, 0, 2, 0]);
        assert_eq!(in_rounds(&members(&[1, 2, 3]), 2), [0, 1]);
        for schedule in [by_weight, in_rounds] {
            assert_eq!(schedule(&[], 3), [EMPTY; 3]);
            assert_eq!(schedule(&members(&[0]), 3), [EMPTY; 3]);
        }
    }

    #[test]
    fn the_order_of_members_does_not_matter() {
        let mut turned = members(&[1, 2, 3]);
        turned.reverse();
        let identities = |members: &[RingMember]| -> Vec<u64> {
            let schedule = by_weight(members, 100);
            schedule.iter().map(|index| members[usize::from(*index)].identity).collect()
        };
        assert_eq!(identities(&members(&[1, 2, 3])), identities(&turned));
    }

    proptest! {
        /// In any stretch of turns, no member is two turns ahead of or behind its part.
        #[test]
        fn turns_are_evenly_spread(
            weights in prop::collection::vec(0u32..=100, 1..12),
            from in 0usize..2_000,
            length in 1usize..2_000,
        ) {
            let total: u32 = weights.iter().sum();
            prop_assume!(total > 0);
            let schedule = by_weight(&members(&weights), 4_093);
            let counts = counts(&schedule[from..from + length], weights.len());
            for (count, weight) in counts.iter().zip(&weights) {
                let fair = length as f64 * f64::from(*weight) / f64::from(total);
                let ahead = f64::from(*count) - fair;
                prop_assert!(ahead.abs() < weights.len() as f64 + 1.0, "{count} of {fair}");
            }
        }

        #[test]
        fn a_period_has_as_many_turns_as_the_weight(
            weights in prop::collection::vec(1u32..=100, 1..30),
        ) {
            let common = weights.iter().fold(0, |common, weight| divisor(common, *weight));
            let period: u32 = weights.iter().map(|weight| weight / common).sum();
            let counts = counts(&by_weight(&members(&weights), period), weights.len());
            for (count, weight) in counts.iter().zip(&weights) {
                prop_assert_eq!(*count, weight / common);
            }
        }

        /// However the weights differ, every member is found in any stretch of the rounds that is as long
        /// as there are members, and the shares before are those of the weights.
        #[test]
        fn rounds_find_every_member(
            weights in prop::collection::vec(1u32..=100, 1..=40),
            size in prop::sample::select(vec![4_093u32, 16_381]),
        ) {
            let members = members(&weights);
            let schedule = with_rounds(&members, size);
            prop_assert_eq!(schedule.len(), size as usize);
            let (turns, rounds) = schedule.split_at((size - ring::rounds(size)) as usize);
            prop_assert_eq!(turns, &by_weight(&members, size)[..turns.len()]);
            for round in rounds.windows(weights.len()) {
                prop_assert!(counts(round, weights.len()).iter().all(|turns| *turns == 1));
            }
        }

        #[test]
        fn a_round_has_every_member_once(count in 1usize..50) {
            let size = u32::try_from(count).unwrap() * 3;
            let schedule = in_rounds(&members(&vec![5; count]), size);
            prop_assert!(counts(&schedule, count).iter().all(|turns| *turns == 3));
        }
    }
}
