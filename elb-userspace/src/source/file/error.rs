//! What is wrong in a configuration file, where, and what to do about it.

use std::fmt;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigError {
    /// Whether the configuration can be used in spite of it.
    pub severity: Severity,
    /// The file as it was named.
    pub file: String,
    /// From 1; 0 if it is about no single line, or the file could not be read at all.
    pub line: usize,
    /// From 1, in characters; 0 where the line is.
    pub column: usize,
    /// The resource, for example `pool "web", member "b1"`; empty if there is none.
    pub object: String,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub fix: String,
}

/// How bad it is.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Probably not what is wanted, or the consequence of an error elsewhere.
    Warning,
    /// Cannot be served.
    Error,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, column, object, what, fix, severity } = self;
        write!(f, "{file}:")?;
        if *line > 0 {
            write!(f, "{line}:{column}:")?;
        }
        if *severity == Severity::Warning {
            write!(f, " warning:")?;
        }
        if !object.is_empty() {
            write!(f, " {object}:")?;
        }
        write!(f, " {what}; {fix}")
    }
}

/// Everything that is wrong, in the order of the file. May be empty or hold warnings only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Errors(pub(super) Vec<ConfigError>);

impl Errors {
    /// In the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigError> {
        self.0.iter()
    }

    /// Adds a warning about what no single line says.
    pub fn warn(&mut self, file: &Path, object: &str, what: String, fix: &str) {
        self.add(Severity::Warning, file, object, what, fix);
    }

    /// Adds an error about what no single line says.
    pub fn fail(&mut self, file: &Path, object: &str, what: String, fix: &str) {
        self.add(Severity::Error, file, object, what, fix);
    }

    fn add(&mut self, severity: Severity, file: &Path, object: &str, what: String, fix: &str) {
        self.0.push(ConfigError {
            severity,
            file: file.display().to_string(),
            line: 0,
            column: 0,
            object: object.to_owned(),
            what,
            fix: fix.to_owned(),
        });
    }

    /// Writes them to the log, each as grave as it is.
    pub fn log(&self) {
        for error in self {
            match error.severity {
                Severity::Warning => tracing::warn!("{error}"),
                Severity::Error => tracing::error!("{error}"),
            }
        }
    }

    /// Whether nothing is wrong at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether there is more than warnings.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|error| error.severity == Severity::Error)
    }
}

impl<'a> IntoIterator for &'a Errors {
    type Item = &'a ConfigError;
    type IntoIter = std::slice::Iter<'a, ConfigError>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Errors {
    /// One line for each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            let newline = if n == 0 { "" } else { "\n" };
            write!(f, "{newline}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Errors {}
