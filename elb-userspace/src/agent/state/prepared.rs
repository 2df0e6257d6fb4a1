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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_of_the_same_text_and_host_only() {
        let text = "[agent]\ninterfaces = [\"eth0\"]\n";
        let source = |text: &str| SourceText::of("elb.toml", text);
        let prepared = Prepared::read(source(text), Host::default());
        assert!(prepared.config().is_some());
        assert!(prepared.is_of(&source(text), &Host::default()));
        assert!(!prepared.is_of(&source("[agent]\n"), &Host::default()));
        let stored = source(text).with_store("store.db".as_ref(), "[[pool]]\n");
        assert!(!prepared.is_of(&stored, &Host::default()));
        let other = Host { ephemeral: Some((1, 2)), ..Host::default() };
        assert!(!prepared.is_of(&source(text), &other));
    }
}
