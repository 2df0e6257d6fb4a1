//! What elb costs: figures with their method, in tables that docs/performance.md takes in.
//!
//! A bench is no test: it says which bars hold, and ends well either way. It fails where something
//! could not be measured, or did not do what was to be measured.

mod api;
mod health;
mod memory;
mod nat;
mod packets;
mod peers;
mod publish;
mod rate;
mod ring;
mod scrape;
mod top;
mod verdict;

mod cpu;
mod crowd;
mod cycles;
mod effort;
mod floor;
mod machine;
mod pages;
mod report;
mod trials;
mod turns;
mod world;

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, ValueEnum};
use elb_tests::environment::require_root;
use serde_json::Value;

use crate::effort::Effort;
use crate::machine::Machine;
use crate::report::Section;

#[derive(Parser)]
#[command(about = "Measures what elb costs")]
struct Arguments {
    /// What to measure; everything but health, scrape, top, nat, peers and api, if nothing is named
    #[arg(value_enum)]
    sections: Vec<Name>,
    /// Fewer repetitions: the whole ends within two minutes
    #[arg(long)]
    quick: bool,
    /// Count instructions a packet instead, on a machine whose clock counts them
    #[arg(long, conflicts_with_all = ["sections", "quick", "update"])]
    instructions: bool,
    /// Also write the figures as a JSON array
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also replace the tables in a Markdown file, each between `<!-- bench NAME -->` and
    /// `<!-- end -->`
    #[arg(long, value_name = "FILE")]
    update: Option<PathBuf>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Name {
    /// Nanoseconds a packet, against a floor
    Packets,
    /// Packets a second over virtual devices, against a program that only sends back
    Rate,
    /// Building a ring, and what moves on it
    Ring,
    /// Publishing the change of a member
    Publish,
    /// From the verdict on a member to the last packet it gets
    Verdict,
    /// What maps and agent take of the memory
    Memory,
    /// Probing 10,000 members: punctuality, processor time, memory
    Health,
    /// A scrape of the metrics of 10,000 members
    Scrape,
    /// Looking at `elb top`
    Top,
    /// Translation by turns with the kernel's
    Nat,
    /// Other load balancers next to elb
    Peers,
    /// The ELB V3 API under load
    Api,
}

impl Name {
    const OWN: [Self; 6] =
        [Self::Packets, Self::Rate, Self::Ring, Self::Publish, Self::Verdict, Self::Memory];

    fn measure(self, effort: Effort) -> Result<Section> {
        match self {
            Self::Packets => packets::section(effort),
            Self::Rate => rate::section(effort),
            Self::Ring => ring::section(effort),
            Self::Publish => publish::section(effort),
            Self::Verdict => verdict::section(effort),
            Self::Memory => memory::section(),
            Self::Health => health::section(effort),
            Self::Scrape => scrape::section(effort),
            Self::Top => top::section(effort),
            Self::Nat => nat::section(effort),
            Self::Peers => peers::section(effort),
            Self::Api => api::section(effort),
        }
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

/// Whether everything could be measured.
fn run(arguments: &Arguments) -> Result<bool> {
    require_root()?;
    if arguments.instructions {
        let section = packets::instructions::section()?;
        println!("{}", section.markdown());
        return written(arguments, &[section]).map(|()| true);
    }
    let names = if arguments.sections.is_empty() { &Name::OWN[..] } else { &arguments.sections };
    let machine = Machine::watch()?;
    println!("{}\n", machine.describe()?);
    let mut sections = Vec::new();
    for name in names {
        match name.measure(Effort { quick: arguments.quick }) {
            Ok(section) => {
                println!("## {}\n\n{}", section.name, section.markdown());
                sections.push(section);
            }
            Err(error) => eprintln!("bench: {name:?}: {error:#}"),
        }
    }
    let bars = sections.iter().map(Section::bars);
    let (hold, all) = bars.fold((0, 0), |sum, bars| (sum.0 + bars.0, sum.1 + bars.1));
    println!("{hold} of {all} bars hold. {}", machine.disturbed()?);
    written(arguments, &sections)?;
    if let Some(path) = &arguments.update {
        pages::update(path, &sections, &machine.describe()?)?;
    }
    Ok(sections.len() == names.len())
}

/// Writes the figures where they are wanted.
fn written(arguments: &Arguments, sections: &[Section]) -> Result<()> {
    let Some(path) = &arguments.json else { return Ok(()) };
    let rows: Vec<Value> = sections.iter().flat_map(Section::json).collect();
    let text = serde_json::to_string_pretty(&rows)?;
    fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))
}
