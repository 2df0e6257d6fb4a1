//! `bench`: what a packet costs, against a floor; or in instructions, against a baseline.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::build_ebpf;
use crate::expected::{BPF, INSTRUCTIONS, SETUP};
use crate::guest::Guests;
use crate::hand_over;
use crate::insns;
use crate::privilege;
use crate::setup::{self, Purpose};
use crate::stages::Stages;
use crate::workspace::Workspace;

#[derive(clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    instead: Option<Instead>,
    /// What to measure, e.g. packets, or health, scrape, top, nat, peers or api, which are left out if nothing is named
    sections: Vec<String>,
    /// Fewer rounds: the whole ends within two minutes
    #[arg(long)]
    quick: bool,
    /// Also write the results as a JSON array
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also replace the tables in a Markdown file, such as docs/performance.md
    #[arg(long, value_name = "FILE")]
    update: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Instead {
    /// Count instructions a packet in virtual machines; more than 2 % above the baseline fails
    Insns {
        /// Take what is counted as the new baseline
        #[arg(long)]
        update: bool,
    },
}

pub(crate) fn run(options: &Options) -> Result<()> {
    if let Some(Instead::Insns { update }) = options.instead {
        return count_instructions(update);
    }
    let mut arguments: Vec<OsString> = options.sections.iter().map(Into::into).collect();
    arguments.extend(options.quick.then(|| "--quick".into()));
    for (option, file) in [("--json", &options.json), ("--update", &options.update)] {
        arguments.extend(file.iter().flat_map(|file| [option.into(), file.into()]));
    }
    hand_over::to(&hand_over::BENCH, &arguments)
}

fn count_instructions(update: bool) -> Result<()> {
    privilege::require_root("bench insns")?;
    let workspace = Workspace::locate()?;
    let plan = [&[SETUP, BPF], &Guests::PREPARATION[..], &[INSTRUCTIONS]].concat();
    let mut stages = Stages::begin(&plan);
    let toolchain = stages.run(SETUP, || setup::prepare(Purpose::BuildAndLabs))?;
    stages.run(BPF, || build_ebpf::build(&toolchain, &workspace, &[]))?;
    let guests = Guests::prepare(&mut stages, &workspace)?;
    let guests = guests.context("no kernel to count on")?;
    stages.run_what_can_be(INSTRUCTIONS, || insns::run(&guests, &toolchain, update))
}
