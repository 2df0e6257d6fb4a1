//! Seconds of a probe: whole ones, as the V3 API has them, or with a fraction.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::value::{Invalid, ValueRule};

/// Seconds of a probe's interval or timeout: 0.1 to 50, by the millisecond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProbeSeconds {
    milliseconds: u32,
}

impl ProbeSeconds {
    /// Of the shortest span, in milliseconds: timers and one loop for thousands of probes keep it.
    pub const LEAST: u32 = 100;
    /// Of the longest span (V3).
    pub const MOST: u32 = 50_000;

    /// A number of whole seconds that is known at compile time to be in range.
    pub const fn constant(seconds: u32) -> Self {
        let milliseconds = seconds * 1000;
        assert!(Self::LEAST <= milliseconds && milliseconds <= Self::MOST, "out of range");
        Self { milliseconds }
    }

    /// The time span.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.milliseconds as u64)
    }

    /// In whole seconds, rounded up.
    pub const fn ceil(self) -> u32 {
        self.milliseconds.div_ceil(1000)
    }

    /// In seconds.
    pub fn seconds(self) -> f64 {
        f64::from(self.milliseconds) / 1000.0
    }

    fn ends() -> [f64; 2] {
        [Self::LEAST, Self::MOST].map(|milliseconds| f64::from(milliseconds) / 1000.0)
    }
}

impl TryFrom<f64> for ProbeSeconds {
    type Error = Invalid;

    fn try_from(seconds: f64) -> Result<Self, Invalid> {
        let milliseconds = seconds * 1000.0;
        if (f64::from(Self::LEAST)..=f64::from(Self::MOST)).contains(&milliseconds) {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "it is in range"
            )]
            return Ok(Self { milliseconds: milliseconds.round() as u32 });
        }
        let [least, most] = Self::ends();
        Err(Invalid::against_rule::<Self>(format!("{seconds} is outside {least}..={most}")))
    }
}

impl ValueRule for ProbeSeconds {
    fn rule() -> String {
        let [least, most] = Self::ends();
        format!("{least} to {most}")
    }
}

impl fmt::Display for ProbeSeconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.seconds().fmt(f)
    }
}

/// A whole number where it is one, as in the V3 API.
impl Serialize for ProbeSeconds {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.milliseconds % 1000 {
            0 => to.serialize_u32(self.milliseconds / 1000),
            _ => to.serialize_f64(self.seconds()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(seconds: f64) -> Result<ProbeSeconds, String> {
        ProbeSeconds::try_from(seconds).map_err(|invalid| invalid.to_string())
    }

    #[test]
    fn the_ends_and_what_is_beyond() {
        for (seconds, text) in [(0.1, "0.1"), (0.25, "0.25"), (1.0, "1"), (50.0, "50")] {
            let span = of(seconds).unwrap();
            assert_eq!((span.to_string().as_str(), span.seconds()), (text, seconds));
            assert_eq!(serde_json::to_string(&span).unwrap(), text);
        }
        assert_eq!(of(0.2).unwrap().duration(), Duration::from_millis(200));
        assert_eq!([0.1, 1.0, 1.001].map(|s| of(s).unwrap().ceil()), [1, 1, 2]);
        for seconds in [0.0, -1.0, 0.0999, 50.001, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let error = of(seconds).unwrap_err();
            assert!(error.ends_with("is outside 0.1..=50; use 0.1 to 50"), "{error}");
        }
    }

    proptest! {
        /// Whatever is in range is kept by the millisecond, and is read back as it is written.
        #[test]
        fn what_is_written_is_read(milliseconds in ProbeSeconds::LEAST..=ProbeSeconds::MOST) {
            let span = of(f64::from(milliseconds) / 1000.0).unwrap();
            prop_assert_eq!(span.duration(), Duration::from_millis(milliseconds.into()));
            let written = span.to_string();
            prop_assert_eq!(of(written.parse().unwrap()), Ok(span));
            prop_assert_eq!(serde_json::to_value(span).unwrap().as_f64(), Some(span.seconds()));
        }

        #[test]
        fn no_number_panics(bits in any::<u64>()) {
            let seconds = f64::from_bits(bits);
            prop_assert_eq!(of(seconds).is_ok(), (0.1..=50.0).contains(&seconds));
        }
    }
}
