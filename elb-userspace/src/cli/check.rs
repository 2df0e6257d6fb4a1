//! `elb check`: is a configuration file right, and what would a reload with it do?

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::reload::described;
use super::{ConfigArg, Output, block_on, print_json, print_text};
use crate::agent::usable::{expected_agent, note_unusable_commands};
use crate::api::client;
use crate::api::exporter::check_files;
use crate::api::shape::reload::PlanRequest;
use crate::source::file::{self, Config, Errors, Host, SourceText};

#[derive(Debug, Args)]
#[command(after_help = "\
Nothing is applied, no agent and no privilege is needed. All errors are reported at once, each as
FILE:LINE:COLUMN: what is wrong; what would be right. Exit code 1 if there are errors; warnings
alone are 0, and 1 with --strict.

Certificates, keys and tokens of [metrics], and commands of health checks, are looked at on this host. Whether
commands may run as [agent] check_user is judged for the agent that answers here, if one does.

Files that it includes (`include = \"conf.d/*.toml\"`) are read and named like it.

With --against-running, the agent is asked what a reload with this file would cut, remove, move (which
share of a pool's slots), change and add. Exit code 1 as well if the reload would be refused.

Examples:
  elb check
  elb check --config new.toml -o json
  elb check --config new.toml --against-running")]
pub(super) struct CheckArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// Take warnings for errors.
    #[arg(long)]
    strict: bool,
    /// Ask the agent what a reload with this file would do.
    #[arg(long)]
    against_running: bool,
    /// The agent's socket; by default the one that the file names.
    #[arg(short, long, value_name = "PATH", env = "ELB_SOCKET")]
    socket: Option<PathBuf>,
    /// How to write the result.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &CheckArgs) -> Result<ExitCode> {
    let file = &args.config.config;
    let (source, (config, mut errors)) = match SourceText::read(file) {
        Ok(source) => (source.clone(), file::parse_source(&source, &Host::look())),
        Err(errors) => (SourceText::default(), (None, errors)),
    };
    if let Some(config) = &config {
        let socket = args.socket.as_ref().unwrap_or(&config.agent.socket);
        note_unusable_commands(config, expected_agent(socket), file, &mut errors);
        // What this user cannot read, the agent perhaps can.
        if let Err(why) = check_files(&config.metrics) {
            const FIX: &str = "a reload is refused while the agent cannot use it, and one that starts serves no \
                               metrics over TCP";
            errors.warn(file, "[metrics]", format!("{why:#}"), FIX);
        }
    }
    let good = !errors.has_errors() && (!args.strict || errors.is_empty());
    let running = config.as_ref().filter(|_| args.against_running && !errors.has_errors());
    if let Some(config) = running {
        return against_running(args, config, source, good);
    }
    match args.output {
        Output::Json => print_json(&errors)?,
        Output::Table => {
            let lines: String = errors.iter().map(|error| format!("{error}\n")).collect();
            print_text(&format!("{lines}{}\n", verdict(file, config.as_ref(), good, &errors)))?;
        }
    }
    Ok(code(good))
}

fn against_running(
    args: &CheckArgs,
    config: &Config,
    source: SourceText,
    good: bool,
) -> Result<ExitCode> {
    let file = &args.config.config;
    let SourceText { text, files, .. } = source;
    let request = PlanRequest { name: file.display().to_string(), text, files };
    let socket = args.socket.as_ref().unwrap_or(&config.agent.socket);
    let report = block_on(client::plan(socket, &request))?;
    match args.output {
        Output::Json => print_json(&report)?,
        Output::Table => {
            let nothing = report.accepted && report.effects.is_empty();
            let nothing = if nothing { "a reload would change nothing\n" } else { "" };
            let verdict = verdict(file, Some(config), good, &report.errors);
            print_text(&format!("{}{nothing}{verdict}\n", described(&report)))?;
        }
    }
    Ok(code(good && report.accepted))
}

fn verdict(file: &Path, config: Option<&Config>, good: bool, errors: &Errors) -> String {
    let is_only_odd = !errors.has_errors();
    let result = match config.filter(|_| good) {
        Some(config) => format!("is right: {}", summary(config)),
        None if config.is_some_and(|_| is_only_odd) => {
            "has warnings, which --strict takes for errors".to_owned()
        }
        None => "cannot be served as it is".to_owned(),
    };
    format!("{} {result}", file.display())
}

fn code(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn summary(config: &Config) -> String {
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
