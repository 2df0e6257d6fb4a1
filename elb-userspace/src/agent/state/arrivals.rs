//! New connections of the last minute: which members really got them.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, SystemTime};

use crate::control::reconcile::Renamed;
use crate::model::ResourceId;
use crate::model::time::{Now, Time};

/// How often the counts are looked at.
pub(in crate::agent) const PERIOD: Duration = Duration::from_secs(10);
/// For how long they are kept.
const KEPT: Duration = Duration::from_secs(60);
/// Connections of a pool from which on its members' parts say something.
const ENOUGH: u64 = 1000;
/// A part that differs from the due one by more than this part of it is wrong.
const TOLERANCE: f64 = 0.1;
/// Standard deviations that chance explains.
const CHANCE: f64 = 5.0;

/// Counts of connections, as they were.
#[derive(Debug, Default)]
pub(in crate::agent) struct Arrivals {
    samples: VecDeque<Sample>,
    /// When the shares of a pool last changed.
    changed: BTreeMap<ResourceId, Time>,
}

#[derive(Debug)]
struct Sample {
    at: Now,
    /// By backend id.
    counts: HashMap<u16, u64>,
}

/// The part of the new connections that a member got.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::agent) struct Arrived {
    pub count: u64,
    pub share: f64,
    pub since: SystemTime,
}

impl Arrivals {
    /// Takes the counts of all members down; those of more than a minute ago are forgotten.
    pub(in crate::agent) fn sample(&mut self, counts: HashMap<u16, u64>, now: Now) {
        while self.samples.get(1).is_some_and(|second| now.time.since(second.at.time) >= KEPT) {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { at: now, counts });
    }

    /// The shares of a pool change `now`.
    pub(in crate::agent) fn changed(&mut self, pool: ResourceId, now: Time) {
        self.changed.insert(pool, now);
    }

    /// A pool got another id.
    pub(in crate::agent) fn renamed(&mut self, pool: &Renamed) {
        pool.apply(&mut self.changed);
    }

    /// What the members of a pool got since its shares are as they are, or in the last minute; `counts` is
    /// what they have now. None until there is something to compare with.
    pub(in crate::agent) fn of(
        &self,
        pool: ResourceId,
        counts: &HashMap<u16, u64>,
    ) -> HashMap<u16, Arrived> {
        let changed = self.changed.get(&pool);
        let valid = |sample: &&Sample| changed.is_none_or(|at| sample.at.time >= *at);
        let Some(first) = self.samples.iter().find(valid) else { return HashMap::new() };
        let came =
            |(id, count): (&u16, &u64)| Some((*id, count.wrapping_sub(*first.counts.get(id)?)));
        let came: HashMap<u16, u64> = counts.iter().filter_map(came).collect();
        let all: u64 = came.values().sum();
        let arrived = |(id, count): (u16, u64)| {
            let share = if all > 0 { count as f64 / all as f64 } else { 0.0 };
            (id, Arrived { count, share, since: first.at.wall })
        };
        came.into_iter().map(arrived).collect()
    }
}

/// Whether a member got so much more or less than its due share of all new connections of its pool that
/// chance does not explain it.
pub(in crate::agent) fn is_wrong(count: u64, all: u64, due: f64) -> bool {
    if all < ENOUGH {
        return false;
    }
    let expected = all as f64 * due;
    let off = (count as f64 - expected).abs();
    off > TOLERANCE * expected && off > CHANCE * (expected * (1.0 - due)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        let since = Duration::from_secs(seconds);
        Now { time: Time::ZERO + since, wall: SystemTime::UNIX_EPOCH + since }
    }

    fn counts(one: u64, two: u64) -> HashMap<u16, u64> {
        HashMap::from([(1, one), (2, two)])
    }

    #[test]
    fn members_get_their_part_of_the_last_minute() {
        let mut arrivals = Arrivals::default();
        let [web, other] = ["web", "other"].map(ResourceId::of_pool);
        assert!(arrivals.of(web, &counts(5, 5)).is_empty());
        for second in [0, 10, 20, 30, 40, 50, 60, 70, 80] {
            arrivals.sample(counts(second * 3, second), at(second));
        }
        let arrived = arrivals.of(web, &counts(255, 85))[&1];
        assert_eq!((arrived.count, arrived.share), (255 - 60, 0.75));
        assert_eq!(arrived.since, at(20).wall);
        arrivals.changed(web, at(75).time);
        assert_eq!(arrivals.of(web, &counts(255, 85))[&2].count, 5);
        arrivals.changed(web, at(81).time);
        assert!(arrivals.of(web, &counts(255, 85)).is_empty(), "nothing to compare with yet");
        assert_eq!(arrivals.of(other, &counts(255, 85)).len(), 2);
    }

    #[test]
    fn chance_is_no_problem_and_a_tenth_is() {
        assert!(!is_wrong(500, 999, 0.25), "too few");
        assert!(!is_wrong(290, 1000, 0.25), "chance");
        assert!(is_wrong(400, 1000, 0.25));
        assert!(!is_wrong(27_000, 100_000, 0.25), "within a tenth");
        assert!(is_wrong(28_000, 100_000, 0.25));
        assert!(is_wrong(0, 1000, 0.25));
        assert!(!is_wrong(0, 1000, 0.0));
    }
}
