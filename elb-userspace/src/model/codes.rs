//! The codes that count as healthy: of HTTP and of gRPC.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use super::value::{Invalid, ValueRule, as_text};

/// The most codes or ranges of codes.
const MOST: usize = 5;
/// The longest text of the V3 API, in characters.
const LONGEST: usize = 64;

/// Codes within `FIRST..=LAST` that count as healthy: up to five codes or ranges of codes,
/// `200,202-204`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codes<const FIRST: u16, const LAST: u16> {
    /// First and last code of each, both included.
    ranges: Vec<(u16, u16)>,
}

/// Status codes of HTTP; 200 unless said.
pub type ExpectedCodes = Codes<200, 599>;
/// Codes of `grpc-status`; 0 unless said.
pub type GrpcCodes = Codes<0, 99>;

impl<const FIRST: u16, const LAST: u16> Codes<FIRST, LAST> {
    /// Whether an answer with this code counts as healthy.
    pub fn contains(&self, code: u16) -> bool {
        self.ranges.iter().any(|(first, last)| (*first..=*last).contains(&code))
    }
}

/// The first there is: it says that all is well, of HTTP and of gRPC.
impl<const FIRST: u16, const LAST: u16> Default for Codes<FIRST, LAST> {
    fn default() -> Self {
        Self { ranges: vec![(FIRST, FIRST)] }
    }
}

impl<const FIRST: u16, const LAST: u16> FromStr for Codes<FIRST, LAST> {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let code = |code: &str| {
            // Written as a number is: "+200" and "0200" are not.
            let code: u16 = code.parse().ok().filter(|n: &u16| n.to_string() == code)?;
            (FIRST..=LAST).contains(&code).then_some(code)
        };
        let range = |item: &str| {
            let (first, last) = item.split_once('-').unwrap_or((item, item));
            code(first).zip(code(last)).filter(|(first, last)| first <= last)
        };
        let ranges: Option<Vec<_>> = text.split(',').map(|item| range(item.trim())).collect();
        let ranges = ranges.filter(|ranges| ranges.len() <= MOST && text.len() <= LONGEST);
        ranges.map(|ranges| Self { ranges }).ok_or_else(|| {
            Invalid::against_rule::<Self>(format!("{text:?} is not a list of codes"))
        })
    }
}

impl<const FIRST: u16, const LAST: u16> ValueRule for Codes<FIRST, LAST> {
    fn rule() -> String {
        let (a, b, c) = (FIRST, FIRST + 2, FIRST + 4);
        format!("at most {MOST} codes or ranges within {FIRST}..={LAST}, for example {a},{b}-{c}")
    }
}

impl<const FIRST: u16, const LAST: u16> fmt::Display for Codes<FIRST, LAST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (first, last)) in self.ranges.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{first}")?;
            if first != last {
                write!(f, "-{last}")?;
            }
        }
        Ok(())
    }
}

impl<const FIRST: u16, const LAST: u16> Serialize for Codes<FIRST, LAST> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        as_text(self, serializer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn codes_of_http() {
        let codes: ExpectedCodes = "200, 202-204".parse().unwrap();
        let counted: Vec<u16> = (100..700).filter(|status| codes.contains(*status)).collect();
        assert_eq!(counted, [200, 202, 203, 204]);
        assert_eq!(codes.to_string(), "200,202-204");
        assert_eq!(ExpectedCodes::default().to_string(), "200");
        for text in ["200", "200,202", "200-204", "200,201,202,203,599"] {
            assert!(text.parse::<ExpectedCodes>().is_ok(), "{text}");
        }
        for text in [
            "",
            "199",
            "600",
            "2xx",
            "204-200",
            "200,",
            "0200",
            "+200",
            "200-202-204",
            "200,,202",
            "200 - 204",
            "-200",
            "70000",
            "200,201,202,203,204,205",
        ] {
            assert!(text.parse::<ExpectedCodes>().is_err(), "{text}");
        }
        let padded = format!("200{}", " ".repeat(62));
        assert!(padded.parse::<ExpectedCodes>().is_err());
    }

    #[test]
    fn codes_of_grpc() {
        let codes: GrpcCodes = "0,12-14,99".parse().unwrap();
        let counted: Vec<u16> = (0..200).filter(|status| codes.contains(*status)).collect();
        assert_eq!(counted, [0, 12, 13, 14, 99]);
        assert_eq!(GrpcCodes::default().to_string(), "0");
        for text in ["100", "200", "00", "-1", "0-100"] {
            let error = text.parse::<GrpcCodes>().unwrap_err();
            assert!(error.fix.contains("within 0..=99, for example 0,2-4"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(text in "[0-9]{1,3}([,-][0-9]{1,3}){0,4}|\\PC*") {
            if let Ok(codes) = text.parse::<ExpectedCodes>() {
                prop_assert_eq!(codes.to_string().parse(), Ok(codes.clone()));
                prop_assert!((0..200).chain(600..=u16::MAX).all(|code| !codes.contains(code)));
                prop_assert!((200..600).any(|code| codes.contains(code)));
            }
            if let Ok(codes) = text.parse::<GrpcCodes>() {
                prop_assert_eq!(codes.to_string().parse(), Ok(codes.clone()));
                prop_assert!((100..=u16::MAX).all(|code| !codes.contains(code)));
            }
        }
    }
}
