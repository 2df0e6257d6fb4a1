//! How often `elb top` looks at the agent: at a large configuration so seldom that it takes little of a core.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Time between two looks, unless another one is asked for.
pub(super) const INTERVAL: Duration = Duration::from_secs(1);
/// Intervals that keys choose, in milliseconds.
const INTERVALS: [u64; 9] = [200, 500, 1000, 2000, 3000, 5000, 10_000, 30_000, 60_000];
/// A look may cost one part in so many of the time to the next one.
const PARTS: u32 = 100;
/// Looks of which the cheapest counts: one of them may have been the start, or another view.
const COUNTED: usize = 3;

/// What looks at the agent cost.
#[derive(Debug, Default)]
pub(super) struct Pace {
    costs: [Option<Duration>; COUNTED],
}

impl Pace {
    /// Takes in what a look cost. Returns the interval from now on: `interval`, or one that is long enough.
    pub(super) fn note(&mut self, interval: Duration, cost: Duration) -> Duration {
        self.costs.rotate_right(1);
        self.costs[0] = Some(cost);
        let costs = self.costs.into_iter().collect::<Option<Vec<_>>>();
        let least = costs.and_then(|costs| costs.into_iter().min()).unwrap_or_default();
        let mut interval = interval;
        while interval < least * PARTS && step(interval, true) > interval {
            interval = step(interval, true);
        }
        interval
    }
}

/// The next longer interval, or the next shorter one.
pub(super) fn step(interval: Duration, slower: bool) -> Duration {
    let mut intervals = INTERVALS.into_iter().map(Duration::from_millis);
    let found = if slower {
        intervals.find(|one| *one > interval)
    } else {
        intervals.rev().find(|one| *one < interval)
    };
    found.unwrap_or(interval)
}

/// Processor time that this process took so far; zero where the kernel does not say.
pub(super) fn spent() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn looks_that_cost_much_are_seldom() {
        let mut pace = Pace::default();
        assert_eq!(pace.note(SECOND, 900 * MS), SECOND, "one look may have been the start");
        assert_eq!(pace.note(SECOND, 40 * MS), SECOND);
        assert_eq!(pace.note(SECOND, 50 * MS), 5 * SECOND);
        assert_eq!(pace.note(5 * SECOND, 2 * MS), 5 * SECOND, "it does not go to and fro");
    }

    #[test]
    fn there_is_a_longest_interval() {
        let mut pace = Pace::default();
        let longest = (0..3).map(|_| pace.note(SECOND, 60 * SECOND)).last();
        assert_eq!(longest, Some(60 * SECOND));
    }
}
