//! The syntax of keepalived.conf: words, blocks in braces, comments, definitions.

use std::collections::HashMap;
use std::iter::Peekable;
use std::vec::IntoIter;

use super::SyntaxError;

/// Blocks within blocks.
const DEPTH: usize = 16;
/// Bytes of a line in which definitions have been replaced.
const LONGEST_LINE: usize = 1 << 16;

/// A keyword with its values, and what is in braces after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// From 1.
    pub(super) line: usize,
    pub(super) words: Vec<String>,
    pub(super) block: Vec<Self>,
}

impl Statement {
    /// The keyword.
    pub(super) fn keyword(&self) -> &str {
        self.word(0).unwrap_or_default()
    }

    /// The value after the keyword.
    pub(super) fn value(&self) -> Option<&str> {
        self.word(1)
    }

    pub(super) fn word(&self, number: usize) -> Option<&str> {
        self.words.get(number).map(String::as_str)
    }

    /// As it was written, without what is in braces.
    pub(super) fn text(&self) -> String {
        self.words.join(" ")
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Words(usize, Vec<String>),
    Open(usize),
    Close(usize),
}

/// All statements of a file.
pub(super) fn statements(text: &str) -> Result<Vec<Statement>, SyntaxError> {
    let mut tokens = tokens(text).into_iter().peekable();
    let found = block(&mut tokens, 0)?;
    match tokens.next() {
        None => Ok(found),
        Some(Token::Open(line) | Token::Close(line) | Token::Words(line, _)) => {
            let what = "} closes nothing".to_owned();
            Err(SyntaxError { line, what, fix: "remove it" })
        }
    }
}

fn block(
    tokens: &mut Peekable<IntoIter<Token>>,
    depth: usize,
) -> Result<Vec<Statement>, SyntaxError> {
    let mut found: Vec<Statement> = Vec::new();
    while let Some(token) = tokens.next_if(|token| !matches!(token, Token::Close(_))) {
        let line = match token {
            Token::Words(line, words) => {
                found.push(Statement { line, words, block: Vec::new() });
                continue;
            }
            Token::Open(line) | Token::Close(line) => line,
        };
        if depth == DEPTH {
            let what = format!("more than {DEPTH} blocks within each other");
            return Err(SyntaxError { line, what, fix: "is it a file of keepalived?" });
        }
        let Some(owner) = found.last_mut() else {
            let what = "{ follows no keyword".to_owned();
            return Err(SyntaxError { line, what, fix: "is it a file of keepalived?" });
        };
        owner.block = block(tokens, depth + 1)?;
        if tokens.next().is_none() {
            let what = format!("`{}` has no closing }}", owner.text());
            return Err(SyntaxError { line: owner.line, what, fix: "add it" });
        }
    }
    Ok(found)
}

fn tokens(text: &str) -> Vec<Token> {
    let mut definitions = HashMap::new();
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line_number = number + 1;
        if let Some((name, value)) = definition(line) {
            definitions.insert(name, value);
            continue;
        }
        let line = defined(line, &definitions);
        let mut words = Vec::new();
        for word in split(&line) {
            let token = match &*word {
                "{" => Token::Open(line_number),
                "}" => Token::Close(line_number),
                _ => {
                    words.push(word);
                    continue;
                }
            };
            if !words.is_empty() {
                found.push(Token::Words(line_number, std::mem::take(&mut words)));
            }
            found.push(token);
        }
        if !words.is_empty() {
            found.push(Token::Words(line_number, words));
        }
    }
    found
}

/// `$NAME=value`, on one line.
fn definition(line: &str) -> Option<(String, String)> {
    let (name, value) = line.trim().strip_prefix('$')?.split_once('=')?;
    let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_');
    is_name.then(|| (name.to_owned(), value.trim().to_owned()))
}

/// A line with the values of definitions in the place of `$NAME` and `${NAME}`.
fn defined(line: &str, definitions: &HashMap<String, String>) -> String {
    let mut parts = line.split('$');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        if out.len() > LONGEST_LINE {
            break;
        }
        let braced = part.strip_prefix('{').and_then(|part| part.split_once('}'));
        let end = part.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(part.len());
        let (name, rest) = braced.unwrap_or_else(|| part.split_at(end));
        match definitions.get(name) {
            Some(value) => out.extend([value, rest]),
            None => out.extend(["$", part]),
        }
    }
    out
}

/// The words of a line: in quotes, or up to a space; `#` and `!` begin comments.
fn split(line: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = line.trim_start();
    while let Some(first) = rest.chars().next().filter(|first| !['#', '!'].contains(first)) {
        let (word, after) = match rest.strip_prefix(first).filter(|_| "\"'".contains(first)) {
            Some(quoted) => quoted.split_once(first).unwrap_or((quoted, "")),
            None => match rest.strip_prefix(['{', '}']) {
                Some(after) => (&rest[..1], after),
                None => {
                    let is_end = |c: char| c.is_whitespace() || "{}#".contains(c);
                    rest.split_at(rest.find(is_end).unwrap_or(rest.len()))
                }
            },
        };
        found.push(word.to_owned());
        rest = after.trim_start();
    }
    found
}
