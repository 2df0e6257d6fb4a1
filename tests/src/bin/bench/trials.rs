//! What many trials of one thing say together.

/// Results of trials.
#[derive(Clone, Debug, Default)]
pub struct Trials(Vec<f64>);

impl FromIterator<f64> for Trials {
    fn from_iter<I: IntoIterator<Item = f64>>(results: I) -> Self {
        let mut results: Vec<f64> = results.into_iter().collect();
        results.sort_by(f64::total_cmp);
        Self(results)
    }
}

impl Trials {
    /// The one in the middle, NaN without any.
    pub fn median(&self) -> f64 {
        match self.0.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => self.0[n / 2],
            n => f64::midpoint(self.0[n / 2 - 1], self.0[n / 2]),
        }
    }

    /// The mean of the middle half: neither a lucky trial nor a disturbed one counts.
    pub fn interquartile_mean(&self) -> f64 {
        let quarter = self.0.len() / 4;
        let middle = &self.0[quarter..self.0.len() - quarter];
        middle.iter().sum::<f64>() / middle.len() as f64
    }

    /// The greatest, NaN without any.
    pub fn greatest(&self) -> f64 {
        self.0.last().copied().unwrap_or(f64::NAN)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// How much trials differ: half of them are within this part of the median.
    pub fn spread(&self) -> f64 {
        let median = self.median();
        let distances = self.0.iter().map(|result| (result - median).abs());
        distances.collect::<Self>().median() / median
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outliers_do_not_count() {
        let trials: Trials = [3.0, 1.0, 900.0, 2.0, 0.0, 2.0, 3.0, 2.0].into_iter().collect();
        assert_eq!(trials.median(), 2.0);
        assert_eq!(trials.interquartile_mean(), 2.25);
        assert_eq!(trials.spread(), 0.5);
        assert_eq!([4.0, 1.0, 2.0].into_iter().collect::<Trials>().median(), 2.0);
        assert!(Trials::default().median().is_nan());
    }
}
