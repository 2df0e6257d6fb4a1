//! A check has one finding; what it is made of is said here.

use crate::diagnosis::check::Check;
use crate::diagnosis::report::{Finding, Outcome};

/// A part of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) outcome: Outcome,
    pub(super) evidence: String,
    pub(super) fix: Option<String>,
}

impl Part {
    pub(super) fn new(outcome: Outcome, evidence: impl Into<String>) -> Self {
        Self { outcome, evidence: evidence.into(), fix: None }
    }

    pub(super) fn pass(evidence: impl Into<String>) -> Self {
        Self::new(Outcome::Pass, evidence)
    }

    pub(super) fn fail(evidence: impl Into<String>) -> Self {
        Self::new(Outcome::Fail, evidence)
    }

    pub(super) fn warn(evidence: impl Into<String>) -> Self {
        Self::new(Outcome::Warn, evidence)
    }

    pub(super) fn unknown(evidence: impl Into<String>) -> Self {
        Self::new(Outcome::Unknown, evidence)
    }

    pub(super) fn not_applicable(evidence: impl Into<String>) -> Self {
        Self::new(Outcome::NotApplicable, evidence)
    }

    /// About what only probes by the member's own address meet, where virtual addresses decide.
    pub(super) fn spare(self) -> Self {
        match self.outcome {
            Outcome::Fail => {
                let evidence = format!(
                    "{}; traffic does not go there, nor probes unless `probe_path = \"direct\"`",
                    self.evidence
                );
                Self { outcome: Outcome::Warn, evidence, ..self }
            }
            Outcome::Pass | Outcome::Warn | Outcome::Unknown | Outcome::NotApplicable => self,
        }
    }

    pub(super) fn fix(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}

/// More than this is not listed at once: the first are repaired first.
const MOST: usize = 6;

/// The finding that parts make together: all of the worst outcome, each once.
pub(super) fn finding(check: Check, parts: Vec<Part>) -> Finding {
    let worst = parts.iter().map(|part| part.outcome).max_by_key(|outcome| badness(*outcome));
    let worst = worst.unwrap_or(Outcome::NotApplicable);
    let parts: Vec<Part> = parts.into_iter().filter(|part| part.outcome == worst).collect();
    let evidence = join(parts.iter().map(|part| part.evidence.as_str()));
    let fix = join(parts.iter().filter_map(|part| part.fix.as_deref()));
    let finding = Finding::seen(check, worst, evidence);
    if fix.is_empty() { finding } else { finding.fix(fix) }
}

const fn badness(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Fail => 4,
        Outcome::Unknown => 3,
        Outcome::Warn => 2,
        Outcome::Pass => 1,
        Outcome::NotApplicable => 0,
    }
}

/// Each on a line of its own; commands are so for a shell, too.
fn join<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let mut each: Vec<&str> = Vec::new();
    for text in texts {
        if !each.contains(&text) && each.len() < MOST {
            each.push(text);
        }
    }
    each.join("\n")
}
