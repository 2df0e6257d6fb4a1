//! The form of every report: one finding a check, and which of them is the likely cause.

use serde::{Deserialize, Serialize};

use super::check::Check;

/// What a check came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basis {
    /// Packets allow the conclusion; something else could look the same.
    Inferred,
    /// It was seen where it is.
    Seen,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was checked.
    pub check: Check,
    /// What came of it.
    pub verdict: Verdict,
    /// How it is known.
    pub basis: Basis,
    /// What was seen; for [`Verdict::Unknown`], what would be needed to know.
    pub evidence: String,
    /// A command to run, or what to change; none where nothing is to be done.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fix: Option<String>,
}

impl Finding {
    /// One that was seen.
    pub fn seen(check: Check, verdict: Verdict, evidence: impl Into<String>) -> Self {
        Self { check, verdict, basis: Basis::Seen, evidence: evidence.into(), fix: None }
    }

    /// One that packets allow to conclude.
    pub fn inferred(check: Check, verdict: Verdict, evidence: impl Into<String>) -> Self {
        Self { basis: Basis::Inferred, ..Self::seen(check, verdict, evidence) }
    }

    /// The same, with what to do.
    #[must_use]
    pub fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}

/// A report on one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// What it is about.
    pub subject: String,
    /// What came of it all.
    pub conclusion: Conclusion,
    /// The check that names the likely cause: a failed one, what was seen before what is inferred,
    /// else in the order of checks.
    pub cause: Option<Check>,
    /// One to each check, in the order of checks.
    pub findings: Vec<Finding>,
}

/// What came of all checks together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
        let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Fail);
        // Of equals, `min_by_key` takes the first.
        let cause = failed.min_by_key(|finding| std::cmp::Reverse(finding.basis));
        let cause = cause.map(|finding| finding.check);
        let conclusion = match (cause, works) {
            (Some(_), _) => Conclusion::CauseFound,
            (None, true) => Conclusion::Healthy,
            (None, false) => Conclusion::Undecided,
        };
        Self { subject: subject.into(), conclusion, cause, findings }
    }

    /// What the check found.
    pub fn finding(&self, check: Check) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.check == check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_seen_is_a_likelier_cause_than_what_is_inferred() {
        let findings = vec![
            Finding::seen(Check::Route, Verdict::Fail, "no route"),
            Finding::inferred(Check::SecurityGroup, Verdict::Fail, "no answer"),
            Finding::seen(Check::Firewall, Verdict::Fail, "rule 3 drops it"),
        ];
        let report = Report::new("web-1", false, findings);
        assert_eq!(report.cause, Some(Check::Firewall));
        assert_eq!(report.conclusion.exit_code(), 1);
        let order: Vec<Check> = report.findings.iter().map(|finding| finding.check).collect();
        assert_eq!(order, [Check::SecurityGroup, Check::Firewall, Check::Route]);
    }

    #[test]
    fn without_a_failed_check_it_depends_on_whether_it_works() {
        let findings = vec![Finding::inferred(Check::Load, Verdict::Warn, "slow")];
        let report = |works| Report::new("web-1", works, findings.clone());
        assert_eq!((report(true).conclusion, report(true).cause), (Conclusion::Healthy, None));
        assert_eq!(report(false).conclusion, Conclusion::Undecided);
    }
}
