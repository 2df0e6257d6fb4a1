//! Whether what is configured serves (`elb status --check -o json`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whether what was asked for serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServingReport {
    /// How much of it.
    pub serving: ServingLevel,
    /// Listeners that are not DISABLED.
    pub listeners: usize,
    /// Those of them that have a member for new connections.
    pub listeners_serving: usize,
    /// Members of their pools, those aside that are drained, were removed, or have a weight of 0.
    pub members: usize,
    /// Those of them that take new connections.
    pub members_serving: usize,
    /// What does not serve, and why.
    pub why: Vec<String>,
}

/// How much serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServingLevel {
    /// Every listener and every member.
    All,
    /// Some of it does not, or something is missing on this host.
    Degraded,
    /// No listener has a member for new connections.
    None,
}
