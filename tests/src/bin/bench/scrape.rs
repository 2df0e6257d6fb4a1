//! What it costs that Prometheus scrapes an agent with 1,000 listeners and 10,000 members, all of which are probed.
//!
//! Time without scrapes and time with one every 15 s take turns: probes, memory and processor time of the
//! agent are compared. What one scrape takes of a processor is measured by many of them in a row, since the agent's
//! other work is more than that.

mod lateness;

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use elb_tests::cpu::Cpu;
use elb_tests::resident::{forget_most, memory_of};
use elb_tests::wait::{STUCK, wait_for};

use self::lateness::Lateness;
use crate::cpu;
use crate::crowd::{CONNECTIONS, Crowd, DELAY, Size, sum};
use crate::effort::Effort;
use crate::report::{Bar, Figure, Row, Section};
use crate::trials::Trials;

const SIZE: Size = Size::MANY;
/// How often Prometheus asks, unless it is told otherwise.
const PERIOD: Duration = Duration::from_secs(15);
/// Scrapes of a turn.
const SCRAPES: u32 = 2;
/// What a scrape may take, in milliseconds.
const TIME: f64 = 100.0;
/// Per cent of a core, at one scrape every [`PERIOD`].
const CPU: f64 = 2.0;
/// MiB: the bar of 15 MB.
const MEMORY: f64 = 14.3;
/// What Prometheus says that it takes.
const AS_PROMETHEUS: &str = "Accept: application/openmetrics-text;version=1.0.0,text/plain;q=0.5\r\nAccept-Encoding: gzip\r\n";
const MIB: f64 = 1_048_576.0;

pub fn section(effort: Effort) -> Result<Section> {
    let (turns, in_a_row) = effort.of((1, 10), (4, 30));
    let crowd = Crowd::start(SIZE)?;
    cpu::go_first();
    let (mut quiet, mut scraped) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        quiet.push(Turn::take(&crowd, false)?);
        scraped.push(Turn::take(&crowd, true)?);
    }
    // What a scrape needed may stay: only the first turn came before all of them.
    let before = quiet.first().map_or(f64::NAN, |turn| turn.most);
    let quiet = Span { most: before, ..Span::of(&quiet) };
    let scraped = Span::of(&scraped);
    let mut rows = vec![
        quiet.row("no scrape", vec![]),
        scraped.row("a scrape every 15 s", scraped.bars(&quiet)),
    ];
    for (case, header) in [("as Prometheus asks", AS_PROMETHEUS), ("plain text", "")] {
        let row = Burst::take(&crowd, header, in_a_row)?.row(case, &quiet);
        rows.push(row.with_context(|| case.to_owned())?);
    }
    let text = crowd.text("/metrics")?;
    let members = text.lines().filter(|line| line.starts_with("elb_member_weight{")).count();
    let listeners = text.lines().filter(|line| line.starts_with("elb_listener_up{")).count();
    let wanted = (SIZE.listeners(), SIZE.members());
    ensure!((listeners, members) == (wanted.0 as usize, wanted.1 as usize), "not all are in it");
    crowd.ensure_busy()?;
    let series = text.lines().filter(|line| !line.starts_with('#')).count();
    let notes = vec![format!(
        "{}, each probed every {DELAY} s, {CONNECTIONS} new connections a second meanwhile; `[metrics] members` is \
         above its default. A scrape has {series} series, {:.1} MB of text. `no scrape` and `a scrape every 15 s` took \
         {turns} turns of {} s each. Lateness of probes: in the classes of `elb_probe_lateness_seconds`, a quantile is the \
         upper end of its class. CPU: all that the kernel accounts to the agent; `a scrape`: of {in_a_row} in a row, \
         what the agent took beyond what it takes without. The agent and \
         who scrapes it go before other processes (SCHED_FIFO). Memory: the most that was resident, mapped rings \
         included. As Prometheus asks is OpenMetrics, compressed.",
        SIZE.words(),
        text.len() as f64 / 1e6,
        (PERIOD * SCRAPES).as_secs(),
    )];
    Ok(Section { name: "scrape", rows, notes })
}

/// Some time of the agent, with scrapes or without.
struct Turn {
    /// Of a core.
    cpu: f64,
    lateness: Lateness,
    /// The most that was resident, in MiB.
    most: f64,
    scrapes: Vec<Duration>,
}

impl Turn {
    fn take(crowd: &Crowd, scrapes: bool) -> Result<Self> {
        let agent = crowd.agent.id();
        let before = lateness(crowd)?;
        forget_most(agent)?;
        let (cpu, begun) = (Cpu::of(agent)?, Instant::now());
        let mut took = Vec::new();
        for n in 0..SCRAPES {
            let due = begun + PERIOD * n + PERIOD / 2;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if scrapes {
                took.push(crowd.get("/metrics", AS_PROMETHEUS)?.took);
            }
        }
        thread::sleep((begun + PERIOD * SCRAPES).saturating_duration_since(Instant::now()));
        let (cpu, most) = (cpu.used()?, memory_of(agent, "VmHWM")? as f64 / MIB);
        Ok(Self { cpu, lateness: lateness(crowd)?.since(&before), most, scrapes: took })
    }
}

