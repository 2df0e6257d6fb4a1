//! The executables that a cargo build makes, in cargo's own words.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process;

/// Runs a `cargo build` and returns the executables it made or found up to date.
pub(crate) fn build(cargo: &mut Command) -> Result<Vec<PathBuf>> {
    Ok(build_named(cargo)?.into_iter().map(|(_, file)| file).collect())
}

/// Like [`build`], each with the name of its target, which that of a test's file only begins with.
pub(crate) fn build_named(cargo: &mut Command) -> Result<Vec<(String, PathBuf)>> {
    let mut executables = Vec::new();
    cargo.arg("--message-format=json-render-diagnostics");
    process::run_lines(cargo, |line| executables.extend(executable(line)))?;
    Ok(executables)
}

/// Like [`build`], for the one executable called `name`.
pub(crate) fn build_one(cargo: &mut Command, name: &str) -> Result<PathBuf> {
    build(cargo)?
        .into_iter()
        .find(|file| file.file_name() == Some(name.as_ref()))
        .with_context(|| format!("cargo built no executable called `{name}`"))
}

fn executable(message: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(message).ok()?;
    let name = message["target"]["name"].as_str()?;
    Some((name.to_owned(), Path::new(message["executable"].as_str()?).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_messages_about_executables_count() {
        let built = r#"{"target":{"name":"lab"},"executable":"/t/deps/lab-38a2"}"#;
        assert_eq!(executable(built), Some(("lab".to_owned(), "/t/deps/lab-38a2".into())));
        let library = r#"{"target":{"name":"elb_tests"},"executable":null}"#;
        assert_eq!(executable(library), None);
        assert_eq!(executable(r#"{"reason":"build-finished","success":true}"#), None);
        assert_eq!(executable("not a message"), None);
    }
}
