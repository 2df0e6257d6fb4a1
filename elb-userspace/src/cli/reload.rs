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

With --wait, the command ends when all is in force: the first probes of new members are over, their
next hops are known, and the maps are written. It says since when. The generation is the number of the
configuration: it rises by one whenever another text is taken over, also across restarts of the agent, and
`elb status -o json` has it, too (agent.generation, agent.published).

Exit codes: 0 accepted (with --wait: and in force), 1 rejected, or not in force after --timeout.

Examples:
  elb reload --wait
  elb check --against-running && elb reload --wait --timeout 30s
  elb reload --wait -o json | jq '{accepted, generation, published, effects}'")]
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
    let InForce { waiting, published, .. } = in_force;
    let good = report.accepted && waiting.is_empty();
    let result = ReloadResult { report, waiting, published };
    match args.output {
        Output::Json => print_json(&result)?,
        Output::Table => print_text(&text(&result, args.wait, args.timeout))?,
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

fn text(result: &ReloadResult, waited: bool, timeout: Duration) -> String {
    let ReloadResult { report, waiting, published } = result;
    let generation = match report.generation {
        0 => String::new(),
        generation => format!(" (generation {generation})"),
    };
    let since = published.as_ref().map(|time| format!(" since {time}")).unwrap_or_default();
    let said = match (report.accepted, waited, waiting.is_empty()) {
        (false, ..) => {
            format!("rejected: the configuration of before{generation} is still served as a whole")
        }
        (true, false, _) => format!("accepted{generation}"),
        (true, true, true) => format!("accepted{generation}, and in force{since}"),
        (true, true, false) => format!(
            "accepted{generation}, but after {} it still waits for:\n  {}",
            humantime::format_duration(timeout),
            waiting.join("\n  ")
        ),
    };
    described(report) + &said + "\n"
}

/// What is wrong with a file, why it is refused, and what it does, one line each.
pub(super) fn described(report: &ReloadReport) -> String {
    let errors = report.errors.iter().map(ToString::to_string);
    let refused = report.refused.iter().map(|why| format!("refused: {why}"));
    let effects = report.effects.iter().map(ToString::to_string);
    let problems = report.problems.iter().map(|problem| format!("problem: {problem}"));
    errors.chain(refused).chain(effects).chain(problems).map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_of_it_is_the_last_line() {
        let report = ReloadReport { accepted: true, generation: 7, ..ReloadReport::default() };
        let published = Some("2026-01-02T03:04:05.678Z".to_owned());
        let mut result = ReloadResult { report, waiting: Vec::new(), published };
        let said = |result: &ReloadResult, waited| text(result, waited, Duration::from_secs(60));
        assert_eq!(said(&result, false), "accepted (generation 7)\n");
        let since = "accepted (generation 7), and in force since 2026-01-02T03:04:05.678Z\n";
        assert_eq!(said(&result, true), since);
        result.waiting.push("pool \"web\": the first probe of 2 members".to_owned());
        let waits = "but after 1m it still waits for:\n  pool \"web\": the first probe";
        assert!(said(&result, true).contains(waits), "{}", said(&result, true));
        result.report.accepted = false;
        let kept = "rejected: the configuration of before (generation 7) is still served";
        assert!(said(&result, true).starts_with(kept));
    }
}
