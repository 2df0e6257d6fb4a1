//! What `tcp-check` says and waits for, and the patterns of `expect`.

use crate::source::import::check::Check;
use crate::source::import::haproxy_words::Line;
use crate::source::import::section::lacking;

/// Reads a line of `tcp-check`. What comes after the first `expect`, one that has no equal among them, is
/// of no use: `is_over`.
pub(super) fn read(line: &Line, check: &mut Check, is_over: &mut bool) {
    let lacks = |outcome: &str| lacking(line.number, &line.text(), outcome);
    match line.word(1) {
        "comment" => {}
        "connect" if line.words.len() == 2 => {}
        "send" | "send-binary" | "send-lf" | "expect" if *is_over => {
            check.notes.push(lacks("a probe says something once, and waits for one answer"));
        }
        "send" | "send-binary" => {
            let word = line.word(2);
            let is_binary = line.word(1) == "send-binary";
            match if is_binary { binary(word) } else { Some(word.to_owned()) } {
                Some(text) => check.send.get_or_insert_default().push_str(&text),
                None => check.notes.push(lacks("it is no text, and left out")),
            }
        }
        "expect" => {
            *is_over = true;
            match expected(line) {
                Some((text, note)) => {
                    check.expect = Some(text);
                    check.notes.extend(note.map(lacks));
                }
                None => check.notes.push(lacks("it is no plain text; a connection is enough")),
            }
        }
        _ => check.notes.push(lacks("it is left out")),
    }
}

/// The plain text that an `expect` looks for, and how it differs from what is here.
pub(super) fn expected(line: &Line) -> Option<(String, Option<&'static str>)> {
    let mut words = line.from(2).iter().map(String::as_str);
    loop {
        match words.next()? {
            "string" => return Some((words.next()?.to_owned(), None)),
            "binary" => return Some((binary(words.next()?)?, None)),
            "rstring" => return literal(words.next()?),
            "min-recv" | "comment" | "ok-status" | "error-status" | "tout-status"
            | "on-success" | "on-error" => {
                words.next();
            }
            _ => return None,
        }
    }
}

/// The text of a regular expression that is only one.
fn literal(pattern: &str) -> Option<(String, Option<&'static str>)> {
    let anchored = pattern.strip_prefix('^');
    let mut text = String::new();
    let mut characters = anchored.unwrap_or(pattern).chars();
    while let Some(c) = characters.next() {
        let c = match c {
            '\\' => characters.next().filter(char::is_ascii_punctuation)?,
            c if ".^$|?*+()[]{}".contains(c) => return None,
            c => c,
        };
        text.push(c);
    }
    Some((text, anchored.map(|_| "the text may be anywhere in the answer here")))
}

/// Bytes in hexadecimal, if they are a text.
fn binary(digits: &str) -> Option<String> {
    if !digits.is_ascii() || !digits.len().is_multiple_of(2) {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).ok();
    let bytes: Option<Vec<u8>> = (0..digits.len()).step_by(2).map(byte).collect();
    String::from_utf8(bytes?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(lines: &[&[&str]]) -> Check {
        let (mut check, mut is_over) = (Check::default(), false);
        for (number, words) in lines.iter().enumerate() {
            let words = ["tcp-check"].iter().chain(*words).map(|word| (*word).to_owned());
            read(&Line { number: number + 1, words: words.collect() }, &mut check, &mut is_over);
        }
        check
    }

    #[test]
    fn one_exchange_is_kept() {
        let check = read_all(&[
            &["connect"],
            &["send", "EHLO "],
            &["send-binary", "610d0a"],
            &["expect", "min-recv", "4", "rstring", r"^250 ok\."],
            &["send", "QUIT"],
        ]);
        assert_eq!(check.send.as_deref(), Some("EHLO a\r\n"));
        assert_eq!(check.expect.as_deref(), Some("250 ok."));
        assert_eq!(check.notes.len(), 2, "{:?}", check.notes);
        assert!(check.notes[0].starts_with("line 4: ") && check.notes[1].starts_with("line 5: "));
    }

    #[test]
    fn what_is_no_plain_text_is_said() {
        for words in [
            &["expect", "!", "string", "a"][..],
            &["expect", "rstring", "a|b"],
            &["expect", "rstring", r"\d"],
            &["expect", "binary", "ff"],
            &["expect", "binary", "f"],
            &["expect", "string"],
            &["send-binary", "zz"],
            &["send-lf", "%[src]"],
            &["connect", "port", "25"],
        ] {
            let check = read_all(&[words]);
            let untouched = Check { notes: check.notes.clone(), ..Check::default() };
            assert_eq!((check.notes.len(), &check), (1, &untouched), "{words:?}");
        }
    }
}
