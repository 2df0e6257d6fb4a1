//! A file that was read for a reload that is prepared. Reading it takes long where a store has thousands of resources.

use std::time::Duration;

use crate::model::time::Time;
use crate::source::file::{self, Config, Errors, Host, SourceText};

/// For how long a look at the host is believed: it takes long where there are thousands of connections.
const FRESH: Duration = Duration::from_secs(1);

/// What was read, for which host and when, and what came of it.
pub(in crate::agent) struct Prepared {
    source: SourceText,
    host: Host,
    at: Time,
    pub(in crate::agent) result: (Option<Config>, Errors),
}

impl Prepared {
    pub(in crate::agent) fn read(source: SourceText, host: Host, at: Time) -> Self {
        let result = file::parse_source(&source, &host);
        Self { source, host, at, result }
    }

    /// What the file asks for, if it can be read.
    pub(in crate::agent) const fn config(&self) -> Option<&Config> {
        self.result.0.as_ref()
    }

    /// Whether nothing is another now; the host is looked at where that was some time ago.
    pub(in crate::agent) fn is_of(
        &self,
        source: &SourceText,
        now: Time,
        host: impl FnOnce() -> Host,
    ) -> bool {
        self.source == *source && (now.since(self.at) < FRESH || self.host == host())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::source::file::read_piece;

    #[test]
    fn it_is_of_the_same_text_and_host_only() {
        let text = "[agent]\ninterfaces = [\"eth0\"]\n";
        let source = |text: &str| SourceText::of("elb.toml", text);
        let at = |ms: u64| Time::from_nanos(ms * 1_000_000);
        let prepared = Prepared::read(source(text), Host::default(), at(1000));
        assert!(prepared.config().is_some());
        let is_of = |source: &SourceText, now: u64, host: &Host| {
            prepared.is_of(source, at(now), || host.clone())
        };
        assert!(is_of(&source(text), 9000, &Host::default()));
        assert!(!is_of(&source("[agent]\n"), 1000, &Host::default()));
        let pieces = vec![Arc::new(read_piece("[[pool]]\n".to_owned()))];
        let stored = source(text).with_store("store.db".as_ref(), pieces);
        assert!(!is_of(&stored, 1000, &Host::default()));
        let other = Host { ephemeral: Some((1, 2)), ..Host::default() };
        assert!(is_of(&source(text), 1999, &other), "it was looked at");
        assert!(!is_of(&source(text), 2000, &other));
    }
}
