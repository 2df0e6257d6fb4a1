//! Where a resource is in the file, for what is found wrong with it later.

use std::collections::HashMap;

/// The byte that every part of a store is at: what people cannot open has no lines.
pub(super) const IN_STORE: usize = usize::MAX;

/// Where a table and its values are.
#[derive(Clone)]
pub(in crate::source) struct Place {
    /// What the table is called in messages.
    pub(in crate::source) object: String,
    start: usize,
    values: HashMap<&'static str, usize>,
}

impl Place {
    /// A table that starts at a byte, and its values, each with its own.
    pub(super) const fn new(
        object: String,
        start: usize,
        values: HashMap<&'static str, usize>,
    ) -> Self {
        Self { object, start, values }
    }

    /// The byte at which the value of `key` starts, or the table if it has no such key.
    pub(in crate::source) fn of(&self, key: &str) -> usize {
        self.values.get(key).copied().unwrap_or(self.start)
    }

    /// The same, in what a store holds and not in a file.
    pub(super) fn in_store(self) -> Self {
        Self { start: IN_STORE, values: HashMap::new(), ..self }
    }
}
