//! Since when something is wanted: a time, or how long ago.

use std::time::{Duration, SystemTime};

use super::duration::duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    Ago(Duration),
    Time(SystemTime),
}

impl Since {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let time = humantime::parse_rfc3339_weak(text).map(Self::Time);
        time.or_else(|_| duration(text).map(Self::Ago)).map_err(|_| {
            format!("{text:?} is no time; write 10m or 1h30m, or 2026-01-02T03:04:05Z")
        })
    }

    pub(super) fn at(self, now: SystemTime) -> SystemTime {
        match self {
            Self::Ago(time) => now.checked_sub(time).unwrap_or(SystemTime::UNIX_EPOCH),
            Self::Time(time) => time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::shape::status::timestamp_millis;

    #[test]
    fn since_is_a_time_or_how_long_ago() {
        let now = humantime::parse_rfc3339("2026-01-02T03:04:05.678Z").unwrap();
        let at = |text: &str| Since::parse(text).map(|since| timestamp_millis(since.at(now)));
        assert_eq!(at("10m").unwrap(), "2026-01-02T02:54:05.678Z");
        assert_eq!(at("2026-01-01T00:00:00Z").unwrap(), "2026-01-01T00:00:00.000Z");
        assert_eq!(at("2026-01-01 10:00:00").unwrap(), "2026-01-01T10:00:00.000Z");
        assert!(at("soon").unwrap_err().contains("\"soon\" is no time; write 10m"));
    }
}
