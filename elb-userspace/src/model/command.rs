//! A health check by a command of the load balancer's host.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::value::{Invalid, ValueRule};

/// A command that is run for each probe: exit status 0 is a healthy member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CommandCheck {
    /// The file, an absolute path, and its arguments. No shell reads them.
    pub command: Vec<String>,
    /// The user that it runs as.
    pub user: CheckUser,
}

impl CommandCheck {
    /// The most words of a command.
    pub const MOST_WORDS: usize = 32;
    /// The longest word in bytes.
    pub const LONGEST_WORD: usize = 1024;

    /// The file.
    pub fn program(&self) -> &str {
        self.command.first().map_or("", String::as_str)
    }

    /// What a command must be.
    pub fn rule() -> String {
        format!(
            "an absolute path and its arguments, at most {} texts of up to {} bytes without NUL",
            Self::MOST_WORDS,
            Self::LONGEST_WORD
        )
    }

    /// What is wrong with these words as a command; none: nothing.
    pub fn wrong(words: &[&str]) -> Option<String> {
        let long = |word: &&&str| word.len() > Self::LONGEST_WORD || word.contains('\0');
        match words {
            [] => Some("command is empty".to_owned()),
            [program, ..] if !program.starts_with('/') => {
                Some(format!("command begins with {program:?}, which is not an absolute path"))
            }
            words if words.len() > Self::MOST_WORDS => {
                Some(format!("command has {} texts", words.len()))
            }
            words => words.iter().find(long).map(|word| {
                let begin: String = word.chars().take(20).collect();
                format!("command has the text {begin:?}…, of {} bytes", word.len())
            }),
        }
    }
}

/// A user of the host: a name or a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct CheckUser(String);

impl CheckUser {
    /// Its name, or its number as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for CheckUser {
    fn default() -> Self {
        Self("nobody".to_owned())
    }
}

impl FromStr for CheckUser {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let is_of_names = |c: char| c.is_ascii_alphanumeric() || "_-.$".contains(c);
        if (1..=32).contains(&text.len()) && text.chars().all(is_of_names) {
            return Ok(Self(text.to_owned()));
        }
        Err(Invalid::against_rule::<Self>(format!("{text:?} is not the name of a user")))
    }
}

impl ValueRule for CheckUser {
    fn rule() -> String {
        "the name of a user, or its number".to_owned()
    }
}

impl fmt::Display for CheckUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_have_an_absolute_path() {
        assert_eq!(CommandCheck::wrong(&["/bin/true"]), None);
        assert_eq!(CommandCheck::wrong(&["/bin/sh", "-c", "", "é"]), None);
        let long = "a".repeat(1025);
        for words in [&[][..], &["true"], &[""], &["/a"; 33], &["/a", &long], &["/a", "\0"]] {
            assert!(CommandCheck::wrong(words).is_some(), "{words:?}");
        }
    }

    #[test]
    fn users_have_names_or_numbers() {
        assert_eq!(CheckUser::default().as_str(), "nobody");
        for text in ["nobody", "65534", "elb-check", "a.b$"] {
            assert_eq!(text.parse::<CheckUser>().unwrap().as_str(), text);
        }
        for text in ["", "a b", "a:b", "/x", &"a".repeat(33)] {
            assert!(text.parse::<CheckUser>().is_err(), "{text}");
        }
    }
}
