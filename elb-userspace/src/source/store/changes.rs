//! Which documents changed lately, so that who looks again looks at these only.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};

use super::DocumentKind;
use crate::model::ResourceId;

/// Changes that are remembered.
const MOST: usize = 4096;

/// The last changes of documents. A copy of these begins anew: what changes in one is no change in the other.
#[derive(Debug)]
pub(super) struct Changes {
    /// Of which documents they are.
    line: u64,
    /// How many there were.
    count: u64,
    last: VecDeque<(DocumentKind, ResourceId)>,
}

/// How far someone has seen changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    line: u64,
    count: u64,
}

impl Changes {
    pub(super) fn note(&mut self, change: (DocumentKind, ResourceId)) {
        if self.last.len() == MOST {
            self.last.pop_front();
        }
        self.last.push_back(change);
        self.count += 1;
    }

    /// What is seen by someone who looks at everything now.
    pub(super) const fn mark(&self) -> Mark {
        Mark { line: self.line, count: self.count }
    }

    /// What changed since; none: it is not known.
    pub(super) fn since(
        &self,
        mark: Mark,
    ) -> Option<impl Iterator<Item = (DocumentKind, ResourceId)>> {
        let news = usize::try_from(self.count.checked_sub(mark.count)?).ok()?;
        let known = self.last.len().checked_sub(news)?;
        (self.line == mark.line).then(|| self.last.range(known..).copied())
    }
}

impl Default for Changes {
    fn default() -> Self {
        static LINES: AtomicU64 = AtomicU64::new(0);
        let line = LINES.fetch_add(1, Ordering::Relaxed);
        Self { line, count: 0, last: VecDeque::new() }
    }
}

impl Clone for Changes {
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_seen_is_known_as_long_as_it_is_remembered() {
        let id = |n: usize| (DocumentKind::Pool, ResourceId::of_pool(&n.to_string()));
        let mut changes = Changes::default();
        let first = changes.mark();
        changes.note(id(0));
        let second = changes.mark();
        changes.note(id(1));
        let since = |changes: &Changes, mark| Some(changes.since(mark)?.collect::<Vec<_>>());
        assert_eq!(since(&changes, first), Some(vec![id(0), id(1)]));
        assert_eq!(since(&changes, second), Some(vec![id(1)]));
        assert_eq!(since(&changes, changes.mark()), Some(Vec::new()));
        assert_eq!(since(&changes.clone(), second), None, "others");
        (2..=MOST).for_each(|n| changes.note(id(n)));
        assert_eq!(since(&changes, first), None, "it is forgotten");
        assert_eq!(since(&changes, second).map(|all| all.len()), Some(MOST));
    }
}
