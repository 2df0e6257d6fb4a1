//! How punctual probes are: how long after its time each one started.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Upper ends of the classes, in milliseconds; what is later is in one more class.
const CLASSES: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
/// The same in seconds.
pub const ENDS: &[f64; CLASSES.len()] =
    &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];

/// Probes by how late they started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lateness {
    probes: [u64; CLASSES.len() + 1],
    most: Duration,
    sum: Duration,
}

/// Probes that started no later than that, and later than those of the class before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Class {
    /// Milliseconds; none: however late.
    pub at_most_ms: Option<u64>,
    /// Probes.
    pub probes: u64,
}

impl Lateness {
    /// Takes in a probe that started so late.
    pub fn note(&mut self, late: Duration) {
        let class = CLASSES.iter().position(|ms| late <= Duration::from_millis(*ms));
        self.probes[class.unwrap_or(CLASSES.len())] += 1;
        self.most = self.most.max(late);
        self.sum = self.sum.saturating_add(late);
    }

    /// All of them together.
    pub const fn sum(&self) -> Duration {
        self.sum
    }

    /// Probes of each class, the most punctual first; the last class has no end.
    pub const fn counts(&self) -> &[u64] {
        &self.probes
    }

    /// The latest of all.
    pub const fn most(&self) -> Duration {
        self.most
    }

    /// All classes, the most punctual first.
    pub fn classes(&self) -> Vec<Class> {
        let ends = CLASSES.iter().copied().map(Some).chain([None]);
        let class =
            |(at_most_ms, probes): (Option<u64>, &u64)| Class { at_most_ms, probes: *probes };
        ends.zip(&self.probes).map(class).collect()
    }
}

/// Milliseconds that a part of the probes (0.99: 99 of 100) were not later than, rounded up to the
/// end of a class; none if they were later than all of these.
pub fn quantile(classes: &[Class], part: f64) -> Option<u64> {
    let all: u64 = classes.iter().map(|class| class.probes).sum();
    let mut so_far = 0;
    let reached = classes.iter().find(|class| {
        so_far += class.probes;
        so_far as f64 >= part * all as f64
    });
    reached.and_then(|class| class.at_most_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_counted_by_how_late_they_are() {
        let mut lateness = Lateness::default();
        assert_eq!(quantile(&lateness.classes(), 0.99), Some(1), "nothing was late");
        for _ in 0..98 {
            lateness.note(Duration::from_micros(300));
        }
        lateness.note(Duration::from_millis(2));
        lateness.note(Duration::from_secs(9));
        let classes = lateness.classes();
        let counts: Vec<u64> = classes.iter().map(|class| class.probes).collect();
        assert_eq!(counts, [98, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(quantile(&classes, 0.5), Some(1));
        assert_eq!(quantile(&classes, 0.99), Some(2));
        assert_eq!(quantile(&classes, 1.0), None);
        assert_eq!(lateness.most(), Duration::from_secs(9));
        assert_eq!(lateness.counts(), counts);
        assert_eq!(lateness.sum(), Duration::from_micros(98 * 300 + 2_000 + 9_000_000));
        assert_eq!(CLASSES.map(|ms| ms as f64 / 1e3), *ENDS);
    }
}
