//! `elb drain`: a member takes no new flows, until nothing goes to it any more.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use super::duration::duration;
use super::socket::SocketArg;
use super::{Output, block_on, failure, print_json, print_text};
use crate::api::client;
use crate::api::shape::drain::{DrainAction, DrainReport, DrainRequest, DrainedMember};
use crate::api::shape::error::{Error, ErrorCode};
use crate::model::MemberRef;

#[derive(Debug, Args)]
#[command(after_help = "\
The member takes no new flows, as with weight 0, until `elb drain --cancel` or until it is removed
from the configuration file; the agent remembers it across its own restarts. What it has goes on: for
the pool's connection_drain, or until it ends or is idle.

A slot that the member owned names it as the former owner until no packet of an old connection came
for the listener's keepalive_timeout. Nothing is left when no slot names the member, no recorded flow
goes to it, and no QUIC packet came for its server_id for that time; or when no packet at all went to the
member for that time, of which the time before the drain counts. A connection may be silent for as long
as keepalive_timeout (5 minutes if that is not set), and servers answer clients directly: nothing but
that time shows that a silent one is over. So a member that was busy just now takes that long, and the
progress says for how long no packet came. --idle takes less for enough, at your word.

Exit codes: 0 done (with --wait: nothing is left, or silent for --idle), 1 failed, or something is left after --timeout.

Examples:
  elb drain web-1 --wait --timeout 10m && ssh web-1 reboot
  elb drain web-1 --wait --idle 30s            no client of it is silent for longer
  elb drain 10.0.0.11:443 --pool web
  elb drain web-1 --cancel")]
pub(super) struct DrainArgs {
    /// The member: its name, POOL/MEMBER, its id, its address, or its address and port; in every pool that
    /// has it.
    member: String,
    /// Only in this pool: its name or id.
    #[arg(short, long, value_name = "POOL")]
    pool: Option<String>,
    /// Wait until nothing is left, and show how far it is.
    #[arg(short, long, conflicts_with = "cancel")]
    wait: bool,
    /// How long to wait at most, as in 90s or 5m. If not given, a minute longer than it takes when all
    /// is silent: keepalive_timeout, or the rest of connection_drain.
    #[arg(short, long, value_name = "TIME", requires = "wait", value_parser = duration)]
    timeout: Option<Duration>,
    /// Wait only until no packet went to the member for so long, as in 30s: a connection that is silent
    /// for longer may be left.
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = duration)]
    idle: Option<Duration>,
    /// Take new flows again.
    #[arg(long)]
    cancel: bool,
    #[command(flatten)]
    agent: SocketArg,
    /// How to write it; as JSON only once, at the end.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// How often progress is shown though only the time of silence changed.
const SHOW: Duration = Duration::from_secs(10);
/// How often progress is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How much longer to wait than it takes when all is silent.
const MARGIN: Duration = Duration::from_secs(60);

pub(super) fn run(args: &DrainArgs) -> Result<ExitCode> {
    let socket = args.agent.path()?;
    let action = if args.cancel { DrainAction::Cancel } else { DrainAction::Start };
    let (report, timeout) = block_on(drain(args, &socket, action))?;
    if args.output == Output::Json {
        print_json(&report)?;
    }
    if action == DrainAction::Start {
        report.members.iter().filter_map(none_left).for_each(|warning| eprintln!("{warning}"));
    }
    if !args.wait || args.is_enough(&report) {
        return Ok(ExitCode::SUCCESS);
    }
    let left = report.members.iter().filter(|member| !args.is_done(member));
    let left: Vec<_> =
        left.map(|left| format!("{} of pool {}", left.member.name, left.member.pool)).collect();
    let why = format!(
        "after {}, something is left on {}: wait longer with --timeout, or let the pool's \
         connection_drain cut what is left",
        humantime::format_duration(timeout),
        left.join(" and ")
    );
    failure::report(&Error::new(ErrorCode::TimedOut, why).into(), args.output);
    Ok(ExitCode::FAILURE)
}

impl DrainArgs {
    fn is_enough(&self, report: &DrainReport) -> bool {
        report.members.iter().all(|member| self.is_done(member))
    }

    /// Whether nothing is left, or the member is silent for as long as was asked for.
    fn is_done(&self, member: &DrainedMember) -> bool {
        let idle = self.idle.map(|idle| u32::try_from(idle.as_secs()).unwrap_or(u32::MAX).max(1));
        member.is_done() || idle.is_some_and(|seconds| member.is_quiet(seconds))
    }
}

