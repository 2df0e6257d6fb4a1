//! Times of the agent's log and of BPF programs, brought together.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use nix::time::{ClockId, clock_gettime};

const DAY: f64 = 86_400.0;

/// One moment by two clocks.
#[derive(Clone, Copy, Debug)]
pub struct Instants {
    /// Seconds of the day, UTC.
    of_day: f64,
    /// Since some start.
    monotonic: Duration,
}

impl Instants {
    #[expect(clippy::disallowed_methods, reason = "the log has this clock")]
    pub fn now() -> Result<Self> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let monotonic = clock_gettime(ClockId::CLOCK_MONOTONIC)?.into();
        Ok(Self { of_day: since.as_secs_f64() % DAY, monotonic })
    }

    /// Seconds from a time of day to a time, in nanoseconds, of the monotonic clock; both are within
    /// half a day of now.
    pub fn seconds_between(&self, of_day: f64, nanoseconds: u64) -> f64 {
        let ago = self.monotonic.as_secs_f64() - Duration::from_nanos(nanoseconds).as_secs_f64();
        let difference = self.of_day - ago - of_day;
        difference - (difference / DAY).round() * DAY
    }
}

/// Seconds of the day of a time as in RFC 3339, in UTC.
pub fn of_day(time: &str) -> Option<f64> {
    let (_, time) = time.strip_suffix('Z')?.split_once('T')?;
    let mut parts = time.split(':').map(|part| part.parse::<f64>().ok());
    Some(parts.next()?? * 3600.0 + parts.next()?? * 60.0 + parts.next()??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_of_day_is_read() {
        assert_eq!(of_day("2026-01-02T03:04:05.500000Z"), Some(11_045.5));
        assert_eq!(of_day("03:04"), None);
    }

    #[test]
    fn a_difference_may_span_midnight() {
        let now = Instants { of_day: 1.0, monotonic: Duration::from_secs(100) };
        let difference = now.seconds_between(DAY - 2.0, 98_000_000_000);
        assert!((difference - 1.0).abs() < 1e-6, "{difference}");
    }
}
