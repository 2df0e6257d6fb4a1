//! Numbers in units that people read.

/// Bytes in the unit that leaves at most four digits.
pub(super) fn bytes(count: u64) -> String {
    in_units(count as f64)
}

/// As [`bytes`], of a rate.
pub(super) fn in_units(mut value: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{value:.0} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}
