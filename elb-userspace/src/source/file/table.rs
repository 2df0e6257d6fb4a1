//! Reads one table of the file, key by key, and notes everything that is wrong with it.
//!
//! A key that is asked for is known; [`Table::finish`] reports the others. So what a table may hold
//! is written once, where it is read.

mod paths;

use std::cell::RefCell;
use std::fmt::Display;
use std::str::FromStr;

use serde_spanned::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Kind, Use};
use super::place::Place;
use super::report::Report;
use crate::model::value::{Invalid, ValueRule};

/// What an IPv4 address is called, and one.
pub(in crate::source) const IPV4: (&str, &str) = ("an IPv4 address", "192.0.2.10");
/// What an IPv6 address is called, and one.
pub(in crate::source) const IPV6: (&str, &str) = ("an IPv6 address", "2001:db8::10");

/// A table that is being read.
pub(in crate::source) struct Table<'a> {
    object: String,
    /// The keys of the tables around it, and its own, without the numbers of lists: `["pool", "member"]`.
    path: Vec<&'static str>,
    start: usize,
    entries: &'a DeTable<'a>,
    report: &'a RefCell<Report>,
    known: Vec<&'static str>,
    sound: bool,
}

/// An item of a list, which is a text or a table; the byte at which a text starts.
pub(in crate::source) enum Item<'a> {
    Text(&'a str, usize),
    Table(Table<'a>),
}

impl Item<'_> {
    /// The byte at which it starts.
    pub(in crate::source) fn at(&self) -> usize {
        match self {
            Self::Text(_, at) => *at,
            Self::Table(table) => table.start,
        }
    }
}

impl<'a> Table<'a> {
    /// The table that a whole file is.
    pub(in crate::source) fn root(entries: &'a DeTable<'a>, report: &'a RefCell<Report>) -> Self {
        let (object, path, known) = (String::new(), Vec::new(), Vec::new());
        Self { object, path, start: 0, entries, report, known, sound: true }
    }

    fn child(
        &self,
        key: &'static str,
        object: String,
        value: &'a Spanned<DeValue<'a>>,
    ) -> Option<Self> {
        let entries = value.get_ref().as_table()?;
        let (start, report) = (value.span().start, self.report);
        let path = self.path.iter().copied().chain([key]).collect();
        Some(Self { object, path, start, entries, report, known: Vec::new(), sound: true })
    }

    /// The byte at which it starts.
    pub(in crate::source) fn at(&self) -> usize {
        self.start
    }

    /// What the table is called in messages.
    pub(in crate::source) fn object(&self) -> &str {
        &self.object
    }

    /// Notes that the value of `key`, or the table if it has none, is wrong.
    pub(in crate::source) fn wrong(
        &mut self,
        key: &str,
        what: impl Into<String>,
        fix: impl Into<String>,
    ) {
        let at = self.entries.get(key).map_or(self.start, |value| value.span().start);
        self.report.borrow_mut().error(at, &self.object, what.into(), fix.into());
        self.sound = false;
    }

    /// Notes that a table within this one is wrong, and has been reported.
    pub(in crate::source) fn mark_invalid(&mut self) {
        self.sound = false;
    }

    /// The text of `key`, right or wrong, without anything being noted.
    pub(in crate::source) fn peek(&self, key: &str) -> Option<String> {
        self.entries.get(key)?.get_ref().as_str().map(str::to_owned)
    }

    /// As [`Table::peek`], of a key of the table `key` within this one.
    pub(in crate::source) fn peek_in(&self, key: &str, inner: &str) -> Option<String> {
        let table = self.entries.get(key)?.get_ref().as_table()?;
        table.get(inner)?.get_ref().as_str().map(str::to_owned)
    }

    pub(in crate::source) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Notes that there is such a key, although it is not read now.
    pub(in crate::source) fn known(&mut self, key: &'static str) {
        self.known.push(key);
    }

    /// Notes the lack of a key that must be there.
    pub(in crate::source) fn require(&mut self, key: &'static str, fix: &str) {
        self.used(key, Use::required);
        if !self.has(key) {
            self.wrong(key, format!("{key} is missing"), fix);
        }
    }

