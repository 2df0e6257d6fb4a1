//! Observations by size, in classes with fixed upper ends.

use std::time::Duration;

/// How many observations were how large.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Upper ends in seconds; what is larger is in one more class.
    ends: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
}

impl Histogram {
    /// Nothing observed yet.
    pub fn new(ends: &'static [f64]) -> Self {
        Self { ends, counts: vec![0; ends.len() + 1], sum: 0.0 }
    }

    /// One that was counted elsewhere, in as many classes as there are ends, and one more.
    pub fn counted(ends: &'static [f64], counts: Vec<u64>, sum: Duration) -> Self {
        Self { ends, counts, sum: sum.as_secs_f64() }
    }

    /// Takes in an observation.
    pub fn note(&mut self, time: Duration) {
        let seconds = time.as_secs_f64();
        let class = self.ends.iter().position(|end| seconds <= *end).unwrap_or(self.ends.len());
        if let Some(count) = self.counts.get_mut(class) {
            *count += 1;
        }
        self.sum += seconds;
    }

    /// Their sum, in seconds.
    pub const fn sum(&self) -> f64 {
        self.sum
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Upper end of each class, the last one infinite, and observations in it.
    pub fn classes(&self) -> Vec<(f64, u64)> {
        let ends = self.ends.iter().copied().chain([f64::INFINITY]);
        ends.zip(self.counts.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_belongs_to_its_class() {
        let mut histogram = Histogram::new(&[0.001, 0.5]);
        for micros in [1_000, 1_001, 500_000, 600_000] {
            histogram.note(Duration::from_micros(micros));
        }
        assert_eq!(histogram.classes(), [(0.001, 1), (0.5, 2), (f64::INFINITY, 1)]);
        assert_eq!(histogram.count(), 4);
        assert!((histogram.sum() - 1.102_001).abs() < 1e-9);
    }
}
