//! What is to be done, as xtask wrote it.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Files of kernel modules, each after those that it needs.
    pub modules: Vec<PathBuf>,
    /// The whole environment of every step.
    pub environment: BTreeMap<String, String>,
    pub steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    pub name: String,
    pub program: PathBuf,
    pub arguments: Vec<String>,
}

impl Plan {
    pub fn read(path: &str) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
        serde_json::from_str(&text).with_context(|| format!("{path} is no plan"))
    }
}