    pub(in crate::source) fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.used(key, || Use::of(Kind::Flag, "true or false".to_owned()));
        let value = self.value(key)?;
        self.expect(key, value.as_bool(), value, Kind::Flag.wanted())
    }

    pub(in crate::source) fn flag_or(&mut self, key: &'static str, default: bool) -> bool {
        self.used(key, || Use::with_default(&default));
        self.flag(key).unwrap_or(default)
    }

    /// A text that keeps a rule, which the caller checks.
    pub(in crate::source) fn text(&mut self, key: &'static str, rule: &str) -> Option<&'a str> {
        self.used(key, || Use::of(Kind::Text, rule.to_owned()));
        let value = self.value(key)?;
        self.expect(key, value.as_str(), value, Kind::Text.wanted())
    }

    pub(in crate::source) fn text_or(
        &mut self,
        key: &'static str,
        rule: &str,
        default: &'static str,
    ) -> &'a str {
        self.used(key, || Use::with_default(&format!("\"{default}\"")));
        self.text(key, rule).unwrap_or(default)
    }

    /// A text that is a `T`.
    pub(in crate::source) fn parsed<T>(&mut self, key: &'static str) -> Option<T>
    where
        T: FromStr<Err = Invalid> + ValueRule,
    {
        let text = self.text(key, &T::rule())?;
        self.valid(key, text.parse())
    }

    pub(in crate::source) fn parsed_or<T>(&mut self, key: &'static str, default: T) -> T
    where
        T: FromStr<Err = Invalid> + ValueRule + Display,
    {
        self.used(key, || Use::with_default(&format!("\"{default}\"")));
        self.parsed(key).unwrap_or(default)
    }

    /// A text that is a `T` of the standard library, whose errors do not say what is valid: that
    /// is given as a description and an example.
    pub(in crate::source) fn parsed_as<T: FromStr>(
        &mut self,
        key: &'static str,
        (kind, example): (&str, &str),
    ) -> Option<T> {
        let rule = format!("{kind}, as in \"{example}\"");
        let text = self.text(key, &rule)?;
        let parsed = text.parse().map_err(|_| Invalid {
            what: format!("{text:?} is not {kind}"),
            fix: format!("write it as in \"{example}\""),
        });
        self.valid(key, parsed)
    }

    /// A whole number that is a `T`; `note` follows the rule of the type, for example as its unit.
    pub(in crate::source) fn number<T>(&mut self, key: &'static str, note: &str) -> Option<T>
    where
        T: TryFrom<i64, Error = Invalid> + ValueRule,
    {
        self.used(key, || Use::of(Kind::Number, T::rule() + note));
        let value = self.value(key)?;
        let integer = self.expect(key, value.as_integer(), value, Kind::Number.wanted())?;
        let number = match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => T::try_from(number),
            Err(_) => T::try_from(i64::MAX).map_err(|invalid| Invalid {
                what: format!("{integer} is far out of range"),
                ..invalid
            }),
        };
        self.valid(key, number.map_err(|wrong| Invalid { fix: wrong.fix + note, ..wrong }))
    }

    pub(in crate::source) fn number_or<T>(&mut self, key: &'static str, note: &str, default: T) -> T
    where
        T: TryFrom<i64, Error = Invalid> + ValueRule + Display,
    {
        self.used(key, || Use::with_default(&default));
        self.number(key, note).unwrap_or(default)
    }

    /// A number of seconds, which may have a fraction.
    pub(in crate::source) fn seconds_or<T>(&mut self, key: &'static str, default: T) -> T
    where
        T: TryFrom<f64, Error = Invalid> + ValueRule + Display,
    {
        const NOTE: &str = " seconds";
        self.used(key, || Use::with_default(&default));
        self.used(key, || Use::of(Kind::Fraction, T::rule() + NOTE));
        let Some(value) = self.value(key) else { return default };
        let number = fraction(value);
        let number = self.expect(key, number, value, Kind::Fraction.wanted()).map(T::try_from);
        let number =
            number.map(|read| read.map_err(|wrong| Invalid { fix: wrong.fix + NOTE, ..wrong }));
        number.and_then(|number| self.valid(key, number)).unwrap_or(default)
    }

    /// A list of texts, which keep a rule that the caller checks.
    pub(in crate::source) fn texts(
        &mut self,
        key: &'static str,
        rule: &str,
    ) -> Option<Vec<&'a str>> {
        self.used(key, || Use::of(Kind::Texts, rule.to_owned()));
        let value = self.value(key)?;
        let items = value.as_array().and_then(|items| {
            items.iter().map(|item| item.get_ref().as_str()).collect::<Option<Vec<_>>>()
        });
        self.expect(key, items, value, Kind::Texts.wanted())
    }

    /// The table `key` within this one.
    pub(in crate::source) fn table(&mut self, key: &'static str, object: String) -> Option<Self> {
        self.used(key, || Use::of(Kind::Table, String::new()));
        self.known.push(key);
        let value = self.entries.get(key)?;
        let table = self.child(key, object, value);
        let wanted = format!("{}, as in [{key}]", Kind::Table.wanted());
        self.expect(key, table, value.get_ref(), &wanted)
    }

    /// The tables of the list `key` within this one, each called what `object` makes of its label
    /// or its number if it has none.
    pub(in crate::source) fn tables(
        &mut self,
        key: &'static str,
        label: impl Fn(&DeTable<'a>) -> Option<String>,
    ) -> Vec<Self> {
        self.used(key, || Use::of(Kind::Tables, String::new()));
        self.known.push(key);
        let Some(value) = self.entries.get(key) else {
            return Vec::new();
        };
        let parent = if self.object.is_empty() { "" } else { &format!("{}, ", self.object) };
        let kind = key.replace('_', " ");
        let children = value.get_ref().as_array().and_then(|items| {
            let child = |(n, item): (usize, &'a Spanned<DeValue<'a>>)| {
                let label = item.get_ref().as_table().and_then(&label);
                let label = label.map_or_else(|| format!("#{}", n + 1), |l| format!("{l:?}"));
                self.child(key, format!("{parent}{kind} {label}"), item)
            };
            items.iter().enumerate().map(child).collect::<Option<Vec<_>>>()
        });
        let wanted = format!("{}, each as in [[{key}]]", Kind::Tables.wanted());
        self.expect(key, children, value.get_ref(), &wanted).unwrap_or_default()
    }

    /// The items of the list `key` within this table, each a text or a table.
    pub(in crate::source) fn items(&mut self, key: &'static str, rule: &str) -> Vec<Item<'a>> {
        self.used(key, || Use::of(Kind::Items, rule.to_owned()));
        self.known.push(key);
        let Some(value) = self.entries.get(key) else {
            return Vec::new();
        };
        let object = format!("{}, {}", self.object, key.replace('_', " "));
        let items = value.get_ref().as_array().and_then(|items| {
            let item = |(n, item): (usize, &'a Spanned<DeValue<'a>>)| match item.get_ref().as_str()
            {
                Some(text) => Some(Item::Text(text, item.span().start)),
                None => self.child(key, format!("{object} #{}", n + 1), item).map(Item::Table),
            };
            items.iter().enumerate().map(item).collect::<Option<Vec<_>>>()
        });
        self.expect(key, items, value.get_ref(), Kind::Items.wanted()).unwrap_or_default()
    }

    /// The value of an item that starts at `at`.
    pub(in crate::source) fn item<T>(&mut self, value: Result<T, Invalid>, at: usize) -> Option<T> {
        value
            .map_err(|invalid| {
                let Invalid { what, fix } = invalid;
                self.report.borrow_mut().error(at, &self.object, what, fix);
                self.sound = false;
            })
            .ok()
    }

    /// Notes what is valid and yet hardly meant.
    pub(in crate::source) fn odd(&self, at: usize, what: String, fix: &str) {
        self.report.borrow_mut().warning(at, &self.object, what, fix.to_owned());
    }

    /// Ends the reading: unknown keys are reported. Whether all was well, and where things are.
    pub(in crate::source) fn finish(mut self) -> (bool, Place) {
        let entries = self.entries;
        for (key, _) in entries.iter().filter(|(k, _)| !self.known.contains(&&**k.get_ref())) {
            let (name, at) = (key.get_ref(), key.span().start);
            let what = format!("{name:?} is not a key here");
            let fix = self.nearest(name);
            self.report.borrow_mut().error(at, &self.object, what, fix);
            self.sound = false;
        }
        let place = |key: &&'static str| Some((*key, entries.get(*key)?.span().start));
        let values = self.known.iter().filter_map(place).collect();
        (self.sound, Place::new(self.object, self.start, values))
    }

    /// What to do about an unknown key.
    fn nearest(&self, name: &str) -> String {
        let similar = |key: &&str| strsim::damerau_levenshtein(key, name);
        match self.known.iter().copied().min_by_key(similar) {
            Some(key) if similar(&key) <= name.len().max(3) / 3 => format!("did you mean {key}?"),
            _ => format!("remove it; the keys are {}", self.known.join(", ")),
        }
    }

    fn value(&mut self, key: &'static str) -> Option<&'a DeValue<'a>> {
        self.known.push(key);
        self.entries.get(key).map(Spanned::get_ref)
    }

    fn expect<T>(
        &mut self,
        key: &str,
        found: Option<T>,
        value: &DeValue<'_>,
        wanted: &str,
    ) -> Option<T> {
        if found.is_none() {
            let kind = value.type_str();
            self.wrong(key, format!("{key} is of the type {kind}"), format!("write {wanted}"));
        }
        found
    }

    fn valid<T>(&mut self, key: &str, value: Result<T, Invalid>) -> Option<T> {
        value
            .map_err(|invalid| self.wrong(key, format!("{key} {}", invalid.what), invalid.fix))
            .ok()
    }

    /// Notes how a key is used, where the reference of the file is written.
    fn used(&self, key: &'static str, how: impl FnOnce() -> Use) {
        if let Some(keys) = &mut self.report.borrow_mut().keys {
            keys.add(&self.path, key, how());
        }
    }
}

/// A number of either kind.
fn fraction(value: &DeValue<'_>) -> Option<f64> {
    match value.as_integer() {
        Some(whole) if whole.radix() != 10 => {
            let whole = i64::from_str_radix(whole.as_str(), whole.radix());
            Some(whole.map_or(f64::INFINITY, |whole| whole as f64))
        }
        Some(whole) => whole.as_str().parse().ok(),
        None => value.as_float()?.as_str().parse().ok(),
    }
}
