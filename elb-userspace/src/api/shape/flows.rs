//! Flows that are tracked: the lines of the agent's answers, and the shapes of `elb flows -o json` and
//! `elb flows --cut -o json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::Error;
use crate::observe::flows::cut::Reach;
use crate::observe::flows::{Summary, TrackedFlow};

/// A line of the answer: one summary, then flows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FlowsLine {
    /// How many there are.
    Summary(Summary),
    /// One of them; those that have ended come last.
    Flow(TrackedFlow),
    /// The tables cannot be read on.
    Failed(Error),
}

/// A line of the answer to a cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CutLine {
    /// How many are cut so far.
    Progress(u64),
    /// How many were cut, at the end.
    Done(u64),
    /// It cannot go on.
    Failed(Error),
}

/// Flows as they are listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowList {
    /// How many there are.
    pub summary: Summary,
    /// As many of them as were asked for; those that have ended come last.
    pub flows: Vec<TrackedFlow>,
}

/// What came of a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CutReport {
    /// Whether it was only asked what would be cut.
    pub dry_run: bool,
    /// Connections that were cut.
    pub cut: u64,
    /// What was found before.
    #[serde(flatten)]
    pub found: Reach,
}
