//! `elb reload`: the agent reads its file again, and says what came of it.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use super::duration::duration;
use super::socket::SocketArg;
use super::{Output, block_on, print_json, print_text};
use crate::api::client;
use crate::api::shape::reload::{InForce, ReloadReport, ReloadRequest, ReloadResult};

#[derive(Debug, Args)]
#[command(after_help = "\
As SIGHUP does, but with an answer: errors with line and column, or what the file changes for traffic.
A file with an error changes nothing. Neither does one that would remove every listener, or every member
of a pool that a listener goes on to use: --allow-empty lets it, this once.

With --wait, the command ends when all is in force: the first probes of new members are over, and their
next hops are known.

Exit codes: 0 accepted (with --wait: and in force), 1 rejected, or not in force after --timeout.

Examples:
  elb reload --wait
  elb check --against-running && elb reload --wait --timeout 30s")]
pub(super) struct ReloadArgs {
    /// Wait until all of it is in force.
    #[arg(short, long)]
    wait: bool,
    /// How long to wait at most.
    #[arg(short, long, value_name = "TIME", requires = "wait", value_parser = duration,
        default_value = "60s")]
    timeout: Duration,
    /// Let it remove every listener, or every member of a pool that is served.
    #[arg(long)]
    allow_empty: bool,
    #[command(flatten)]
    agent: SocketArg,
    /// How to write the result.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// How often it is asked how far it is.
const LOOK: Duration = Duration::from_millis(200);

pub(super) fn run(args: &ReloadArgs) -> Result<ExitCode> {
    let socket = args.agent.path()?;
    let (report, in_force) = block_on(reload(args, &socket))?;
    let waiting = in_force.waiting;
    let good = report.accepted && waiting.is_empty();
    match args.output {
        Output::Json => print_json(&ReloadResult { report, waiting })?,
        Output::Table => print_text(&text(&report, &waiting, args))?,
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn reload(args: &ReloadArgs, socket: &Path) -> Result<(ReloadReport, InForce)> {
    let begun = Instant::now();
    let request = ReloadRequest { allow_empty: args.allow_empty };
    let report = client::reload(socket, &request).await?;
    if !report.accepted || !args.wait {
        return Ok((report, InForce::default()));
    }
    loop {
        let in_force = client::in_force(socket).await?;
        if in_force.waiting.is_empty() || begun.elapsed() + LOOK > args.timeout {
            return Ok((report, in_force));
        }
        tokio::time::sleep(LOOK).await;
    }
}

fn text(report: &ReloadReport, waiting: &[String], args: &ReloadArgs) -> String {
    let result = match (report.accepted, args.wait, waiting.is_empty()) {
        (false, ..) => {
            "rejected: the configuration of before is still served as a whole".to_owned()
        }
        (true, false, _) => "accepted".to_owned(),
        (true, true, true) => "accepted, and in force".to_owned(),
        (true, true, false) => format!(
            "accepted, but after {} it still waits for:\n  {}",
            humantime::format_duration(args.timeout),
            waiting.join("\n  ")
        ),
    };
    described(report) + &result + "\n"
}

/// What is wrong with a file, why it is refused, and what it does, one line each.
pub(super) fn described(report: &ReloadReport) -> String {
    let errors = report.errors.iter().map(ToString::to_string);
    let refused = report.refused.iter().map(|why| format!("refused: {why}"));
    let effects = report.effects.iter().map(ToString::to_string);
    let problems = report.problems.iter().map(|problem| format!("problem: {problem}"));
    errors.chain(refused).chain(effects).chain(problems).map(|line| line + "\n").collect()
}
