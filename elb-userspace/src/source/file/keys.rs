//! The keys that the reader of the file asks for, with the rules that errors print: what the reference of the
//! file is made of.

use std::collections::BTreeMap;
use std::fmt::Display;

/// How tables are reached, without the numbers of lists, and a key of theirs.
type At = (Vec<&'static str>, &'static str);

/// Every key that was asked for.
#[derive(Default)]
pub(super) struct Keys(BTreeMap<At, Use>);

/// What is known of a key. One that several kinds of a resource have may have several rules.
#[derive(Default)]
pub(super) struct Use {
    pub(super) kind: Option<Kind>,
    pub(super) rules: Vec<String>,
    pub(super) defaults: Vec<String>,
    pub(super) required: bool,
}

/// What is written for a key.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Flag,
    Number,
    /// A number that may have a fraction.
    Fraction,
    Text,
    Texts,
    Table,
    Tables,
    Items,
}

impl Kind {
    /// As TOML calls it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Flag => "boolean",
            Self::Number => "integer",
            Self::Fraction => "integer or float",
            Self::Text => "string",
            Self::Texts => "array of strings",
            Self::Table => "table",
            Self::Tables => "array of tables",
            Self::Items => "array of strings or tables",
        }
    }

    /// What to write instead of something else.
    pub(super) const fn wanted(self) -> &'static str {
        match self {
            Self::Flag => "true or false, without quotes",
            Self::Number => "a whole number without quotes",
            Self::Fraction => "a number without quotes, as in 5 or 0.2",
            Self::Text => "a text in quotes",
            Self::Texts => "a list of texts, as in [\"a\", \"b\"]",
            Self::Table => "a table",
            Self::Tables => "a list of tables",
            Self::Items => "a list of texts or tables",
        }
    }
}

impl Use {
    pub(super) fn of(kind: Kind, rule: String) -> Self {
        Self { kind: Some(kind), rules: vec![rule], ..Self::default() }
    }

    pub(super) fn with_default(value: &impl Display) -> Self {
        Self { defaults: vec![value.to_string()], ..Self::default() }
    }

    pub(super) fn required() -> Self {
        Self { required: true, ..Self::default() }
    }
}

impl Keys {
    pub(super) fn add(&mut self, table: &[&'static str], key: &'static str, found: Use) {
        let known = self.0.entry((table.to_vec(), key)).or_default();
        known.kind = known.kind.or(found.kind);
        known.required |= found.required;
        for (all, new) in [(&mut known.rules, found.rules), (&mut known.defaults, found.defaults)] {
            for text in new {
                if !text.is_empty() && !all.contains(&text) {
                    all.push(text);
                }
            }
        }
    }

    pub(super) fn get(&self, table: &[&'static str], key: &'static str) -> Option<&Use> {
        self.0.get(&(table.to_vec(), key))
    }

    /// The keys of a table, in alphabetical order.
    #[cfg(test)]
    pub(super) fn of(&self, table: &[&str]) -> impl Iterator<Item = &'static str> {
        self.0.keys().filter(move |(path, _)| path == table).map(|(_, key)| *key)
    }

    /// The tables, the root among them.
    #[cfg(test)]
    pub(super) fn tables(&self) -> impl Iterator<Item = &[&'static str]> {
        self.0.keys().map(|(path, _)| &path[..])
    }
}
