//! What became of HTTP requests.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::failure::Failure;

/// What became of one request.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// When it began to connect.
    pub started: Instant,
    /// When the answer was complete, or the failure noticed.
    pub ended: Instant,
    /// The backend that answered, or why none did.
    pub result: Result<String, Failure>,
}

/// What became of many, in the order in which they ended.
#[derive(Clone, Debug)]
pub struct HttpReport {
    outcomes: Vec<Outcome>,
}

impl HttpReport {
    pub(super) fn new(mut outcomes: Vec<Outcome>) -> Self {
        outcomes.sort_by_key(|outcome| outcome.ended);
        Self { outcomes }
    }

    /// Every request.
    pub fn outcomes(&self) -> &[Outcome] {
        &self.outcomes
    }

    /// How many requests there were.
    pub fn total(&self) -> usize {
        self.outcomes.len()
    }

    /// How many were answered.
    pub fn answered(&self) -> usize {
        self.answers().count()
    }

    /// Those that were not answered.
    pub fn failures(&self) -> Vec<&Failure> {
        let results = self.outcomes.iter().map(|outcome| &outcome.result);
        results.filter_map(|result| result.as_ref().err()).collect()
    }

    /// How many answers each backend gave.
    pub fn answers_by_backend(&self) -> BTreeMap<String, usize> {
        let mut answers = BTreeMap::new();
        for (_, backend) in self.answers() {
            *answers.entry(backend.to_owned()).or_default() += 1;
        }
        answers
    }

    /// The share of all answers that `backend` gave, from 0 to 1.
    pub fn share(&self, backend: &str) -> f64 {
        let by_it = self.answers().filter(|(_, name)| *name == backend).count();
        ratio(by_it, self.answered())
    }

    /// The longest time between two answers of anyone, one after the other.
    pub fn longest_gap(&self) -> Duration {
        let times: Vec<Instant> = self.answers().map(|(outcome, _)| outcome.ended).collect();
        let gaps = times.windows(2).map(|pair| pair[1] - pair[0]);
        gaps.max().unwrap_or_default()
    }

    /// The requests that began at `from` or later.
    pub fn since(&self, from: Instant) -> Self {
        self.only(|outcome| outcome.started >= from)
    }

    /// The requests that began before `to`.
    pub fn before(&self, to: Instant) -> Self {
        self.only(|outcome| outcome.started < to)
    }

    /// When the last request began that `wanted` holds for.
    pub fn last_started(&self, wanted: impl Fn(&Outcome) -> bool) -> Option<Instant> {
        let found = self.outcomes.iter().filter(|outcome| wanted(outcome));
        found.map(|outcome| outcome.started).max()
    }

    fn answers<'a>(&'a self) -> impl Iterator<Item = (&'a Outcome, &'a str)> {
        let answer = |outcome: &'a Outcome| Some((outcome, outcome.result.as_deref().ok()?));
        self.outcomes.iter().filter_map(answer)
    }

    fn only(&self, wanted: impl Fn(&Outcome) -> bool) -> Self {
        let kept = self.outcomes.iter().filter(|outcome| wanted(outcome));
        Self { outcomes: kept.cloned().collect() }
    }
}

fn ratio(part: usize, whole: usize) -> f64 {
    let count = |number: usize| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    if whole == 0 { 0.0 } else { count(part) / count(whole) }
}

#[cfg(test)]
mod tests {
    use super::super::failure::FailureKind;
    use super::*;

    fn report(results: &[(u64, Result<&str, FailureKind>)]) -> HttpReport {
        let start = Instant::now();
        let outcome = |(ms, result): &(u64, Result<&str, FailureKind>)| Outcome {
            started: start + Duration::from_millis(*ms),
            ended: start + Duration::from_millis(*ms + 1),
            result: result.map(str::to_owned).map_err(|kind| Failure::new(kind, "")),
        };
        HttpReport::new(results.iter().map(outcome).collect())
    }

    #[test]
    fn shares_count_answers_only() {
        let report =
            report(&[(0, Ok("a")), (1, Err(FailureKind::Reset)), (2, Ok("b")), (3, Ok("b"))]);
        assert!((report.share("b") - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!((report.total(), report.answered(), report.failures().len()), (4, 3, 1));
    }

    #[test]
    fn a_gap_spans_failures() {
        let report = report(&[(0, Ok("a")), (40, Err(FailureKind::Reset)), (100, Ok("a"))]);
        assert_eq!(report.longest_gap(), Duration::from_millis(100));
    }

    #[test]
    fn nothing_has_no_share() {
        assert!(report(&[]).share("a").abs() < f64::EPSILON);
    }
}
