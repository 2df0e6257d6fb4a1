//! `elb doctor`: can this host be a load balancer?

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;

use super::{ConfigArg, Output, block_on, report};
use crate::config;
use crate::diagnosis::doctor::{self, Duty};
use crate::diagnosis::report::Report;

#[derive(Debug, Args)]
#[command(after_help = "\
No agent is needed: best run before the first. Nothing is attached and nothing is changed; each
finding comes with a command that mends it. As root it sees everything; what others cannot see is
reported as unknown.

Examples:
  elb doctor
  elb doctor --config new.toml -o json | jq '.findings[] | select(.verdict == \"fail\")'
  elb doctor --interface eth0 --interface eth1     without a configuration

Exit codes: 0 nothing is wrong (there may be warnings), 1 a cause was found, 2 undecided or wrong
usage, 3 the host could not be examined.")]
pub(super) struct DoctorArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// The interface that traffic will arrive on, instead of a configuration; may be given more
    /// than once.
    #[arg(long, value_name = "NAME")]
    interface: Vec<String>,
    /// How to write the report.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &DoctorArgs) -> Result<ExitCode> {
    report::show(examine(args), args.output)
}

fn examine(args: &DoctorArgs) -> Result<Report> {
    let duty = duty(args)?;
    let facts = block_on(async { Ok(doctor::gather(&duty).await?) })?;
    Ok(doctor::judge(&duty, &facts))
}

fn duty(args: &DoctorArgs) -> Result<Duty> {
    if !args.interface.is_empty() {
        return Ok(Duty::on(args.interface.clone()));
    }
    let file = &args.config.config;
    let config = config::load(file).with_context(|| {
        format!("{} tells what the host is to do; without it, use --interface", file.display())
    })?;
    Ok(Duty::of(&config))
}
