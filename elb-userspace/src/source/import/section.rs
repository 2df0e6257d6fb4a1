//! One table of a configuration file that is being written.

use std::fmt::Write as _;

use toml::Value;

/// A table: its keys in order, and the comments above it.
#[derive(Clone, Debug, Default)]
pub(super) struct Section {
    /// Comments, without `#`.
    pub(super) notes: Vec<String>,
    /// Why it cannot be served; it is written as comments then.
    pub(super) refused: Option<String>,
    keys: Vec<(&'static str, Value)>,
}

impl Section {
    /// Sets a key, in place of an earlier value.
    pub(super) fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        let value = value.into();
        match self.keys.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => *old = value,
            None => self.keys.push((key, value)),
        }
    }

    /// The text under a key.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.keys.iter().find(|(known, _)| *known == key)?.1.as_str()
    }

    /// Says that something of a line has no equal, and what becomes of it.
    pub(super) fn lacks(&mut self, line: usize, what: &str, outcome: &str) {
        self.notes.push(lacking(line, what, outcome));
    }

    /// The table as lines of a file, under its header; as comments if it is refused, or `around` is, which it
    /// is a part of.
    pub(super) fn lines(&self, header: &str, around: bool) -> String {
        let mut lines: String = self.notes.iter().map(|note| comment(note)).collect();
        if let Some(why) = &self.refused {
            lines += &comment(&format!("NOT SERVED: {why}"));
        }
        let prefix = if around || self.refused.is_some() { "# " } else { "" };
        // Writing to a text cannot fail.
        let _ = writeln!(lines, "{prefix}{header}");
        let (name, others): (Vec<_>, Vec<_>) =
            self.keys.iter().partition(|(key, _)| *key == "name");
        for (key, value) in name.into_iter().chain(others) {
            let _ = writeln!(lines, "{prefix}{key} = {}", written(value));
        }
        lines.push('\n');
        lines
    }
}

/// A value on one line: with TOML's own writer, a text with line ends has several.
fn written(value: &Value) -> String {
    let Some(text) = value.as_str().filter(|text| text.contains(char::is_control)) else {
        return value.to_string();
    };
    let escaped = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        '\r' => "\\r".to_owned(),
        '\t' => "\\t".to_owned(),
        c if c.is_control() => format!("\\u{:04X}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escaped).collect::<String>())
}

/// That something of a line has no equal, and what becomes of it.
pub(super) fn lacking(line: usize, what: &str, outcome: &str) -> String {
    format!("line {line}: `{what}`: {outcome}")
}

/// A line of comment. What TOML allows in no comment, and what would end it, becomes a space.
pub(super) fn comment(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("# {text}\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_text_is_read_as_it_was_written(text in "[\\x00-\\x9f]{0,12}|\\PC{0,12}|[\"'\r\n]{0,9}") {
            let line = written(&Value::from(text.as_str()));
            prop_assert!(!line.contains('\n'), "{line}");
            let read: toml::Table = format!("a = {line}").parse().unwrap();
            prop_assert_eq!(read["a"].as_str(), Some(text.as_str()));
        }
    }
}
