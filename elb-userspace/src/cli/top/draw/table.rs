//! Rows in columns, as many as fit.

use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Rect};
use ratatui::style::{Color, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Row as Drawn, Table};

use super::super::cell;
use super::super::order::Order;
use super::super::sheet::{Row, Tone};
use super::super::view::{Column, fitting};
use super::{BOLD, Look, MARKED};

/// Wider texts are cut, but for the last column.
const WIDEST: usize = 40;

/// Draws those rows that fit around the marked one.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    rows: &[Row],
    columns: &[Column],
    (order, marked): (Order, usize),
    look: Look,
) {
    let room = usize::from(area.height.saturating_sub(1));
    let first = first(marked, rows.len(), room);
    let texts: Vec<Vec<String>> = rows
        .iter()
        .map(|row| row.cells.iter().map(|cell| cell.text(cell::Style::Short)).collect())
        .collect();
    let titles: Vec<String> =
        (0..columns.len()).map(|index| title(columns, index, order)).collect();
    let widths: Vec<usize> =
        (0..columns.len()).map(|index| width(&titles, &texts, index)).collect();
    let shown = fitting(columns, &widths, area.width.into());
    let line = |index: usize, text: &str| {
        let is_number = rows[0].cells[index].is_number();
        let side = if is_number { Alignment::Right } else { Alignment::Left };
        Line::from(text.to_owned()).alignment(side)
    };
    let drawn = rows.iter().zip(&texts).enumerate().skip(first).take(room);
    let drawn = drawn.map(|(place, (row, texts))| {
        let style = style(row.tone, look);
        let style = if place == marked { style.patch(MARKED) } else { style };
        Drawn::new(shown.iter().map(|index| line(*index, &texts[*index]))).style(style)
    });
    let header = Drawn::new(shown.iter().map(|index| line(*index, &titles[*index]))).style(BOLD);
    let widths = shown.iter().map(|index| constraint(columns, &widths, *index));
    frame.render_widget(Table::new(drawn, widths).header(header).column_spacing(1), area);
}

/// The first row that is shown, so that the marked one is.
fn first(marked: usize, count: usize, room: usize) -> usize {
    marked.saturating_sub(room / 2).min(count.saturating_sub(room))
}

fn title(columns: &[Column], index: usize, order: Order) -> String {
    let title = columns[index].title;
    match (order.column == Some(index), order.reversed) {
        (false, _) => title.to_owned(),
        (true, false) => format!("{title}↓"),
        (true, true) => format!("{title}↑"),
    }
}

fn width(titles: &[String], texts: &[Vec<String>], index: usize) -> usize {
    let widest = texts.iter().map(|row| Span::raw(row[index].as_str()).width()).max();
    let widest = widest.unwrap_or_default();
    let is_last = index + 1 == titles.len();
    let widest = if is_last { widest } else { widest.min(WIDEST) };
    widest.max(Span::raw(titles[index].as_str()).width())
}

fn constraint(columns: &[Column], widths: &[usize], index: usize) -> Constraint {
    if index + 1 == columns.len() {
        return Constraint::Fill(1);
    }
    Constraint::Length(u16::try_from(widths[index]).unwrap_or(u16::MAX))
}

fn style(tone: Tone, look: Look) -> Style {
    match tone {
        Tone::Good => look.colour(Color::Green),
        Tone::Warning => look.colour(Color::Yellow),
        Tone::Bad => look.colour(Color::Red),
        Tone::Plain => Style::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_marked_row_is_shown(count in 1..500_usize, room in 1..100_usize, marked: prop::sample::Index) {
            let marked = marked.index(count);
            let first = first(marked, count, room);
            prop_assert!(first <= marked && marked < first + room);
            prop_assert!(first == 0 || first + room <= count, "no empty lines while there are rows");
        }
    }
}
