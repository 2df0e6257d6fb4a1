//! A file applied to the store (`elb apply -o json`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reload::PlanRequest;
use crate::control::change::Effect;

/// Bring the store to what a file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplyRequest {
    /// The file.
    #[serde(flatten)]
    pub file: PlanRequest,
    /// Whether it is only said what that would change.
    #[serde(default)]
    pub dry_run: bool,
    /// Whether a file without resources may take everything away.
    #[serde(default)]
    pub allow_empty: bool,
    /// Whose resources those are that are new; none: the host's.
    #[serde(default)]
    pub project: Option<String>,
}

/// What a file changed in the store, or would.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ApplyReport {
    /// Whether the store has it now.
    pub applied: bool,
    /// Why nothing was changed, although nothing in the file is wrong.
    pub refused: Vec<String>,
    /// The resources that are others then.
    pub changes: Vec<AppliedChange>,
    /// What that does to traffic, the gravest first; with the share of ring slots that moves.
    pub effects: Vec<Effect>,
}

/// A resource that a file changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedChange {
    /// As in `loadbalancer`.
    pub kind: String,
    /// Its id, which stays.
    pub id: String,
    /// Its name, or its address.
    pub name: String,
    /// What happens to it.
    pub action: AppliedAction,
    /// What is other, of a change.
    pub attributes: Vec<ChangedAttribute>,
}

/// What happens to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AppliedAction {
    /// It is new.
    Add,
    /// Some of its attributes are others.
    Change,
    /// It goes.
    Remove,
}

/// An attribute that is another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ChangedAttribute {
    /// As in the API.
    pub name: String,
    /// What it was.
    pub before: Value,
    /// What it is then.
    pub after: Value,
}
