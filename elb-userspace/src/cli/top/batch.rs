//! `elb top -b`: blocks of text or objects, for scripts.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use tokio::time::MissedTickBehavior;

use super::super::{Output, failure, go_on};
use super::cell::Style;
use super::rates::{self, Look};
use super::sheet::{Row, rows};
use super::view::View;
use super::{header, looking};
use crate::api::shape::top::TopReport;

/// What is to be printed.
#[derive(Debug)]
pub(super) struct Wanted {
    /// So many blocks; none: without end.
    pub(super) count: Option<u64>,
    pub(super) interval: Duration,
    /// Only this view.
    pub(super) view: Option<View>,
    pub(super) output: Output,
}

/// Prints a block after each interval. Where the agent does not answer it says so and goes on, but for the
/// first look.
pub(super) async fn run(socket: &Path, wanted: &Wanted) -> Result<ExitCode> {
    let (host, origin) = (looking::host(), Instant::now());
    let mut before = looking::look(socket, origin).await?;
    let mut ticks = tokio::time::interval(wanted.interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    let mut code = ExitCode::SUCCESS;
    for number in 0..wanted.count.unwrap_or(u64::MAX) {
        ticks.tick().await;
        match report(socket, (&host, origin), &before, wanted.view).await {
            Ok((report, look)) => {
                let text = match wanted.output {
                    Output::Json => serde_json::to_string(&report)? + "\n",
                    Output::Table => block(&report, &look, wanted.view, number == 0),
                };
                let mut out = io::stdout().lock();
                let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
                if go_on(written)?.is_break() {
                    return Ok(code);
                }
                before = look;
            }
            Err(error) => {
                failure::report(&error, wanted.output);
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

async fn report(
    socket: &Path,
    (host, origin): (&str, Instant),
    before: &Look,
    view: Option<View>,
) -> Result<(TopReport, Look)> {
    let look = looking::look(socket, origin).await?;
    let mut report = rates::report(host, Some(before), &look);
    if view.is_none_or(|view| view == View::Events) {
        report.events = Some(looking::events(socket).await?);
    }
    only(&mut report, view);
    Ok((report, look))
}

/// Leaves out what other views show.
fn only(report: &mut TopReport, view: Option<View>) {
    let is_out = |one: View| view.is_some_and(|view| view != one);
    if is_out(View::Listeners) {
        report.listeners = None;
    }
    if is_out(View::Pools) {
        report.pools = None;
    }
    if is_out(View::Members) {
        report.members = None;
    }
    if is_out(View::Drops) {
        report.drops = None;
    }
}

fn block(report: &TopReport, look: &Look, view: Option<View>, is_first: bool) -> String {
    let mut out = if is_first { String::new() } else { "\n".to_owned() };
    let _ = writeln!(out, "{}", header::agent(report, look.wall));
    let _ = writeln!(out, "{}", header::total(report, Style::Full));
    for one in View::ALL.into_iter().filter(|one| view.is_none_or(|view| view == *one)) {
        let _ = writeln!(out, "\n{}", one.title());
        table(&mut out, one, &rows(one, report));
    }
    out
}

fn table(out: &mut String, view: View, rows: &[Row]) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).force_no_tty();
    table.set_header(view.columns().iter().map(|column| column.title));
    for row in rows {
        table.add_row(row.cells.iter().map(|cell| cell.text(Style::Full)));
    }
    for (index, cell) in rows.first().into_iter().flat_map(|row| row.cells.iter().enumerate()) {
        if let (true, Some(column)) = (cell.is_number(), table.column_mut(index)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for line in table.lines() {
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_block_has_a_table_for_each_view() {
        let (before, mut after) = fixture::looks();
        after.status.pools[0].members[0].member.name = "\x1b[2Jweb\n-1".to_owned();
        let mut report = rates::report("lb-1", Some(&before), &after);
        report.events = Some(vec![fixture::event("web-2")]);
        let text = block(&report, &after, None, true);
        assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
        for title in View::ALL.map(View::title) {
            assert!(text.lines().any(|line| line == title), "{title}: {text}");
        }
        let line = text.lines().find(|line| line.contains("10.0.0.12:80")).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        let due = [
            "OFFLINE",
            "web-2",
            "web",
            "10.0.0.12:80",
            "1",
            "50.0%",
            "50.0%",
            "50.0",
            "3000.0",
            "-",
            "-",
            "2.0",
            "-",
            "2026-01-02T00:00:00Z",
        ];
        assert_eq!(words, due);

        only(&mut report, Some(View::Members));
        let text = block(&report, &after, Some(View::Members), false);
        assert!(text.starts_with("\nelb 0.1.0 on lb-1"), "{text}");
        assert!(text.contains("\nmembers\n") && !text.contains("\npools\n"), "{text}");
        assert!(report.pools.is_none() && report.drops.is_none() && report.members.is_some());
    }
}