/// Until now: the agent writes it down once a second at most.
fn lateness(crowd: &Crowd) -> Result<Lateness> {
    let ask = || crowd.text("/metrics?scope=agent");
    let written = |text: &str| sum(text, "elb_metrics_snapshot_timestamp_seconds", "");
    let before = written(&ask()?);
    let text = wait_for("another snapshot", STUCK, || {
        thread::sleep(Duration::from_millis(100));
        let text = ask()?;
        Ok((written(&text) > before).then_some(text))
    })?;
    ensure!(sum(&text, "elb_scrape_errors", "") == 0.0, "counters cannot be read");
    Lateness::read(&text)
}

/// Turns of one kind together.
struct Span {
    cpu: f64,
    lateness: Lateness,
    most: f64,
    scrapes: Trials,
}

impl Span {
    fn of(turns: &[Turn]) -> Self {
        let cpu: Trials = turns.iter().map(|turn| turn.cpu).collect();
        let most: Trials = turns.iter().map(|turn| turn.most).collect();
        let lateness = turns.iter().map(|turn| &turn.lateness).sum();
        let scrapes = turns.iter().flat_map(|turn| &turn.scrapes).map(milliseconds).collect();
        Self { cpu: cpu.median(), lateness, most: most.greatest(), scrapes }
    }

    fn bars(&self, quiet: &Self) -> Vec<Bar> {
        vec![
            Bar::at_most(self.scrapes.greatest(), TIME, "ms, the slowest"),
            Bar::at_most(
                self.lateness.p99() / quiet.lateness.p99(),
                1.0,
                "× lateness without (p99)",
            ),
            Bar::at_most(self.most - quiet.most, MEMORY, "MiB more than before"),
        ]
    }

    fn row(&self, case: &str, bars: Vec<Bar>) -> Row {
        let figures = figures(&self.scrapes, f64::NAN, &self.lateness, self.cpu, self.most);
        Row { case: case.to_owned(), figures, bars }
    }
}

/// Scrapes one after the other.
struct Burst {
    scrapes: Trials,
    time: Duration,
    cpu: Duration,
    lateness: Lateness,
    most: f64,
}

impl Burst {
    fn take(crowd: &Crowd, header: &str, scrapes: usize) -> Result<Self> {
        let agent = crowd.agent.id();
        let before = lateness(crowd)?;
        forget_most(agent)?;
        let cpu = Cpu::of(agent)?;
        let took = (0..scrapes).map(|_| crowd.get("/metrics", header).map(|answer| answer.took));
        let took = took.collect::<Result<Vec<_>>>()?;
        let (cpu, time) = cpu.time()?;
        let most = memory_of(agent, "VmHWM")? as f64 / MIB;
        let scrapes = took.iter().map(milliseconds).collect();
        Ok(Self { scrapes, time, cpu, lateness: lateness(crowd)?.since(&before), most })
    }

    fn row(&self, case: &str, quiet: &Span) -> Result<Row> {
        let of_all = self.cpu.as_secs_f64() - quiet.cpu * self.time.as_secs_f64();
        let each = of_all / self.scrapes.count() as f64;
        ensure!(each > 0.0, "scrapes took no processor time");
        let cpu = self.cpu.as_secs_f64() / self.time.as_secs_f64();
        let percent = each / PERIOD.as_secs_f64() * 100.0;
        let bars = vec![
            Bar::at_most(self.scrapes.median(), TIME, "ms"),
            Bar::at_most(percent, CPU, "% of a core at one every 15 s"),
            Bar::at_most(self.most - quiet.most, MEMORY, "MiB more than before"),
        ];
        let figures = figures(&self.scrapes, each * 1e3, &self.lateness, cpu, self.most);
        Ok(Row { case: format!("one after the other, {case}"), figures, bars })
    }
}

fn figures(
    scrapes: &Trials,
    cpu_of_each: f64,
    lateness: &Lateness,
    cpu: f64,
    most: f64,
) -> Vec<Figure> {
    vec![
        Figure::new("scrapes", 0, scrapes.count() as f64),
        Figure::new("median_ms", 1, scrapes.median()),
        Figure::new("slowest_ms", 1, scrapes.greatest()),
        Figure::new("cpu_ms_a_scrape", 1, cpu_of_each),
        Figure::new("probes_late_p99_ms", 0, lateness.p99()),
        Figure::new("agent_percent_of_a_core", 1, cpu * 100.0),
        Figure::new("most_MiB", 1, most),
    ]
}

fn milliseconds(time: &Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
