//! What a probe says, or waits to hear.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::value::{Invalid, ValueRule};

/// A text of 1 to 255 bytes, sent and searched for as it is: with line ends and control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct ProbeText(String);

impl ProbeText {
    const LONGEST: usize = 255;

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl FromStr for ProbeText {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text.len() {
            1..=Self::LONGEST => Ok(Self(text.to_owned())),
            length => Err(Invalid::against_rule::<Self>(format!("has {length} bytes"))),
        }
    }
}

impl ValueRule for ProbeText {
    fn rule() -> String {
        format!("1 to {} bytes; line ends and others as TOML escapes them: \\r\\n", Self::LONGEST)
    }
}

impl fmt::Display for ProbeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_bounded_and_kept_as_it_is() {
        for text in ["+PONG\r\n", "\0", &"a".repeat(255), &"é".repeat(127)] {
            assert_eq!(text.parse::<ProbeText>().unwrap().as_bytes(), text.as_bytes());
        }
        for (text, length) in [("", 0), (&*"a".repeat(256), 256), (&*"é".repeat(128), 256)] {
            let error = text.parse::<ProbeText>().unwrap_err().to_string();
            assert!(error.starts_with(&format!("has {length} bytes; use 1 to 255")), "{error}");
        }
    }
}
