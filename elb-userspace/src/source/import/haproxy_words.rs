//! The syntax of haproxy.cfg: sections, which begin with a word that is known, and lines of words.

use std::str::Chars;

use super::SyntaxError;

/// Words that begin a section.
const SECTIONS: &[&str] = &[
    "global",
    "defaults",
    "frontend",
    "backend",
    "listen",
    "peers",
    "resolvers",
    "userlist",
    "mailers",
    "program",
    "cache",
    "http-errors",
    "ring",
    "log-forward",
    "fcgi-app",
    "crt-store",
    "traces",
    "log-profile",
    "acme",
];

/// A line of a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: usize,
    pub(super) words: Vec<String>,
}

impl Line {
    pub(super) fn word(&self, number: usize) -> &str {
        self.words.get(number).map_or("", String::as_str)
    }

    /// From a word on.
    pub(super) fn from(&self, number: usize) -> &[String] {
        self.words.get(number..).unwrap_or_default()
    }

    /// As it may be shown: line ends and the like as they were written.
    pub(super) fn text(&self) -> String {
        let text = self.words.join(" ");
        let shown =
            |c: char| if c.is_control() { c.escape_debug().collect() } else { c.to_string() };
        text.chars().map(shown).collect()
    }
}

/// A section: the line that begins it, and those after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) head: Line,
    pub(super) lines: Vec<Line>,
}

/// All sections of a file.
pub(super) fn parts(text: &str) -> Result<Vec<Part>, SyntaxError> {
    let mut found: Vec<Part> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let words = words(line);
        let line = Line { number: number + 1, words };
        if line.words.is_empty() || line.word(0).starts_with('.') {
            continue;
        }
        if SECTIONS.contains(&line.word(0)) {
            found.push(Part { head: line, lines: Vec::new() });
        } else if let Some(part) = found.last_mut() {
            part.lines.push(line);
        } else {
            let what = format!("`{}` is in no section", line.text());
            return Err(SyntaxError { line: line.number, what, fix: "is it a file of haproxy?" });
        }
    }
    Ok(found)
}

/// Words of a line, as written in a file of haproxy: spaces separate them unless quoted or after a backslash, and `#` begins a comment.
fn words(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' if quote != Some('\'') => {
                escaped(&mut characters, word.get_or_insert_default());
            }
            '"' | '\'' if quote == Some(c) => quote = None,
            '"' | '\'' if quote.is_none() => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            '#' if quote.is_none() => break,
            c if c.is_whitespace() && quote.is_none() => found.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    found.extend(word);
    found
}

/// What a backslash and the characters after it stand for: a line end, a character by its number, a
/// character that means something else without it; anything else is kept as it is.
fn escaped(characters: &mut Chars<'_>, word: &mut String) {
    match characters.next() {
        Some('n') => word.push('\n'),
        Some('r') => word.push('\r'),
        Some('t') => word.push('\t'),
        Some('x') => {
            let digits =
                characters.as_str().get(..2).and_then(|two| u8::from_str_radix(two, 16).ok());
            match digits {
                Some(number) => {
                    characters.nth(1);
                    word.push(number.into());
                }
                None => word.push_str("\\x"),
            }
        }
        Some(c) if "\\ #\"'$".contains(c) => word.push(c),
        other => word.extend(['\\'].into_iter().chain(other)),
    }
}
