//! `elb check`: is a configuration file right?

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{ConfigArg, Output, print_json, print_text};
use crate::config;

#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is applied, no agent and no privilege is needed. All errors are told at once, each as
FILE:LINE:COLUMN: what is wrong; what would be right. Exit code 1 if there are errors; warnings
alone are 0.

Examples:
  elb check
  elb check --config new.toml -o json")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// How to write the result.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &CheckArgs) -> Result<ExitCode> {
    let file = &args.config.config;
    let (config, errors) = config::load_lenient(file);
    let good = !errors.has_errors();
    match args.output {
        Output::Json => print_json(&errors)?,
        Output::Table => {
            let errors: String = errors.iter().map(|error| format!("{error}\n")).collect();
            let result = match config.filter(|_| good) {
                Some(config) => format!("is right: {}", summary(&config)),
                None => "cannot be served as it is".to_owned(),
            };
            print_text(&format!("{errors}{} {result}\n", file.display()))?;
        }
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn summary(config: &config::Config) -> String {
    let balancers = config.model.load_balancers();
    let listeners: usize = balancers.iter().map(|lb| lb.listeners.len()).sum();
    let members: usize = config.model.pools().iter().map(|pool| pool.members.len()).sum();
    let pools = config.model.pools().len();
    [
        (balancers.len(), "load balancer"),
        (listeners, "listener"),
        (pools, "pool"),
        (members, "member"),
    ]
    .map(|(count, noun)| format!("{count} {noun}{}", if count == 1 { "" } else { "s" }))
    .join(", ")
}
