//! What is wrong in a configuration file, where, and what to do about it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::keys::Keys;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfigError {
    /// Whether the configuration can be used in spite of it.
    pub severity: Severity,
    /// The file as it was named.
    pub file: String,
    /// From 1; 0 if the file could not be read at all.
    pub line: usize,
    /// From 1, in characters; 0 if the file could not be read at all.
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

/// Collects what is wrong with one file. Positions go in as byte offsets.
pub(in crate::source) struct Report {
    file: String,
    text: String,
    found: Vec<(usize, ConfigError)>,
    /// Every key that was asked for, if the reference of the file is written.
    pub(super) keys: Option<Keys>,
}

/// Errors, or warnings, beyond this many are not reported.
const MOST: usize = 1_000;

impl Report {
    pub(super) fn new(file: &str, text: &str) -> Self {
        Self { file: file.to_owned(), text: text.to_owned(), found: Vec::new(), keys: None }
    }

    pub(super) fn error(&mut self, offset: usize, object: &str, what: String, fix: String) {
        self.push(Severity::Error, offset, object, what, fix);
    }

    pub(super) fn warning(&mut self, offset: usize, object: &str, what: String, fix: String) {
        self.push(Severity::Warning, offset, object, what, fix);
    }

    pub(super) fn has_errors(&self) -> bool {
        self.found.iter().any(|(_, error)| error.severity == Severity::Error)
    }

    fn push(&mut self, severity: Severity, offset: usize, object: &str, what: String, fix: String) {
        let alike = self.found.iter().filter(|(_, error)| error.severity == severity);
        if alike.count() == MOST {
            return;
        }
        let (line, column) = position(&self.text, offset);
        let (file, object) = (self.file.clone(), object.to_owned());
        let error = ConfigError { severity, file, line, column, object, what, fix };
        self.found.push((offset, error));
    }

    pub(super) fn into_errors(mut self) -> Errors {
        self.found.sort_by_key(|(offset, _)| *offset);
        Errors(self.found.into_iter().map(|(_, error)| error).collect())
    }
}

/// Line and column, both from 1, of a byte; of the end if the text has no such byte.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        assert_eq!(position("", 0), (1, 1));
        assert_eq!(position("a\nbé = 1\n", 2), (2, 1));
        assert_eq!(position("a\nbé = 1\n", 6), (2, 4));
        assert_eq!(position("a\n", 99), (2, 1));
        assert_eq!(position("é", 1), (1, 1));
    }

    #[test]
    fn a_line_says_where_what_and_what_to_do() {
        let mut report = Report::new("elb.toml", "a\nb\n");
        report.warning(2, "", "odd".into(), "change it".into());
        report.error(0, "pool \"web\"", "bad".into(), "correct it".into());
        let errors = report.into_errors();
        assert!(errors.has_errors());
        assert_eq!(
            errors.to_string(),
            "elb.toml:1:1: pool \"web\": bad; correct it\nelb.toml:2:1: warning: odd; change it",
        );
        assert_eq!(
            serde_json::to_string(errors.iter().next().unwrap()).unwrap(),
            concat!(
                r#"{"severity":"error","file":"elb.toml","line":1,"column":1,"#,
                r#""object":"pool \"web\"","what":"bad","fix":"correct it"}"#,
            ),
        );
    }
}
