//! `elb drain`: a member takes no new flows, until nothing goes to it any more.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use super::socket::SocketArg;
use super::{Output, block_on, print_json};
use crate::api::client;
use crate::api::drain::{Action, DrainReport, DrainRequest, DrainedMember};

#[derive(Debug, Args)]
#[command(after_help = "\
The member takes no new flows, as with weight 0, until `elb drain --cancel` or until it is removed
from the configuration file; the agent remembers it across its own restarts. What it has goes on: for
the pool's connection_drain, or until it ends or is idle.

A slot that the member owned names it as the former owner until no packet of an old connection came
for the listener's keepalive_timeout. Nothing is left when no slot names the member and no recorded
flow goes to it.

Exit codes: 0 done (with --wait: nothing is left), 1 failed, or something is left after --timeout.

Examples:
  elb drain web-1 --wait --timeout 10m && ssh web-1 reboot
  elb drain 10.0.0.11:443 --pool web
  elb drain web-1 --cancel")]
pub(super) struct DrainArgs {
    /// Name, address, or address and port of the member; in every pool that has it.
    member: String,
    /// Only in this pool.
    #[arg(short, long, value_name = "NAME")]
    pool: Option<String>,
    /// Wait until nothing is left, and show how far it is.
    #[arg(short, long, conflicts_with = "cancel")]
    wait: bool,
    /// How long to wait at most, as in 90s or 5m.
    #[arg(short, long, value_name = "TIME", default_value = "5m",
          value_parser = humantime::parse_duration)]
    timeout: Duration,
    /// Take new flows again.
    #[arg(long)]
    cancel: bool,
    #[command(flatten)]
    agent: SocketArg,
    /// How to write it; as JSON only once, at the end.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// How often progress is looked at.
const LOOK: Duration = Duration::from_secs(1);

pub(super) fn run(args: &DrainArgs) -> Result<ExitCode> {
    let socket = args.agent.path();
    let action = if args.cancel { Action::Cancel } else { Action::Start };
    let report = block_on(drain(args, &socket, action))?;
    if args.output == Output::Json {
        print_json(&report)?;
    }
    let failed = args.wait && !report.is_done();
    if failed {
        eprintln!("something is left after {}", humantime::format_duration(args.timeout));
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn drain(args: &DrainArgs, socket: &Path, action: Action) -> Result<DrainReport> {
    let begun = Instant::now();
    let mut request = DrainRequest { action, member: args.member.clone(), pool: args.pool.clone() };
    let mut said = String::new();
    loop {
        let report = client::drain(socket, &request).await?;
        let text = text(&report);
        if args.output == Output::Table && text != said {
            print!("{text}");
            said = text;
        }
        if !args.wait || report.is_done() || begun.elapsed() + LOOK > args.timeout {
            return Ok(report);
        }
        tokio::time::sleep(LOOK).await;
        request.action = Action::Look;
    }
}

fn text(report: &DrainReport) -> String {
    report.members.iter().map(line).collect()
}

fn line(member: &DrainedMember) -> String {
    let DrainedMember { pool, member: name, state, slots, former_slots, flows, .. } = member;
    let mut line = format!("pool {pool}, member {name}: {state}, ");
    if member.is_done() {
        return line + "nothing is left\n";
    }
    line += &format!("owns {slots} slots and was owner of {former_slots}, {flows} flows recorded");
    if let Some(connections) = member.connections {
        line += &format!(", {connections} connections open");
    }
    if let Some(seconds) = member.cut_in {
        line += &format!(", cut in {seconds} s");
    }
    line + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_one_line_for_each_pool() {
        let mut member = DrainedMember {
            pool: "web".to_owned(),
            member: "web-1".to_owned(),
            address: [10, 0, 0, 1].into(),
            protocol_port: 80,
            state: "DRAINING".to_owned(),
            slots: 0,
            former_slots: 21_000,
            flows: 12,
            connections: Some(9),
            cut_in: Some(25),
        };
        let said = line(&member);
        assert_eq!(
            said,
            "pool web, member web-1: DRAINING, owns 0 slots and was owner of 21000, 12 flows \
             recorded, 9 connections open, cut in 25 s\n"
        );
        (member.former_slots, member.flows) = (0, 0);
        assert_eq!(line(&member), "pool web, member web-1: DRAINING, nothing is left\n");
    }
}
