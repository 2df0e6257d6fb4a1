//! A file that was read for a reload that is prepared. Reading it takes long where a store has thousands of resources.

use crate::source::file::{self, Config, Errors, Host, SourceText};

/// What was read, for which host, and what came of it.
pub(in crate::agent) struct Prepared {
    source: SourceText,
    host: Host,
    pub(in crate::agent) result: (Option<Config>, Errors),
}

impl Prepared {
    pub(in crate::agent) fn read(source: SourceText, host: Host) -> Self {
        let result = file::parse_source(&source, &host);
        Self { source, host, result }
    }

    /// What the file asks for, if it can be read.
    pub(in crate::agent) const fn config(&self) -> Option<&Config> {
        self.result.0.as_ref()
    }

    /// Whether nothing is another now.
    pub(in crate::agent) fn is_of(&self, source: &SourceText, host: &Host) -> bool {
        self.source == *source && self.host == *host
    }
}
