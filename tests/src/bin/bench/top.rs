//! What it costs to look at `elb top` in a terminal: itself, and the agent that it asks.

use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use elb_tests::cpu::Cpu;
use elb_tests::terminal::Terminal;

use crate::crowd::{CONNECTIONS, Crowd, DELAY, Size};
use crate::effort::Effort;
use crate::report::{Bar, Figure, Row, Section};

/// Per cent of a core.
const CPU: f64 = 1.0;
/// Columns and rows of the terminal.
const TERMINAL: (u16, u16) = (120, 40);
/// Until it knows what its looks cost, and looks as often as it will.
const WARM: Duration = Duration::from_secs(15);
const LIMIT: Duration = Duration::from_secs(60);

pub fn section(effort: Effort) -> Result<Section> {
    let time = Duration::from_secs(effort.of(20, 60));
    let mut rows = Vec::new();
    for size in [Size::FEW, Size::MANY] {
        let crowd = Crowd::start(size)?;
        for (view, word) in [("listeners", "LISTENER"), ("members", "WEIGHT")] {
            rows.push(row(&crowd, size, (view, word), time)?);
        }
        crowd.ensure_busy()?;
    }
    let notes = vec![format!(
        "In a terminal of {} by {} characters, for {} s each, or for two looks, after {} s in which `elb top` finds out \
         how often it can look (`looks every`, as it shows). Each member is probed every {DELAY} s, and {CONNECTIONS} connections a second \
         come. `agent before`, `agent meanwhile`: what the agent took of a core, probes included.",
        TERMINAL.0,
        TERMINAL.1,
        time.as_secs(),
        WARM.as_secs(),
    )];
    Ok(Section { name: "top", rows, notes })
}

fn row(crowd: &Crowd, size: Size, (view, word): (&str, &str), time: Duration) -> Result<Row> {
    let agent = Cpu::of(crowd.agent.id())?;
    thread::sleep(WARM);
    let before = agent.used()?;
    let mut top = crowd.agent.start_in_terminal(&["top", "--view", view], TERMINAL)?;
    top.wait_shown(view, LIMIT, |shown| shown.iter().any(|line| line.contains(word)))?;
    thread::sleep(WARM);
    let every = interval(&top)?;
    let looks = (time.as_secs_f64() / every).ceil().max(2.0);
    let (own, agent) = (Cpu::of(top.id())?, Cpu::of(crowd.agent.id())?);
    thread::sleep(Duration::from_secs_f64(every * looks));
    let (own, meanwhile) = (own.used()? * 100.0, agent.used()?);
    let figures = vec![
        Figure::new("looks_every_s", 0, every),
        Figure::new("percent_of_a_core", 2, own),
        Figure::new("agent_before", 1, before * 100.0),
        Figure::new("agent_meanwhile", 1, meanwhile * 100.0),
    ];
    let bars = vec![Bar::at_most(own, CPU, "% of a core")];
    top.press("q")?;
    top.wait_given_back(LIMIT)?;
    Ok(Row { case: format!("{}, view {view}", size.words()), figures, bars })
}

/// Seconds between two looks, as it shows.
fn interval(top: &Terminal) -> Result<f64> {
    let shown = top.shown().join("\n");
    let (_, after) = shown.split_once("every ").context("it does not show how often it looks")?;
    let word = after.split_whitespace().next().unwrap_or_default();
    let seconds = word.strip_suffix('s').and_then(|number| number.parse().ok());
    seconds.with_context(|| format!("it looks every {word:?}"))
}
