//! How long each connection has waited for its next answer.

use std::time::{Duration, Instant};

use elb_tests::client::HeldReport;

/// The last answer of each connection, as it was seen.
#[derive(Debug)]
pub(crate) struct Watch {
    connections: Vec<Seen>,
}

#[derive(Clone, Debug)]
struct Seen {
    backend: Option<String>,
    answers: u64,
    last: Instant,
    longest: Duration,
}

impl Watch {
    pub(crate) fn begin(report: &HeldReport, now: Instant) -> Self {
        let seen = report.connections.iter().map(|connection| Seen {
            backend: connection.backend.as_deref().map(str::to_owned),
            answers: connection.round_trips,
            last: now,
            longest: Duration::ZERO,
        });
        Self { connections: seen.collect() }
    }

    /// Takes in what has been answered since the last look.
    pub(crate) fn look(&mut self, report: &HeldReport, now: Instant) {
        for (seen, connection) in self.connections.iter_mut().zip(&report.connections) {
            seen.longest = seen.longest.max(now.duration_since(seen.last));
            if connection.round_trips > seen.answers {
                (seen.answers, seen.last) = (connection.round_trips, now);
            }
        }
    }

    /// The longest time without an answer, of connections whose backend is one of these.
    pub(crate) fn longest(&self, is_one: impl Fn(&str) -> bool) -> Duration {
        self.of(is_one).map(|seen| seen.longest).max().unwrap_or_default()
    }

    /// Whether a connection whose backend is one of these is waiting for longer than `limit` now.
    pub(crate) fn is_silent(
        &self,
        limit: Duration,
        now: Instant,
        is_one: impl Fn(&str) -> bool,
    ) -> bool {
        let mut of = self.of(is_one);
        of.any(|seen| now.duration_since(seen.last) > limit)
    }

    fn of(&self, is_one: impl Fn(&str) -> bool) -> impl Iterator<Item = &Seen> {
        self.connections.iter().filter(move |seen| seen.backend.as_deref().is_some_and(&is_one))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use elb_tests::client::HeldConnection;

    use super::*;

    #[test]
    fn the_longest_wait_is_that_between_two_answers() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let report = |round_trips| HeldReport {
            connections: vec![HeldConnection {
                opened: start,
                local: None,
                backend: Some(Arc::from("backend-0")),
                round_trips,
                slowest: Duration::ZERO,
                failure: None,
            }],
        };
        let mut watch = Watch::begin(&report(1), start);
        watch.look(&report(2), at(100));
        watch.look(&report(2), at(900));
        assert!(watch.is_silent(Duration::from_millis(700), at(900), |_| true));
        watch.look(&report(3), at(1_000));
        watch.look(&report(4), at(1_100));
        assert_eq!(watch.longest(|_| true), Duration::from_millis(900));
        assert_eq!(watch.longest(|name| name != "backend-0"), Duration::ZERO);
        assert!(!watch.is_silent(Duration::from_millis(700), at(1_100), |_| true));
    }
}
