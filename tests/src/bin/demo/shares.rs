//! Whether the answers that each backend gave are as many as its weight is due.

/// Standard deviations that chance may take a share from what it is due: more in one of 1.7 million.
const DEVIATIONS: f64 = 5.0;
/// How far the share of a ring's slots may be from the weight, by the ring's own arithmetic.
const OF_THE_RING: f64 = 0.001;

/// One backend's part of all answers, as numbers from 0 to 1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    /// What it got.
    pub(crate) got: f64,
    /// What its weight is due.
    pub(crate) due: f64,
    /// How far the two may be apart by chance.
    pub(crate) allowance: f64,
}

impl Share {
    /// The share of `answers` of `all`, where `due` was to be expected. Connections fall on slots
    /// independently of each other, so their number is binomial.
    pub(crate) fn new(answers: u32, all: u32, due: f64) -> Self {
        let all = f64::from(all.max(1));
        let deviation = (due * (1.0 - due) / all).sqrt();
        let allowance = DEVIATIONS * deviation + OF_THE_RING;
        Self { got: f64::from(answers) / all, due, allowance }
    }

    /// Whether chance explains the difference.
    pub(crate) fn is_fair(&self) -> bool {
        (self.got - self.due).abs() <= self.allowance
    }
}

/// The share that each of `weights` is due.
pub(crate) fn due(weights: &[u32]) -> Vec<f64> {
    let total = f64::from(weights.iter().sum::<u32>());
    weights.iter().map(|weight| f64::from(*weight) / total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUE: [f64; 3] = [0.25, 0.5, 0.25];

    fn fair(answers: [u32; 3]) -> bool {
        let all = answers.iter().sum();
        let shares = answers.iter().zip(DUE).map(|(answers, due)| Share::new(*answers, all, due));
        shares.collect::<Vec<_>>().iter().all(Share::is_fair)
    }

    #[test]
    fn a_share_is_due_by_weight() {
        assert_eq!(due(&[1, 2, 1]), DUE);
    }

    #[test]
    fn chance_is_fair_however_many_connections_there_are() {
        let mut random = fastrand::Rng::with_seed(1);
        for all in [100, 1_000, 4_000, 100_000] {
            for _ in 0..100 {
                let mut answers = [0; 3];
                for _ in 0..all {
                    answers[[0, 1, 1, 2][random.usize(0..4)]] += 1;
                }
                assert!(fair(answers), "{answers:?}");
            }
        }
    }

    #[test]
    fn wrong_shares_are_not_fair() {
        // Of connections that went to a slot's former owner.
        assert!(!fair([792, 1652, 1556]));
        assert!(!fair([3128, 572, 300]));
        // As many to each, and one without any.
        assert!(!fair([1333, 1334, 1333]));
        assert!(!fair([1333, 2667, 0]));
        assert!(!fair([0, 0, 0]));
    }

    #[test]
    fn the_more_connections_the_smaller_the_allowance() {
        let allowance = |all| Share::new(0, all, 0.5).allowance;
        assert!(allowance(4_000) < 0.041 && allowance(4_000) > 0.040);
        assert!(allowance(100_000) < 0.01);
    }
}
