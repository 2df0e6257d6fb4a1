//! The form of every report: one finding a check, and which of them is the likely cause.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::check::Check;

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is as it should be.
    Pass,
    /// This keeps it from working.
    Fail,
    /// It works, but may not for long or not as well as it could.
    Warn,
    /// It cannot be known from here; the evidence says what would be needed.
    Unknown,
    /// There is nothing to check.
    NotApplicable,
}

/// How a finding is known.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Packets allow the conclusion; something else could look the same.
    Inferred,
    /// It was seen where it is.
    Seen,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// What was checked.
    pub check: Check,
    /// What came of it.
    pub outcome: Outcome,
    /// How it is known.
    pub basis: Basis,
    /// What was seen; for [`Outcome::Unknown`], what would be needed to know.
    pub evidence: String,
    /// A command to run, or what to change; none where nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fix: Option<String>,
}

impl Finding {
    /// One that was seen.
    pub fn seen(check: Check, outcome: Outcome, evidence: impl Into<String>) -> Self {
        Self { check, outcome, basis: Basis::Seen, evidence: evidence.into(), fix: None }
    }

    /// One that packets allow to conclude.
    pub fn inferred(check: Check, outcome: Outcome, evidence: impl Into<String>) -> Self {
        Self { basis: Basis::Inferred, ..Self::seen(check, outcome, evidence) }
    }

    /// The same, with what to do.
    #[must_use]
    pub fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}

/// A report on one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Report {
    /// What it is about.
    pub subject: String,
    /// What came of it all.
    pub conclusion: Conclusion,
    /// The check that names the likely cause: a failed one, or where none failed and its subject
    /// does not work, one that warns; what was seen before what is inferred, else in the order of
    /// checks.
    pub cause: Option<Check>,
    /// One to each check, in the order of checks.
    pub findings: Vec<Finding>,
    /// How to know what is unknown, where another host can say it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ask: Option<Ask>,
}

/// How to ask the host that knows more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ask {
    /// The command to run here.
    pub command: String,
    /// What it runs there.
    pub runs: String,
}

/// What came of all checks together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Conclusion {
    /// Nothing is wrong. Exit code 0.
    Healthy,
    /// A cause was found. Exit code 1.
    CauseFound,
    /// Something is wrong, and what it is cannot be known from here. Exit code 2.
    Undecided,
}

impl Conclusion {
    /// The exit code of the commands that report.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::CauseFound => 1,
            Self::Undecided => 2,
        }
    }
}

impl Report {
    /// A report of findings, at most one to each check. `works` says whether its subject works all
    /// the same: then it is healthy unless a check failed.
    pub fn new(subject: impl Into<String>, works: bool, mut findings: Vec<Finding>) -> Self {
        findings.sort_by_key(|finding| finding.check);
        let cause = cause(works, &findings).map(|finding| finding.check);
        let conclusion = match (cause, works) {
            (Some(_), _) => Conclusion::CauseFound,
            (None, true) => Conclusion::Healthy,
            (None, false) => Conclusion::Undecided,
        };
        Self { subject: subject.into(), conclusion, cause, findings, ask: None }
    }

    /// A report on what fails for one reason: of findings that only warn, the one of the check that
    /// `explains` the failure is the cause. The others are peculiarities, which are there whether it
    /// fails or not.
    pub fn explained(
        subject: impl Into<String>,
        works: bool,
        findings: Vec<Finding>,
        explains: Option<Check>,
    ) -> Self {
        let mut report = Self::new(subject, works, findings);
        let warns = |check: Check| {
            report.finding(check).is_some_and(|finding| finding.outcome == Outcome::Warn)
        };
        if !works && report.cause.is_some_and(warns) {
            report.cause = explains.filter(|check| warns(*check));
            report.conclusion = match report.cause {
                Some(_) => Conclusion::CauseFound,
                None => Conclusion::Undecided,
            };
        }
        report
    }

    /// What the check found.
    pub fn finding(&self, check: Check) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.check == check)
    }
}

fn cause(works: bool, findings: &[Finding]) -> Option<&Finding> {
    let first = |outcome: Outcome| {
        let such = findings.iter().filter(move |finding| finding.outcome == outcome);
        // Of equals, `min_by_key` takes the first.
        such.min_by_key(|finding| std::cmp::Reverse(finding.basis))
    };
    first(Outcome::Fail).or_else(|| first(Outcome::Warn).filter(|_| !works))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    const VERDICTS: [Outcome; 5] =
        [Outcome::Pass, Outcome::Fail, Outcome::Warn, Outcome::Unknown, Outcome::NotApplicable];

    proptest! {
        #[test]
        fn a_cause_is_a_finding_that_nothing_outranks(
            works: bool,
            chosen in proptest::collection::btree_map(
                select(Check::ALL),
                (select(&VERDICTS), select(&[Basis::Inferred, Basis::Seen])),
                0..Check::ALL.len(),
            ),
        ) {
            let finding = |(check, (outcome, basis)): (&Check, &(Outcome, Basis))| Finding {
                basis: *basis,
                ..Finding::seen(*check, *outcome, "")
            };
            let findings: Vec<Finding> = chosen.iter().map(finding).rev().collect();
            let report = Report::new("web-1", works, findings.clone());
            prop_assert!(report.findings.is_sorted_by_key(|finding| finding.check));
            prop_assert_eq!(report.findings.len(), findings.len());
            prop_assert_eq!(report.cause.is_some(), report.conclusion == Conclusion::CauseFound);
            prop_assert!(works || report.conclusion != Conclusion::Healthy);
            // Worse first, then what was seen, then the order of checks.
            let rank = |finding: &Finding| {
                let outcome = match finding.outcome {
                    Outcome::Fail => Some(0),
                    Outcome::Warn => Some(1).filter(|_| !works),
                    Outcome::Pass | Outcome::Unknown | Outcome::NotApplicable => None,
                };
                Some((outcome?, std::cmp::Reverse(finding.basis), finding.check))
            };
            let best = findings.iter().filter_map(rank).min().map(|(_, _, check)| check);
            prop_assert_eq!(report.cause, best);
        }
    }

    #[test]
    fn what_was_seen_is_a_likelier_cause_than_what_is_inferred() {
        let findings = vec![
            Finding::seen(Check::Route, Outcome::Fail, "no route"),
            Finding::inferred(Check::SecurityGroup, Outcome::Fail, "no answer"),
            Finding::seen(Check::Firewall, Outcome::Fail, "rule 3 drops it"),
        ];
        let report = Report::new("web-1", false, findings);
        assert_eq!(report.cause, Some(Check::Firewall));
        assert_eq!(report.conclusion.exit_code(), 1);
        let order: Vec<Check> = report.findings.iter().map(|finding| finding.check).collect();
        assert_eq!(order, [Check::SecurityGroup, Check::Firewall, Check::Route]);
    }

    #[test]
    fn without_a_failed_check_it_depends_on_whether_it_works() {
        let findings = vec![Finding::inferred(Check::Load, Outcome::Warn, "slow")];
        let report = |works| Report::new("web-1", works, findings.clone());
        assert_eq!((report(true).conclusion, report(true).cause), (Conclusion::Healthy, None));
        let sick = report(false);
        assert_eq!((sick.conclusion, sick.cause), (Conclusion::CauseFound, Some(Check::Load)));
        assert_eq!(Report::new("web-1", false, Vec::new()).conclusion, Conclusion::Undecided);
    }
}
