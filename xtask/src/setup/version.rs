//! Version numbers, as programs and packages print them.

use std::fmt;

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Version(pub(crate) u32, pub(crate) u32, pub(crate) u32);

impl Version {
    /// Finds the first dotted number in `text`: "rustc 1.95.0 (…)", "1.96.0+dfsg1-1", "1.95".
    pub(crate) fn find(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(Self::parse)
    }

    fn parse(word: &str) -> Option<Self> {
        let dotted = word.split(|c: char| !c.is_ascii_digit() && c != '.').next()?;
        let mut numbers = dotted.split('.').map(|number| number.parse().ok());
        let (major, minor) = (numbers.next()??, numbers.next()??);
        Some(Self(major, minor, numbers.next().flatten().unwrap_or(0)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_programs_and_packages_print() {
        for (text, expected) in [
            ("rustc 1.95.0 (59807616e 2026-04-14)", Some(Version(1, 95, 0))),
            ("rustc 1.97.0-nightly (e50aa6fba 2026-05-19)", Some(Version(1, 97, 0))),
            ("bpf-linker 0.13.0\n", Some(Version(0, 13, 0))),
            ("1.96.0+dfsg1-1~deb12u2", Some(Version(1, 96, 0))),
            ("1.95", Some(Version(1, 95, 0))),
            ("(none)", None),
            ("", None),
        ] {
            assert_eq!(Version::find(text), expected, "{text:?}");
        }
    }

    #[test]
    fn orders_by_number_not_by_text() {
        assert!(Version(0, 9, 0) < Version(0, 13, 0));
        assert!(Version(1, 95, 1) > Version(1, 95, 0));
    }
}
