//! Laws of a rise: in time, in weights, in a table and on a schedule.

use elb_common::listener::algorithm;
use proptest::prelude::*;

use super::*;
use crate::control::ring::identity;
use crate::control::ring::shape::Shape;

const SIZE: u32 = 16_381;

/// Members with these weights, that have risen so far, in parts of 10,000.
fn entries(members: &[(u32, u32)]) -> Vec<RingEntry> {
    let entry = |(n, (weight, risen)): (u16, &(u32, u32))| {
        let address = std::net::Ipv4Addr::new(10, 0, 0, u8::try_from(n).unwrap());
        let member = RingMember { identity: identity(address.into(), 80), weight: *weight };
        RingEntry { member, id: n, risen: Risen(*risen) }
    };
    (1..).zip(members).map(entry).collect()
}

fn slots(owners: &[u16], id: u16) -> u32 {
    u32::try_from(owners.iter().filter(|owner| **owner == id).count()).unwrap()
}

fn owners(algorithm: u16, members: &[RingEntry], has_limits: bool) -> Vec<u16> {
    Shape { size: SIZE, algorithm, cid: (0, 0) }.owners(members, has_limits)
}

/// The parts that are due, 0 to 1: a rising member's in proportion to what it has risen, the rest by weight.
fn due(members: &[(u32, u32)]) -> Vec<f64> {
    let all: u32 = members.iter().map(|(weight, _)| weight).sum();
    let share = |(weight, risen): &(u32, u32)| {
        f64::from(*weight) / f64::from(all) * f64::from(*risen) / f64::from(PARTS)
    };
    let rising = |one: &&(u32, u32)| one.1 < PARTS;
    let left = 1.0 - members.iter().filter(rising).map(share).sum::<f64>();
    let full: f64 = members.iter().filter(|one| !rising(one)).map(share).sum();
    let part = |one: &(u32, u32)| if rising(&one) { share(one) } else { share(one) / full * left };
    members.iter().map(part).collect()
}

/// Members of which at least one has risen.
fn any_members() -> impl Strategy<Value = Vec<(u32, u32)>> {
    let risen = prop_oneof![3 => Just(PARTS), 2 => 1..PARTS];
    let others = prop::collection::vec((1u32..=100, risen), 0..12);
    (1u32..=100, others).prop_map(|(first, others)| [vec![(first, PARTS)], others].concat())
}

#[test]
fn a_rise_by_case() {
    let rise = |duration| Rise { since: 100, duration };
    let parts = |rise: Rise| -> Vec<u32> {
        (100..=100 + rise.duration).map(|now| rise.at(now).0).collect()
    };
    assert_eq!(parts(rise(1)), [5_000, 10_000]);
    assert_eq!(parts(rise(4)), [1_250, 3_750, 6_250, 8_750, 10_000]);
    assert_eq!(rise(20).at(110).0, 5_250);
    // Steps of two seconds, the last of one.
    assert_eq!(rise(21).at(119), rise(21).at(118));
    assert_eq!((rise(21).at(120).0, rise(21).at(121)), (9_762, Risen::FULL));
    assert_eq!(
        (rise(40).next(100), rise(40).next(101), rise(40).next(139)),
        (Some(102), Some(102), Some(140))
    );
    assert_eq!((rise(1200).next(100), rise(40).next(140)), (Some(160), None));
    assert_eq!(rise(40).end(), 140);
    assert_eq!(rise(30).at(7).0, 333, "a clock that is behind");
}

