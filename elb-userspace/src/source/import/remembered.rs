//! Pools that remember their clients for a time: what keepalived calls persistence, haproxy a stick table.

use toml::{Table, Value};

use super::counted::{self, Given};
use super::section::Section;

/// The longest time that a pool remembers a client for, in seconds.
const MOST: u64 = elb_common::limits::MAX_PERSISTENCE as u64;

/// What a file says of it.
#[derive(Default)]
pub(super) struct Remembered {
    /// Where it asks for it; none: clients are not remembered.
    pub(super) asked: Option<Given>,
    /// For how many seconds; none: for ever, or it is not known.
    pub(super) seconds: Option<u64>,
    /// Bits that tell IPv4 addresses apart, if not all.
    pub(super) prefix: Option<u32>,
    /// The same of IPv6.
    pub(super) ipv6_prefix: Option<u32>,
}

impl Remembered {
    /// Writes it to a pool. Only pools that count connections remember clients: which algorithm the pool has.
    pub(super) fn write(&self, pool: &mut Section, algorithm: &'static str) -> &'static str {
        let Some(Given { line, text }) = &self.asked else { return algorithm };
        let seconds = match self.seconds {
            Some(0) => return algorithm,
            Some(seconds @ 1..=MOST) => seconds,
            Some(_) | None => {
                pool.lacks(*line, text, "a client that was away for a day is forgotten");
                MOST
            }
        };
        let mut table = Table::new();
        let mut set = |key: &str, value: i64| {
            table.insert(key.to_owned(), Value::Integer(value));
        };
        set("timeout", i64::try_from(seconds).unwrap_or(1));
        for (key, bits) in [("prefix", self.prefix), ("ipv6_prefix", self.ipv6_prefix)] {
            if let Some(bits) = bits {
                set(key, bits.into());
            }
        }
        pool.set("session_persistence", table);
        if counted::counts(algorithm) {
            return algorithm;
        }
        let outcome = format!(
            "clients are remembered with ROUND_ROBIN, by which new ones get a member, not {algorithm}"
        );
        pool.lacks(*line, text, &outcome);
        "ROUND_ROBIN"
    }
}

/// Bits that tell addresses apart, by a mask or their number; none: it is no mask of leading bits.
pub(super) fn bits_of_mask(mask: &str) -> Option<u32> {
    let Ok(mask) = mask.parse::<std::net::Ipv4Addr>() else { return mask.parse().ok() };
    let bits = u32::from(mask).leading_ones();
    (u32::MAX.checked_shl(32 - bits).unwrap_or(0) == u32::from(mask)).then_some(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(seconds: Option<u64>, algorithm: &'static str) -> (String, &'static str) {
        let mut section = Section::default();
        let asked = Some(Given { line: 3, text: "stick on src".to_owned() });
        let remembered = Remembered { asked, seconds, prefix: Some(24), ipv6_prefix: None };
        let algorithm = remembered.write(&mut section, algorithm);
        (section.lines("[[pool]]", false), algorithm)
    }

    #[test]
    fn it_is_written_where_connections_are_counted() {
        let table = "[[pool]]\nsession_persistence = { prefix = 24, timeout = 60 }\n\n";
        assert_eq!(written(Some(60), "LEAST_CONNECTIONS"), (table.to_owned(), "LEAST_CONNECTIONS"));
        let (text, algorithm) = written(Some(60), "SOURCE_IP");
        assert_eq!(algorithm, "ROUND_ROBIN");
        assert!(
            text.starts_with("# line 3: `stick on src`: clients are remembered with"),
            "{text}"
        );
        assert!(text.ends_with(table), "{text}");
        for seconds in [None, Some(MOST + 1), Some(u64::MAX)] {
            let (text, _) = written(seconds, "ROUND_ROBIN");
            assert!(text.contains("away for a day") && text.contains("timeout = 86400"), "{text}");
        }
        assert_eq!(written(Some(0), "SOURCE_IP"), ("[[pool]]\n\n".to_owned(), "SOURCE_IP"));
    }

    #[test]
    fn masks_are_numbers_of_bits() {
        let all = ["255.255.255.0", "255.255.255.255", "64", "255.0.255.0", "0.0.0.0", "x"];
        let bits = all.map(bits_of_mask);
        assert_eq!(bits, [Some(24), Some(32), Some(64), None, Some(0), None]);
    }
}
