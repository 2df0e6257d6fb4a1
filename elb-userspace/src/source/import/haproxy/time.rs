//! Times as haproxy writes them.

/// Milliseconds: a number with `us`, `ms`, `s`, `m`, `h` or `d`, milliseconds without one.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number: u64 = number.parse().ok()?;
    match unit {
        "us" => Some(number.div_ceil(1000)),
        "" | "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "d" => number.checked_mul(86_400_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        let all = ["1500", "2s", "3m", "1500us", "", "x", "9999999999999999999s"].map(milliseconds);
        assert_eq!(all, [Some(1500), Some(2000), Some(180_000), Some(2), None, None, None]);
    }
}
