//! What a packet costs: the forwarding program against a floor, in one run.
//!
//! The method and its reasons: `elb_tests_ebpf::bench`. Absolute times are those of the machine; the
//! ratios are the result.

mod cases;
mod measure;
mod world;

use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use elb_tests::environment::require_root;
use serde::Serialize;

use crate::cases::{Against, CASES, Case};
use crate::measure::Bench;

#[derive(Parser)]
#[command(about = "Measures ns/packet of the forwarding program against a floor")]
struct Arguments {
    /// Fewer rounds: the whole ends within two minutes
    #[arg(long)]
    quick: bool,
    /// Also write the results as a JSON array
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Few packets, and no bars: for a machine whose clock counts instructions (`bench insns`)
    #[arg(long, hide = true)]
    instructions: bool,
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct Figure {
    case: &'static str,
    /// Nanoseconds of the program alone.
    net_ns: f64,
    /// Those of the floor in the same run.
    floor_net_ns: f64,
    /// `net_ns / floor_net_ns`.
    ratio: f64,
    /// What the bar is a multiple of: the floor, or another case.
    against: String,
    /// `net_ns` as a multiple of that.
    multiple: f64,
    /// The largest multiple that is good enough; none where the case has no bar.
    bar: Option<f64>,
}

/// How much is measured.
struct Effort {
    rounds: usize,
    /// Packets of each case in a round.
    packets: u32,
    /// Most flows of a case.
    flows: u32,
    /// Records of the flow tables: more than any case has flows that are recorded.
    records: u32,
}

impl Effort {
    fn of(arguments: &Arguments) -> Self {
        if arguments.instructions {
            // A round of a case is over before the clock of the kernel ticks, mostly.
            return Self { rounds: 16, packets: 2_000, flows: 1 << 10, records: 1 << 16 };
        }
        // About 10 ms: a round of a case is over before the machine changes.
        let rounds = if arguments.quick { 80 } else { 400 };
        Self { rounds, packets: 50_000, flows: u32::MAX, records: 1 << 22 }
    }
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<bool> {
    require_root()?;
    let effort = Effort::of(arguments);
    let few = |case: &Case| Case { flows: case.flows.min(effort.flows), ..*case };
    let cases: Vec<Case> = CASES.iter().map(few).collect();
    let (floor, nanoseconds) = Bench::new(&effort)?.run(&cases)?;
    println!("{:<48}{:>8}{:>8}  bar", "case", "net ns", "ratio");
    println!("{:<48}{floor:>8.1}{:>8.2}", "floor: look-ups and encapsulation only", 1.0);
    let mut figures: Vec<Figure> = Vec::new();
    for (case, net_ns) in CASES.iter().zip(nanoseconds) {
        let figure = figure(case, net_ns, floor, &figures);
        println!("{}", line(&figure));
        figures.push(figure);
    }
    if let Some(path) = &arguments.json {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        serde_json::to_writer_pretty(file, &figures)?;
    }
    let missed = figures.iter().filter(|figure| !figure.holds()).count();
    let bars = figures.iter().filter(|figure| figure.bar.is_some()).count();
    println!("{} of {bars} bars hold", bars - missed);
    Ok(missed == 0 || arguments.instructions)
}

fn figure(case: &Case, net_ns: f64, floor_net_ns: f64, before: &[Figure]) -> Figure {
    let (against, reference) = match case.against {
        Against::Floor => ("floor".to_owned(), floor_net_ns),
        Against::Case(name) => {
            let other = before.iter().find(|figure| figure.case == name);
            (name.to_owned(), other.map_or(f64::NAN, |figure| figure.net_ns))
        }
    };
    let (ratio, multiple) = (net_ns / floor_net_ns, net_ns / reference);
    Figure { case: case.name, net_ns, floor_net_ns, ratio, against, multiple, bar: case.bar }
}

impl Figure {
    fn holds(&self) -> bool {
        self.bar.is_none_or(|bar| self.multiple <= bar)
    }
}

fn line(figure: &Figure) -> String {
    let Figure { case, net_ns, ratio, against, multiple, bar, .. } = figure;
    let bar = match bar {
        Some(bar) if figure.holds() => format!("{multiple:.2} ≤ {bar} × {against}"),
        Some(bar) => format!("{multiple:.2} > {bar} × {against}  MISSED"),
        None => String::new(),
    };
    format!("{case:<48}{net_ns:>8.1}{ratio:>8.2}  {bar}")
}
