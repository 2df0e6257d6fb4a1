//! In which order rows are shown, and which of them.

use super::cell::Style;
use super::sheet::Row;
use super::view::View;

/// An order of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Order {
    /// The column that decides; none: as the agent has them.
    pub(super) column: Option<usize>,
    pub(super) reversed: bool,
}

impl Order {
    /// The next column, or the one before; between the last and the first is the agent's order.
    pub(super) fn turn(self, view: View, forward: bool) -> Self {
        let count = view.columns().len() + 1;
        let place = self.column.map_or(0, |column| column + 1);
        let place = (place + if forward { 1 } else { count - 1 }) % count;
        Self { column: place.checked_sub(1), reversed: false }
    }

    /// Puts rows in this order: words from A, numbers from the largest.
    pub(super) fn apply(self, rows: &mut [Row]) {
        if let Some(column) = self.column {
            rows.sort_by(|one, other| {
                let (one, other) = (&one.cells[column], &other.cells[column]);
                let order = one.order(other);
                if one.is_number() { order.reverse() } else { order }
            });
        }
        if self.reversed {
            rows.reverse();
        }
    }
}

/// Leaves those rows that have `text` in a cell, in any case.
pub(super) fn keep(rows: &mut Vec<Row>, text: &str) {
    if text.is_empty() {
        return;
    }
    let text = text.to_lowercase();
    let has = |row: &Row| {
        let mut words = row.cells.iter().filter(|cell| !cell.is_number());
        words.any(|cell| cell.text(Style::Short).to_lowercase().contains(&text))
    };
    rows.retain(has);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::cell::Cell;
    use super::super::sheet::Tone;
    use super::*;

    fn row(name: &str, rate: Option<f64>) -> Row {
        let cells = vec![Cell::words(name), Cell::Rate(rate)];
        Row { cells, tone: Tone::Plain, member: None }
    }

    fn names(rows: &[Row]) -> String {
        rows.iter().map(|row| row.cells[0].text(Style::Short)).collect()
    }

    #[test]
    fn words_from_a_and_numbers_from_the_largest() {
        let rows = [row("b", Some(1.0)), row("c", None), row("a", Some(5.0))];
        let ordered = |column, reversed| {
            let mut rows = rows.clone();
            Order { column, reversed }.apply(&mut rows);
            names(&rows)
        };
        assert_eq!(ordered(None, false), "bca");
        assert_eq!(ordered(None, true), "acb");
        assert_eq!(ordered(Some(0), false), "abc");
        assert_eq!(ordered(Some(0), true), "cba");
        assert_eq!(ordered(Some(1), false), "abc", "what is not known is last");
    }

    #[test]
    fn columns_turn_in_a_circle() {
        for view in View::ALL {
            let mut order = Order::default();
            let mut seen = Vec::new();
            for _ in 0..=view.columns().len() {
                seen.push(order.column);
                let next = order.turn(view, true);
                assert_eq!(next.turn(view, false), Order { reversed: false, ..order });
                order = next;
            }
            seen.sort_unstable();
            seen.dedup();
            assert_eq!((order.column, seen.len()), (None, view.columns().len() + 1));
        }
    }

    #[test]
    fn a_filter_is_of_words_in_any_case() {
        let mut rows = vec![row("Web-1", Some(7.0)), row("dns-7", None)];
        keep(&mut rows, "WEB");
        assert_eq!(names(&rows), "Web-1");
        keep(&mut rows, "7");
        assert!(rows.is_empty(), "numbers are no words");
    }

    proptest! {
        #[test]
        fn order_loses_nothing_and_a_filter_adds_nothing(
            all in proptest::collection::vec(("[a-c]{0,3}", proptest::option::of(0.0..9.0)), 0..20),
            column in proptest::option::of(0..2_usize),
            reversed: bool,
            text in "[a-cA-C]{0,2}",
        ) {
            let rows: Vec<_> = all.iter().map(|(name, rate)| row(name, *rate)).collect();
            let mut ordered = rows.clone();
            Order { column, reversed }.apply(&mut ordered);
            prop_assert_eq!(ordered.len(), rows.len());
            prop_assert!(rows.iter().all(|row| ordered.contains(row)));
            let before = ordered.clone();
            keep(&mut ordered, &text);
            prop_assert!(ordered.iter().all(|row| before.contains(row)));
            let wanted = |row: &&Row| {
                row.cells[0].text(Style::Short).contains(&text.to_lowercase())
            };
            prop_assert_eq!(ordered.len(), before.iter().filter(wanted).count());
        }
    }
}