proptest! {
    /// Each step is the mean of its time, no step is longer than a twentieth or a second, and a step changes
    /// nothing before it is due.
    #[test]
    fn a_rise_follows_a_line(duration in 1u32..=1200, since in 0u32..5_000) {
        let rise = Rise { since, duration };
        let half = f64::from(duration.div_ceil(20)) / 2.0;
        let mut before = Risen(0);
        for passed in 0..duration {
            let now = since + passed;
            let is = rise.at(now);
            prop_assert!(Risen(0) < is && before <= is && is < Risen::FULL);
            let at = is.ratio() * f64::from(duration);
            prop_assert!((at - f64::from(passed)).abs() <= half + 0.1, "{at} at {passed}");
            let next = rise.next(now).unwrap();
            prop_assert!(next > now && rise.at(next - 1) == is && rise.at(next) > is);
            before = is;
        }
        prop_assert_eq!((rise.at(rise.end()), rise.next(rise.end())), (Risen::FULL, None));
    }

    #[test]
    fn weights_are_what_is_due(members in any_members()) {
        let weights = weights(&entries(&members));
        let all: u32 = weights.iter().sum();
        for ((weight, due), (own, risen)) in weights.iter().zip(due(&members)).zip(&members) {
            // A unit is the hundredth part of the lightest member, or less.
            let (is, unit) = (f64::from(*weight) / f64::from(all), 1.0 / f64::from(all));
            let rounding = unit * (1.0 + due * members.len() as f64);
            prop_assert!((is - due).abs() <= rounding, "{is} of {due}");
            let first = (weights[0] / members[0].0, members[0].1);
            prop_assert!(*risen < PARTS || first == (weight / own, PARTS), "others keep their proportions");
            prop_assert!((1..=PARTS).contains(weight));
        }
    }

    /// Whatever chooses: a rising member has its part, the others divide the rest by their weights.
    #[test]
    fn shares_are_what_is_due(members in any_members(), has_limits: bool) {
        let entries = entries(&members);
        for algorithm in [algorithm::FIVE_TUPLE, algorithm::ROUND_ROBIN] {
            let owners = owners(algorithm, &entries, has_limits);
            // Of the last turns, where members have limits, each member has one of as many as there are.
            let rounds = match has_limits && algorithm == algorithm::ROUND_ROBIN {
                true => f64::from(elb_common::ring::rounds(SIZE)) / f64::from(SIZE),
                false => 0.0,
            };
            for (one, due) in entries.iter().zip(due(&members)) {
                let due = due * (1.0 - rounds) + rounds / members.len() as f64;
                let is = f64::from(slots(&owners, one.id)) / f64::from(SIZE);
                let tolerance = 0.004 + due / 50.0;
                prop_assert!((is - due).abs() <= tolerance, "{is} of {due} by {algorithm}");
            }
        }
    }

    /// With least connections, turns say who is asked: once a round, and a rising member in its part of them.
    #[test]
    fn a_rising_member_is_in_some_of_the_rounds(members in any_members()) {
        let entries = entries(&members);
        let alike: Vec<_> = members.iter().map(|(_, risen)| (1, *risen)).collect();
        let owners = owners(algorithm::LEAST_CONNECTIONS, &entries, false);
        for (one, due) in entries.iter().zip(due(&alike)) {
            let is = f64::from(slots(&owners, one.id)) / f64::from(SIZE);
            prop_assert!((is - due).abs() <= 0.002, "{is} of {due}");
        }
    }

    /// All of a rise moves the slots that the member has in the end, each once, and no other.
    #[test]
    fn a_rise_takes_slots_and_gives_none_back(
        weights in prop::collection::vec(1u32..=100, 2..12),
        at in any::<prop::sample::Index>(),
        parts in prop::collection::vec(1u32..PARTS, 1..8),
    ) {
        let rising = u16::try_from(at.index(weights.len()) + 1).unwrap();
        let table = |part: u32| {
            let risen = |n: u16| if n == rising { part } else { PARTS };
            let members: Vec<_> = (1..).zip(&weights).map(|(n, w)| (*w, risen(n))).collect();
            owners(algorithm::FIVE_TUPLE, &entries(&members), false)
        };
        let mut parts = parts;
        parts.sort_unstable();
        let end = table(PARTS);
        let mut before: Option<Vec<u16>> = None;
        for part in parts.into_iter().chain([PARTS]) {
            let now = table(part);
            let expected = scaled(slots(&end, rising), part, PARTS).max(1);
            prop_assert_eq!(slots(&now, rising), expected);
            for (at, owner) in now.iter().enumerate() {
                prop_assert!(*owner == end[at] || end[at] == rising);
                let was = before.as_ref().map_or(*owner, |before| before[at]);
                prop_assert!(was == *owner || *owner == rising);
            }
            before = Some(now);
        }
    }

    /// Where none has risen, those that have risen furthest have what the others do not get.
    #[test]
    fn the_furthest_take_the_rest(members in any_members(), furthest in 1u32..PARTS) {
        let down = |(weight, risen): &(u32, u32)| (*weight, scaled(*risen, furthest, PARTS).max(1));
        let lower: Vec<_> = members.iter().map(down).collect();
        let of = |members: &[(u32, u32)]| against_furthest(&entries(members));
        for (is, one) in of(&lower).iter().zip(of(&members)) {
            let off = is.0.abs_diff(one.0);
            prop_assert!(off <= PARTS.div_ceil(furthest), "{is:?} of {one:?}");
        }
        for algorithm in [algorithm::FIVE_TUPLE, algorithm::ROUND_ROBIN, algorithm::LEAST_CONNECTIONS] {
            let owners = owners(algorithm, &entries(&lower), false);
            prop_assert_eq!(slots(&owners, 0), 0, "{}", algorithm);
        }
    }

    /// Without a rise everything is as it was without slow start.
    #[test]
    fn who_has_risen_has_what_it_had(weights in prop::collection::vec(0u32..=100, 0..12)) {
        let members = entries(&weights.iter().map(|weight| (*weight, PARTS)).collect::<Vec<_>>());
        let ring: Vec<RingMember> = members.iter().map(|one| one.member).collect();
        prop_assert_eq!(table(&members, SIZE), maglev::build(&ring, SIZE));
        let id = |at: &u16| members.get(usize::from(*at)).map_or(0, |one| one.id);
        let by = |all: Vec<u16>| -> Vec<u16> { all.iter().map(id).collect() };
        let turns = by(crate::control::ring::schedule::by_weight(&ring, SIZE));
        prop_assert_eq!(owners(algorithm::ROUND_ROBIN, &members, false), turns);
        let turns = by(crate::control::ring::schedule::in_rounds(&ring, SIZE));
        prop_assert_eq!(owners(algorithm::LEAST_CONNECTIONS, &members, true), turns);
    }
}
