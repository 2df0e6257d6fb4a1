//! The text of a configuration: its file, and the files that it includes, one after the other. All positions in
//! it are bytes of the whole; each belongs to a file.

pub(super) mod include;

use std::path::Path;
use std::sync::Arc;

use toml::de::DeTable;

use super::error::{ConfigError, Errors, Severity};
use super::piece::Piece;
use super::place::IN_STORE;

/// The whole text, and which file each part is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceText {
    /// That of the files. It is TOML if each file is.
    pub text: String,
    /// The files, by the byte at which each begins; the first one begins at 0.
    pub files: Vec<(String, usize)>,
    /// What a store holds next to the files, if there is one.
    pub(super) stored: Option<Stored>,
    /// What could not be read, and is therefore not in the text.
    pub(super) errors: Vec<ConfigError>,
}

/// The resources of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Stored {
    /// What messages call it.
    pub(super) name: String,
    pub(super) pieces: Vec<Arc<Piece>>,
}

impl SourceText {
    /// A single file; `name` is what messages call it.
    pub fn of(name: &str, text: &str) -> Self {
        let files = vec![(name.to_owned(), 0)];
        Self { text: text.to_owned(), files, stored: None, errors: Vec::new() }
    }

    /// Several files that someone else read.
    pub fn of_files(name: &str, text: &str, files: &[(String, usize)]) -> Self {
        let is_right = files.first().is_some_and(|(_, start)| *start == 0)
            && files.is_sorted_by_key(|(_, start)| *start)
            && files.iter().all(|(_, start)| text.is_char_boundary(*start));
        if is_right {
            Self { text: text.to_owned(), files: files.to_vec(), ..Self::default() }
        } else {
            Self::of(name, text)
        }
    }

    /// Reads a file and those that it includes. One of those that cannot be read is an error of what is read.
    ///
    /// # Errors
    /// The file itself cannot be read.
    pub fn read(path: &Path) -> Result<Self, Errors> {
        let mut source = Self::of(&path.display().to_string(), &super::read_one(path)?);
        let (document, errors) = DeTable::parse_recoverable(&source.text);
        // Where the file itself is no TOML, what follows would be read as a part of it.
        let pattern = document.get_ref().get("include").filter(|_| errors.is_empty());
        if let Some(pattern) = pattern.and_then(|pattern| pattern.get_ref().as_str()) {
            let pattern = pattern.to_owned();
            include::read(&mut source, path, &pattern);
        }
        Ok(source)
    }

    /// The file of a byte, and line and column in it.
    pub(super) fn place(&self, offset: usize) -> (&str, usize, usize) {
        if offset == IN_STORE {
            return (self.stored.as_ref().map_or("", |stored| &stored.name), 0, 0);
        }
        let within = self.files.iter().enumerate().rev().find(|(_, (_, start))| *start <= offset);
        let Some((index, (name, start))) = within else { return ("", 0, 0) };
        let end = self.files.get(index + 1).map_or(self.text.len(), |(_, end)| *end);
        let text = self.text.get(*start..end).unwrap_or_default();
        let (line, column) = position(text, offset - start);
        (name, line, column)
    }

    /// The same, with what a store holds.
    pub fn with_store(self, store: &Path, pieces: Vec<Arc<Piece>>) -> Self {
        Self { stored: Some(Stored { name: store.display().to_string(), pieces }), ..self }
    }

    /// All of it as one text, with what a store holds behind the files.
    pub fn whole(&self) -> String {
        let pieces = self.stored.iter().flat_map(|stored| &stored.pieces);
        let mut text = self.text.clone();
        for piece in pieces {
            if !text.ends_with('\n') {
                text.push('\n');
            }
            text.push_str(piece.text());
        }
        text
    }

    /// The same, and this is wrong with it as a whole.
    pub fn with_error(mut self, file: &Path, what: String, fix: &str) -> Self {
        self.wrong(&file.display().to_string(), (0, 0), what, fix);
        self
    }

    /// Adds a file behind the others.
    pub(super) fn append(&mut self, name: String, text: &str) {
        if !self.text.ends_with('\n') {
            self.text.push('\n');
        }
        self.files.push((name, self.text.len()));
        self.text.push_str(text);
    }

    /// Notes what is wrong with a file at a place of its own.
    pub(super) fn wrong(&mut self, file: &str, at: (usize, usize), what: String, fix: &str) {
        let ((line, column), severity) = (at, Severity::Error);
        let (file, object, fix) = (file.to_owned(), String::new(), fix.to_owned());
        self.errors.push(ConfigError { severity, file, line, column, object, what, fix });
    }
}

/// Line and column, both from 1, of a byte; of the end if the text has no such byte.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..text.floor_char_boundary(offset)];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters() {
        assert_eq!(position("", 0), (1, 1));
        assert_eq!(position("a\nbé = 1\n", 2), (2, 1));
        assert_eq!(position("a\nbé = 1\n", 6), (2, 4));
        assert_eq!(position("a\n", 99), (2, 1));
        assert_eq!(position("é", 1), (1, 1));
    }

    #[test]
    fn a_byte_is_of_a_file_with_lines_of_its_own() {
        let mut source = SourceText::of("elb.toml", "a = 1\nb = 2");
        source.append("conf.d/x.toml".to_owned(), "c = 3\nd = 4\n");
        source.append("conf.d/y.toml".to_owned(), "");
        let at = |text: &str| source.place(source.text.find(text).unwrap());
        assert_eq!(at("b = 2"), ("elb.toml", 2, 1));
        assert_eq!(at("c = 3"), ("conf.d/x.toml", 1, 1));
        assert_eq!(at("4"), ("conf.d/x.toml", 2, 5));
        assert_eq!(source.place(source.text.len()), ("conf.d/y.toml", 1, 1));
        let same = SourceText::of_files("elb.toml", &source.text, &source.files);
        assert_eq!(same, source);
    }

    #[test]
    fn files_that_do_not_fit_the_text_are_one() {
        for files in [
            &[][..],
            &[("b", 1)],
            &[("a", 0), ("b", 9)],
            &[("a", 0), ("c", 3), ("b", 2)],
            &[("a", 0), ("é", 1)],
        ] {
            let files: Vec<_> = files.iter().map(|(name, at)| ((*name).to_owned(), *at)).collect();
            let source = SourceText::of_files("x", "é = 1", &files);
            assert_eq!(source.files, [("x".to_owned(), 0)], "{files:?}");
        }
    }
}
