//! How late probes started, as the metrics of the agent say it.

use std::iter::Sum;

use anyhow::{Result, ensure};

/// The ends of classes in milliseconds, and the probes that were at most so late.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lateness(Vec<(f64, f64)>);

impl Lateness {
    /// Out of metrics.
    pub fn read(metrics: &str) -> Result<Self> {
        let series = "elb_probe_lateness_seconds_bucket{le=\"";
        let class = |line: &str| {
            let (end, count) = line.strip_prefix(series)?.split_once("\"} ")?;
            // Infinity is written as it is read.
            Some((end.parse::<f64>().ok()? * 1e3, count.parse().ok()?))
        };
        let classes: Vec<_> = metrics.lines().filter_map(class).collect();
        ensure!(!classes.is_empty(), "no lateness of probes in the metrics");
        Ok(Self(classes))
    }

    /// What came since `before`.
    pub fn since(&self, before: &Self) -> Self {
        let class = |(now, before): (&(f64, f64), &(f64, f64))| (now.0, now.1 - before.1);
        Self(self.0.iter().zip(&before.0).map(class).collect())
    }

    /// So late were 99 of 100 probes at most: the upper end of the class.
    pub fn p99(&self) -> f64 {
        let all = self.0.last().map_or(0.0, |class| class.1);
        let found = self.0.iter().find(|class| class.1 >= 0.99 * all && all > 0.0);
        found.map_or(f64::NAN, |class| class.0)
    }
}

impl<'a> Sum<&'a Self> for Lateness {
    fn sum<I: Iterator<Item = &'a Self>>(all: I) -> Self {
        let add = |sum: Self, one: &Self| {
            if sum.0.is_empty() {
                return one.clone();
            }
            let class = |(sum, one): (&(f64, f64), &(f64, f64))| (sum.0, sum.1 + one.1);
            Self(sum.0.iter().zip(&one.0).map(class).collect())
        };
        all.fold(Self::default(), add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(counts: [u32; 3]) -> Lateness {
        let [first, second, all] = counts;
        let name = "elb_probe_lateness_seconds_bucket";
        let text = format!(
            "# TYPE elb_probe_lateness_seconds histogram\n{name}{{le=\"0.001\"}} {first}\n\
             {name}{{le=\"0.005\"}} {second}\n{name}{{le=\"+Inf\"}} {all}\n"
        );
        Lateness::read(&text).unwrap()
    }

    #[test]
    fn a_quantile_is_the_end_of_its_class() {
        let (before, after) = (metrics([100, 100, 100]), metrics([1090, 1095, 1100]));
        assert_eq!(after.since(&before).p99(), 1.0);
        let late = metrics([980, 1000, 1000]);
        assert_eq!(late.p99(), 5.0);
        let all: Lateness = [&late, &metrics([0, 0, 100])].into_iter().sum();
        assert_eq!(all, metrics([980, 1000, 1100]));
        assert_eq!(all.p99(), f64::INFINITY);
        assert!(late.since(&late).p99().is_nan() && Lateness::read("").is_err());
    }
}
