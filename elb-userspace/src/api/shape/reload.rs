//! Reloading: what is asked of the agent, and its answer (`elb reload -o json`, `elb check
//! --against-running -o json`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::control::change::Effect;
use crate::source::file::Errors;

/// Read the configuration file again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadRequest {
    /// Whether it may take away every listener, or every member of a served pool, this once.
    #[serde(default)]
    pub allow_empty: bool,
}

/// What would a reload with this file do?
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanRequest {
    /// What messages call the file.
    pub name: String,
    /// What the file says, and those that it includes.
    pub text: String,
    /// What messages call each file, and the byte at which it begins.
    #[serde(default)]
    pub files: Vec<(String, usize)>,
}

/// What came of it, or would.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadReport {
    /// Whether the file is served from now on; of a plan, whether it would be.
    pub accepted: bool,
    /// What is wrong or odd in the file.
    pub errors: Errors,
    /// Why it was refused although nothing in it is wrong.
    pub refused: Vec<String>,
    /// What it does to traffic, the gravest first.
    pub effects: Vec<Effect>,
    /// What was accepted and is not in force: restart the agent for it, or give it room.
    pub problems: Vec<String>,
    /// Number of the configuration that is served. It rises by one whenever another text is taken over,
    /// also across restarts of the agent; 0: an agent of an earlier version.
    #[serde(default)]
    pub generation: u64,
}

/// What came of a reload, and how far it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ReloadResult {
    /// What came of it.
    #[serde(flatten)]
    pub report: ReloadReport,
    /// What is not in force yet; empty without --wait.
    pub waiting: Vec<String>,
    /// When all of it was in the maps, RFC 3339, UTC, milliseconds; only with --wait, once it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub published: Option<String>,
}

/// How far a reload is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// What the configuration waits for until all of it is in force.
    pub waiting: Vec<String>,
    /// As in [`ReloadReport`].
    pub problems: Vec<String>,
    /// As in [`ReloadReport`].
    #[serde(default)]
    pub generation: u64,
    /// As in [`ReloadResult`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub published: Option<String>,
}
