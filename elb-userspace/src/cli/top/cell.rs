//! What a cell of a table has in it: how it reads, and how it is ordered.

use std::cmp::Ordering;

use super::super::report::printable;

/// A cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Cell {
    /// Words, of which none moves the cursor.
    Text(String),
    /// A count, if it is known.
    Number(Option<u64>),
    /// So much a second, if it is known.
    Rate(Option<f64>),
    /// A part of one, if it is known.
    Part(Option<f64>),
}

/// How numbers are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// With few digits, for people.
    Short,
    /// In full, for programs.
    Full,
}

impl Cell {
    /// Words; names and reasons may have anything in them.
    pub(super) fn words(text: &str) -> Self {
        Self::Text(printable(text))
    }

    /// A number, which reads from the right.
    pub(super) const fn is_number(&self) -> bool {
        !matches!(self, Self::Text(_))
    }

    pub(super) fn text(&self, style: Style) -> String {
        let none = || "-".to_owned();
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.map_or_else(none, |number| number.to_string()),
            Self::Rate(rate) => rate.map_or_else(none, |rate| match style {
                Style::Short => short(rate),
                Style::Full => format!("{rate:.1}"),
            }),
            Self::Part(part) => part.map_or_else(none, |part| format!("{:.1}%", part * 100.0)),
        }
    }

    /// What is not known is least.
    pub(super) fn order(&self, other: &Self) -> Ordering {
        let of = |one: &Option<f64>, other: &Option<f64>| match (one, other) {
            (Some(one), Some(other)) => one.total_cmp(other),
            (one, other) => one.is_some().cmp(&other.is_some()),
        };
        match (self, other) {
            (Self::Text(one), Self::Text(other)) => one.cmp(other),
            (Self::Number(one), Self::Number(other)) => one.cmp(other),
            (Self::Rate(one), Self::Rate(other)) | (Self::Part(one), Self::Part(other)) => {
                of(one, other)
            }
            (one, other) => one.is_number().cmp(&other.is_number()),
        }
    }
}

/// At most five characters: 9.5, 950, 9.5k, 950k, 9.5M, …
pub(super) fn short(value: f64) -> String {
    const UNITS: [&str; 6] = ["", "k", "M", "G", "T", "P"];
    let (mut value, mut unit) = (value, 0);
    // What would be rounded to 1000 has the next unit.
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    let unit = UNITS[unit];
    if value >= 9.95 || value == 0.0 {
        format!("{value:.0}{unit}")
    } else {
        format!("{value:.1}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rates_are_short() {
        let cases = [
            (0.0, "0"),
            (0.04, "0.0"),
            (9.94, "9.9"),
            (9.96, "10"),
            (999.4, "999"),
            (999.6, "1.0k"),
            (12_345.0, "12k"),
            (1_250_000.0, "1.2M"),
        ];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
        assert_eq!(Cell::Rate(Some(1234.56)).text(Style::Full), "1234.6");
        assert_eq!(Cell::Part(Some(0.125)).text(Style::Short), "12.5%");
        assert_eq!(Cell::Rate(None).text(Style::Full), "-");
    }

    #[test]
    fn words_do_not_move_the_cursor() {
        let text = Cell::words("a\x1b[2Jb\u{9b}c\n\u{202e}").text(Style::Short);
        assert_eq!(text, "a\u{fffd}[2Jb\u{fffd}c\u{fffd}\u{fffd}");
    }

    fn cells() -> impl Strategy<Value = Cell> {
        prop_oneof![
            ".*".prop_map(|text| Cell::words(&text)),
            proptest::option::of(any::<u64>()).prop_map(Cell::Number),
            proptest::option::of(0.0..1e18).prop_map(Cell::Rate),
            proptest::option::of(0.0..1.0).prop_map(Cell::Part),
        ]
    }

    proptest! {
        #[test]
        fn no_text_has_control_characters(cell in cells()) {
            for style in [Style::Short, Style::Full] {
                prop_assert!(!cell.text(style).chars().any(char::is_control));
            }
        }

        #[test]
        fn short_rates_have_at_most_five_characters(value in 0.0..9e17) {
            let text = short(value);
            prop_assert!(text.len() <= 5, "{text}");
        }

        #[test]
        fn orders_agree(one in cells(), other in cells()) {
            prop_assert_eq!(one.order(&other), other.order(&one).reverse());
            prop_assert_eq!(one.order(&one.clone()), Ordering::Equal);
        }
    }
}
