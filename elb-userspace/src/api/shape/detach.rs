//! What was removed: the shape of `elb detach -o json`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What was removed, and what stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Detached {
    /// The pins.
    pub removed: Vec<PathBuf>,
    /// The interface that probes of virtual addresses left by, if it was there.
    pub removed_interface: Option<String>,
    /// Members that are still drained by command, for the next agent.
    pub drained: usize,
}
