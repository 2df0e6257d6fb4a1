//! Diagnosis: what is asked of the agent, and its answer (`elb diagnose -o json`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnosis::inspect::Inspection;
use crate::diagnosis::report::{Conclusion, Report};

/// A question to the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiagnoseRequest {
    /// What a load balancer, listener, pool or member is called; none: everything.
    #[serde(default)]
    pub target: Option<String>,
    /// What the host of the member said of itself (`elb backend inspect -o json`).
    #[serde(default)]
    pub inspection: Option<Inspection>,
}

/// What is the host of a member to be asked?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InspectionRequest {
    /// What the member is called.
    pub target: String,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Diagnosis {
    /// Of all reports.
    pub conclusion: Conclusion,
    /// On the member that was asked for; else on each pool that its configuration keeps from
    /// working, and each member that does not work.
    pub reports: Vec<Report>,
    /// Members that need none, as `POOL/MEMBER`.
    pub healthy: Vec<String>,
    /// Members that do not work either, and were left out for being too many.
    pub left_out: usize,
}

impl Diagnosis {
    /// The answer of these reports.
    pub fn new(reports: Vec<Report>, healthy: Vec<String>, left_out: usize) -> Self {
        let concluded = |conclusion| reports.iter().any(|report| report.conclusion == conclusion);
        let conclusion = if concluded(Conclusion::CauseFound) {
            Conclusion::CauseFound
        } else if concluded(Conclusion::Undecided) || left_out > 0 {
            Conclusion::Undecided
        } else {
            Conclusion::Healthy
        };
        Self { conclusion, reports, healthy, left_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnosis::check::Check;
    use crate::diagnosis::report::{Finding, Outcome};

    #[test]
    fn one_cause_outweighs_what_is_undecided_and_what_is_healthy() {
        let failed = Finding::seen(Check::Route, Outcome::Fail, "no route");
        let cause = || Report::new("a", false, vec![failed.clone()]);
        let undecided = || Report::new("b", false, Vec::new());
        let healthy = || Report::new("c", true, Vec::new());
        let conclusion = |reports| Diagnosis::new(reports, Vec::new(), 0).conclusion;
        assert_eq!(conclusion(vec![healthy(), undecided(), cause()]), Conclusion::CauseFound);
        assert_eq!(conclusion(vec![healthy(), undecided()]), Conclusion::Undecided);
        assert_eq!(conclusion(vec![healthy()]), Conclusion::Healthy);
        assert_eq!(conclusion(Vec::new()), Conclusion::Healthy);
        assert_eq!(Diagnosis::new(Vec::new(), Vec::new(), 1).conclusion, Conclusion::Undecided);
    }
}