/// The last report, and how long it was waited for at most.
async fn drain(
    args: &DrainArgs,
    socket: &Path,
    action: DrainAction,
) -> Result<(DrainReport, Duration)> {
    let begun = Instant::now();
    let mut request = DrainRequest { action, member: args.member.clone(), pool: args.pool.clone() };
    let mut report = client::drain(socket, &request).await?;
    let timeout = args.timeout.unwrap_or_else(|| longest(&report) + MARGIN);
    request.action = DrainAction::Look;
    let mut said: Option<(DrainReport, Instant)> = None;
    let mut is_away = false;
    loop {
        let is_news = said.as_ref().is_none_or(|(said, at)| {
            without_time(said) != without_time(&report) || at.elapsed() >= SHOW
        });
        if args.output == Output::Table && is_news {
            print_text(&text(&report))?;
            said = Some((report.clone(), Instant::now()));
        }
        if !args.wait || args.is_enough(&report) || begun.elapsed() + LOOK > timeout {
            return Ok((report, timeout));
        }
        tokio::time::sleep(LOOK).await;
        // An agent that is restarted goes on draining.
        match client::drain(socket, &request).await {
            Ok(next) => (report, is_away) = (next, false),
            Err(error) if client::is_absence(&error) => {
                if !is_away {
                    eprintln!("elb: {error:#}; asking on until an agent answers again");
                }
                is_away = true;
            }
            // It was removed from the configuration, and now it is forgotten.
            Err(_) if report.members.iter().all(|member| member.state == "REMOVED") => {
                report.members.clear();
            }
            Err(error) => return Err(error),
        }
    }
}

/// A report of which only the times that pass anyway are left out.
fn without_time(report: &DrainReport) -> DrainReport {
    let mut report = report.clone();
    for member in &mut report.members {
        let is_done = member.is_done();
        member.quiet_for = if is_done { u32::MAX } else { 0 };
        member.cut_in = member.cut_in.map(|_| 0);
        member.named_ago = member.named_ago.map(|_| 0);
    }
    report
}

/// How long it takes at most when no packet comes any more.
fn longest(report: &DrainReport) -> Duration {
    let seconds = report.members.iter().map(|member| member.cut_in.unwrap_or(member.idle_timeout));
    Duration::from_secs(seconds.max().unwrap_or(0).into())
}

/// A warning, if the member was the last of its pool.
fn none_left(member: &DrainedMember) -> Option<String> {
    let DrainedMember { member: MemberRef { pool, .. }, others, state, .. } = member;
    let is_last = *others == 0 && state != "SERVING";
    is_last.then(|| {
        format!("elb: no member of pool {pool} takes new connections any more: they are dropped")
    })
}

fn text(report: &DrainReport) -> String {
    if report.members.is_empty() {
        return "nothing is left of the member, which was removed\n".to_owned();
    }
    report.members.iter().map(line).collect()
}

fn line(member: &DrainedMember) -> String {
    let DrainedMember { state, slots, former_slots, flows, .. } = member;
    let MemberRef { pool, name, .. } = &member.member;
    let DrainedMember { quiet_for, idle_timeout, .. } = member;
    let mut line = format!("pool {pool}, member {name}: {state}, ");
    if member.is_done() {
        return line + "nothing is left\n";
    }
    line += &format!("owns {slots} slots and was owner of {former_slots}, {flows} flows recorded");
    if let Some(connections) = member.connections {
        line += &format!(", {connections} connections open");
    }
    if let Some(seconds) = member.named_ago {
        line += &format!(", its server_id was seen {seconds} s ago");
    }
    if *quiet_for > 0 && *slots == 0 {
        line += &format!(
            ", no packet for {quiet_for} s: the idle timeout of {idle_timeout} s ends in {} s",
            idle_timeout.saturating_sub(*quiet_for)
        );
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
            member: MemberRef::new((None, "web"), None, Some("web-1"), ([10, 0, 0, 1], 80).into()),
            state: "DRAINING".to_owned(),
            slots: 0,
            former_slots: 21_000,
            flows: 12,
            connections: Some(9),
            named_ago: Some(3),
            idle_timeout: 300,
            quiet_for: 120,
            others: 0,
            cut_in: Some(25),
        };
        let said = line(&member);
        assert_eq!(
            said,
            "pool web, member web-1: DRAINING, owns 0 slots and was owner of 21000, 12 flows \
             recorded, 9 connections open, its server_id was seen 3 s ago, no packet for 120 s: the idle \
             timeout of 300 s ends in 180 s, cut in 25 s\n"
        );
        assert!(none_left(&member).is_some_and(|warning| warning.contains("pool web")));
        member.others = 1;
        assert_eq!(none_left(&member), None);
        let longest = longest(&DrainReport { members: vec![member.clone()] });
        assert_eq!(longest, Duration::from_secs(25));
        (member.former_slots, member.flows, member.named_ago) = (0, 0, None);
        assert_eq!(line(&member), "pool web, member web-1: DRAINING, nothing is left\n");
    }
}
