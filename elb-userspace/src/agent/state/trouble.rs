//! What could not be written, to the maps or to the state directory: why, how often, and when to try again.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::time::Time;

/// How long the first repetition waits; each one after it twice as long.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(30);

/// A thing that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::agent) enum Written {
    /// The maps.
    Maps,
    /// What the maps hold, which is read after a write failed.
    Reading,
    /// The numbers.
    Numbers,
    /// Members that are drained.
    Drained,
    /// The last good configuration.
    LastGood,
    /// The members' health.
    Health,
}

/// What fails at present.
#[derive(Debug, Default)]
pub(in crate::agent) struct Trouble {
    failing: BTreeMap<Written, String>,
    /// Writes to maps that failed since the agent started.
    pub(in crate::agent) failed_writes: u64,
    tries: u32,
    retry_at: Option<Time>,
}

impl Trouble {
    /// Takes in how a write ended. True if it succeeded.
    pub(in crate::agent) fn note(
        &mut self,
        what: Written,
        result: Result<(), String>,
        now: Time,
    ) -> bool {
        match result {
            Ok(()) => {
                if self.failing.remove(&what).is_some() {
                    tracing::info!(?what, "it can be written again");
                }
                if self.failing.keys().all(|what| *what == Written::Health) {
                    (self.tries, self.retry_at) = (0, None);
                }
                true
            }
            Err(why) => {
                tracing::error!("{why}");
                self.failing.insert(what, why);
                // Health is written again anyway, soon.
                if what != Written::Health && self.retry_at.is_none_or(|at| at <= now) {
                    self.retry_at = Some(now + backoff(self.tries));
                    self.tries += 1;
                }
                false
            }
        }
    }

    /// Whether something fails.
    pub(in crate::agent) fn is_any(&self) -> bool {
        !self.failing.is_empty()
    }

    /// Whether this fails.
    pub(in crate::agent) fn is(&self, what: Written) -> bool {
        self.failing.contains_key(&what)
    }

    /// In how much time to try again; none: nothing fails.
    pub(in crate::agent) fn retry_in(&self, now: Time) -> Option<Duration> {
        self.retry_at.map(|at| at.since(now))
    }

    /// What fails, and why.
    pub(in crate::agent) fn all(&self) -> impl Iterator<Item = (Written, &str)> {
        self.failing.iter().map(|(what, why)| (*what, why.as_str()))
    }

    /// What fails, in words.
    pub(in crate::agent) fn problems(&self) -> impl Iterator<Item = String> + '_ {
        self.failing.values().cloned()
    }
}

fn backoff(tries: u32) -> Duration {
    LONGEST.min(FIRST.saturating_mul(1 << tries.min(10)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_nanos(ms * 1_000_000)
    }

    #[test]
    fn failures_are_repeated_ever_more_rarely() {
        let mut trouble = Trouble::default();
        assert_eq!(trouble.retry_in(at(0)), None);
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..8 {
            assert!(!trouble.note(Written::Maps, Err("full".to_owned()), at(now)));
            let wait = u64::try_from(trouble.retry_in(at(now)).unwrap().as_millis()).unwrap();
            waits.push(wait);
            now += wait;
        }
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
        assert!(trouble.note(Written::Maps, Ok(()), at(now)));
        assert_eq!((trouble.is_any(), trouble.retry_in(at(now))), (false, None));
    }

    #[test]
    fn events_in_between_do_not_put_the_repetition_off() {
        let mut trouble = Trouble::default();
        trouble.note(Written::Maps, Err("full".to_owned()), at(0));
        trouble.note(Written::Maps, Err("full".to_owned()), at(400));
        assert_eq!(trouble.retry_in(at(400)), Some(Duration::from_millis(100)));
    }

    #[test]
    fn each_failure_ends_by_itself() {
        let mut trouble = Trouble::default();
        trouble.note(Written::Numbers, Err("no space".to_owned()), at(0));
        trouble.note(Written::Maps, Err("full".to_owned()), at(0));
        trouble.note(Written::Maps, Ok(()), at(1));
        assert!(trouble.is_any() && trouble.is(Written::Numbers) && !trouble.is(Written::Maps));
        assert_eq!(trouble.problems().collect::<Vec<_>>(), ["no space"]);
        assert!(trouble.retry_in(at(1)).is_some());
    }
}
