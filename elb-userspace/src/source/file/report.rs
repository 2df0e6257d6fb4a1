//! Collects what is wrong, wherever it is found.

use std::sync::Arc;

use super::error::{ConfigError, Errors, Severity};
use super::keys::Keys;
use super::piece::Piece;
use super::place::IN_STORE;
use super::source_text::SourceText;

/// Collects what is wrong with a configuration. Positions go in as byte offsets.
pub(in crate::source) struct Report {
    source: SourceText,
    found: Vec<(usize, ConfigError)>,
    /// How many of each severity were found in files, and in what a store holds.
    counts: [[usize; 2]; 2],
    /// Every key that was asked for, if the reference of the file is written.
    pub(super) keys: Option<Keys>,
}

/// Errors, or warnings, beyond this many are not reported.
const MOST: usize = 1_000;

impl Report {
    pub(super) fn new(source: SourceText) -> Self {
        let unread = source.errors.iter().map(|error| (0, error.clone())).collect();
        Self { source, found: unread, counts: [[0; 2]; 2], keys: None }
    }

    /// File, line and column of a byte, where there are several files.
    pub(super) fn place(&self, offset: usize) -> Option<String> {
        let (file, line, column) = self.source.place(offset);
        let is_known = self.source.files.len() > 1 && line > 0;
        is_known.then(|| format!("{file}:{line}:{column}"))
    }

    /// What a store holds next to the files.
    pub(super) fn pieces(&self) -> Vec<Arc<Piece>> {
        self.source.stored.as_ref().map(|stored| stored.pieces.clone()).unwrap_or_default()
    }

    /// What is wrong with a piece of the store by itself.
    pub(super) fn take(&mut self, piece: &Piece) {
        for error in &piece.errors {
            let ConfigError { severity, object, what, fix, .. } = error;
            self.push(*severity, IN_STORE, object, what.clone(), fix.clone());
        }
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
        // However much a file has wrong, what a store has wrong is said: its writes are judged by that.
        let alike = &mut self.counts[usize::from(severity == Severity::Error)]
            [usize::from(offset == IN_STORE)];
        if *alike == MOST {
            return;
        }
        *alike += 1;
        let (file, line, column) = self.source.place(offset);
        let (file, object) = (file.to_owned(), object.to_owned());
        let error = ConfigError { severity, file, line, column, object, what, fix };
        self.found.push((offset, error));
    }

    pub(super) fn into_errors(mut self) -> Errors {
        self.found.sort_by_key(|(offset, _)| *offset);
        Errors(self.found.into_iter().map(|(_, error)| error).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_where_what_and_what_to_do() {
        let mut report = Report::new(SourceText::of("elb.toml", "a\nb\n"));
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
