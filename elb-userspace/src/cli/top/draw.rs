//! What the terminal shows.

mod detail;
mod table;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::Paragraph;

use super::super::report::printable;
use super::state::Top;
use super::view::View;
use super::{cell, header};

/// How things look; without colours nothing depends on them.
#[derive(Clone, Copy, Debug)]
struct Look {
    colours: bool,
}

impl Look {
    fn colour(self, colour: Color) -> Style {
        if self.colours { Style::new().fg(colour) } else { Style::new() }
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const MARKED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// Lower terminals show rows before anything else.
const LOW: u16 = 8;

/// Everything.
pub(super) fn all(frame: &mut Frame<'_>, top: &mut Top, colours: bool) {
    let look = Look { colours };
    let area = frame.area();
    let head = head(top, look, area.height < LOW);
    let foot = u16::from(area.height >= LOW || top.is_typing);
    let height = u16::try_from(head.len()).unwrap_or(area.height);
    let areas = [Constraint::Length(height), Constraint::Min(0), Constraint::Length(foot)];
    let [above, middle, below] = Layout::vertical(areas).areas(area);
    frame.render_widget(Paragraph::new(head), above);
    if top.is_help {
        frame.render_widget(Paragraph::new(help()), middle);
    } else if let Some(detail) = &top.detail {
        frame.render_widget(Paragraph::new(detail::lines(detail, &top.events)), middle);
    } else {
        rows(frame, top, look, middle);
    }
    frame.render_widget(foot_line(top), below);
}

fn rows(frame: &mut Frame<'_>, top: &mut Top, look: Look, area: Rect) {
    let (rows, _) = top.rows();
    top.page = usize::from(area.height.saturating_sub(1)).max(1);
    if rows.is_empty() {
        return frame.render_widget(Paragraph::new(nothing(top)), area);
    }
    let marked = top.selected(rows.len());
    table::draw(frame, area, &rows, top.view.columns(), (top.order(), marked), look);
}

fn nothing(top: &Top) -> &'static str {
    match top.view {
        _ if !top.filter.is_empty() => "nothing has that in it (Esc: all)",
        View::Drops => "every packet was forwarded",
        View::Events => "no member turned unhealthy or recovered, and no listener changed its pool",
        View::Listeners | View::Pools | View::Members => "there are none",
    }
}

fn head(top: &Top, look: Look, is_low: bool) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    if !is_low {
        let report = &top.report;
        let is_wrong = !report.agent.problems.is_empty();
        let style = if is_wrong { look.colour(Color::Yellow) } else { Style::new() };
        lines.push(Line::styled(header::agent(report, top.wall), style));
        lines.push(Line::styled(header::total(report, cell::Style::Short), BOLD));
    }
    if let Some(notice) = top.notice() {
        lines.push(Line::styled(printable(&notice), look.colour(Color::Red).patch(BOLD)));
    }
    lines.push(views(top));
    lines
}

fn views(top: &Top) -> Line<'static> {
    let mut spans = Vec::new();
    for (view, key) in View::ALL.into_iter().zip(1..) {
        let style = if view == top.view { MARKED } else { Style::new() };
        spans.push(Span::styled(format!(" {key} {} ", view.title()), style));
    }
    let interval = humantime::format_duration(top.interval);
    spans.push(Span::raw(format!("  every {interval}")));
    if top.is_paused {
        spans.push(Span::styled(" · PAUSED", BOLD));
    }
    if !top.filter.is_empty() {
        let (rows, all) = top.rows();
        let filter = printable(&top.filter);
        spans.push(Span::raw(format!(" · {} of {all} with \"{filter}\"", rows.len())));
    }
    Line::from(spans)
}

fn foot_line(top: &Top) -> Line<'static> {
    if top.is_typing {
        let filter = printable(&top.filter);
        return Line::from(format!("filter: {filter}_   (Enter: keep it, Esc: all rows)"));
    }
    Line::styled(
        "q quit  1-5 Tab view  ← → sort  r reverse  / filter  Enter detail  p pause  + - interval  h help",
        Style::new().add_modifier(Modifier::DIM),
    )
}

fn help() -> Vec<Line<'static>> {
    const HELP: &str = "
  1 2 3 4 5, Tab     listeners, pools, members, drops, events
  up down PgUp PgDn  rows; Home, End: the first, the last
  left right         sort by another column; between the last and the first: the agent's order
  r                  reverse the order
  /                  only rows with a text; Enter keeps it, Esc shows all
  Enter              a member's health, its last probes and events; again or Esc: back
  p                  pause
  + -                longer or shorter interval
  q, Ctrl-C          quit

  DUE is the part of new flows that a member is to get, GOT the part of the new connections that it
  got; GOT and NEW/S are of up to a minute. PKT/S and BYTE/S are of the last interval.";
    HELP.lines().map(Line::from).collect()
}

#[cfg(test)]
mod tests;
