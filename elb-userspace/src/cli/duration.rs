//! Times on the command line.

use std::time::Duration;

/// No command waits longer.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A time, as in `90s`, `5m` or `1h 30m`; a year at most.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text)
        .map_err(|_| format!("{text:?} is no time; write one as 90s, 5m or 1h30m"))?;
    if time > LONGEST {
        return Err(format!("{text:?} is longer than a year; write a shorter time"));
    }
    Ok(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units_and_an_end() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for wrong in ["abc", "90", "", "100000000000000h", "99999999999999999999s"] {
            let said = duration(wrong).unwrap_err();
            assert!(said.contains(wrong) && said.contains("; write"), "{said}");
        }
    }
}
