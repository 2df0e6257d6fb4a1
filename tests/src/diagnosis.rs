//! What `elb diagnose` says.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::{agent::Agent, printed, wait::STUCK};

/// What `elb diagnose -o json` said, and how it ended.
#[derive(Clone, Debug)]
pub struct Diagnosis {
    /// The exit code.
    pub code: i32,
    /// Everything.
    pub said: Value,
}

impl Agent {
    /// Runs `elb diagnose` with `arguments`.
    pub fn diagnose(&self, arguments: &[&str]) -> Result<Diagnosis> {
        self.diagnose_with(arguments, &[])
    }

    /// As [`Agent::diagnose`], with more in its environment.
    pub fn diagnose_with(
        &self,
        arguments: &[&str],
        environment: &[(&str, &Path)],
    ) -> Result<Diagnosis> {
        let arguments = [&["diagnose"], arguments, &["-o", "json"]].concat();
        let ended = self.end_with(&arguments, environment, STUCK)?;
        let shown = || format!("{arguments:?}: {ended:?}");
        let said = printed::value(&arguments, &ended.printed).with_context(shown)?;
        Ok(Diagnosis { code: ended.code.with_context(shown)?, said })
    }
}

impl Diagnosis {
    /// The first report.
    pub fn report(&self) -> &Value {
        &self.said["reports"][0]
    }

    /// The check that names the likely cause.
    pub fn cause(&self) -> Option<&str> {
        self.report()["cause"].as_str()
    }

    /// What a check of the first report found.
    pub fn finding(&self, check: &str) -> &Value {
        let mut findings = self.report()["findings"].as_array().into_iter().flatten();
        findings.find(|finding| finding["check"] == check).unwrap_or(&Value::Null)
    }

    /// What came of a check: `pass`, `fail`, `warn`, `unknown` or `not-applicable`.
    pub fn outcome(&self, check: &str) -> &str {
        self.finding(check)["outcome"].as_str().unwrap_or_default()
    }

    /// What the check that names the cause has seen.
    pub fn evidence(&self) -> &str {
        self.of_cause("evidence")
    }

    /// What to do about the cause.
    pub fn fix(&self) -> &str {
        self.of_cause("fix")
    }

    /// The checks that came to `outcome`.
    pub fn all_that(&self, outcome: &str) -> Vec<&str> {
        let findings = self.report()["findings"].as_array().into_iter().flatten();
        let such = findings.filter(|finding| finding["outcome"] == outcome);
        such.filter_map(|finding| finding["check"].as_str()).collect()
    }

    fn of_cause(&self, key: &str) -> &str {
        let cause = self.cause().unwrap_or_default();
        self.finding(cause)[key].as_str().unwrap_or_default()
    }
}
