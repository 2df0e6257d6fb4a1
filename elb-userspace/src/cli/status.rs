//! `elb status`: who gets what, and who is healthy.

mod check;
mod member;
mod rate;
mod ready;
mod summary;
mod text;
mod units;

use std::io::IsTerminal as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use self::text::{Form, text};
use super::duration::duration;
use super::socket::SocketArg;
use super::{Output, block_on, failure, print_json, print_text};
use crate::api::client;
use crate::api::shape::status::{Status, StatusRequest};
use crate::model::select::Label;

#[derive(Debug, Args)]
#[command(after_help = "\
Load balancers → listeners → pools → members: health and since when, the part of new flows that a
member gets (its share of the ring), packets and bytes; then what was not forwarded and why. With more than
50 members, each pool is summed up in a line, with the members that something is wrong with; --all lists
every member, and so does any NAME or filter.

With a NAME, only what is called so: a load balancer with its listeners and their pools, a listener
with its pool, a pool with its listeners, or a member with all that is known of its health: why it failed,
how often it did, its last 20 probes. JSON has the probes of all members that it shows. Filters of several
kinds narrow each other down (--listener http --unhealthy); one that is repeated widens.

Anything is named by its name or id; a listener also as LB/LISTENER; a member also as POOL/MEMBER, by its
address, or its address and port. lb:, listener:, pool: or member: before it says what it is.

Exit codes: 0 shown, 1 failed (no agent answers, or nothing has the name). With --problems: 0 nothing is
wrong, 1 something is, 3 failed. With --check: 0 every listener and member serves, 1 some do not, 2 no
listener has a member for new connections, 3 failed: as monitoring plugins do. With --ready: 0 ready, 1
not, 3 failed.

Examples:
  elb status
  elb status web-1
  elb status --problems || send-an-alert
  elb status --pool web --unhealthy
  elb status --load-balancer shop --rate 5s
  elb status --check --listener shop/https; echo $?
  elb status --ready                         what keepalived or BIRD runs every second
  elb status -o json | jq '.pools[].members[]'")]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command")]
pub(super) struct StatusArgs {
    /// Only these load balancers, listeners, pools or members.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only this load balancer, its listeners and their pools.
    #[arg(long, value_name = "LB")]
    load_balancer: Vec<String>,
    /// Only this listener and its pool: its name, LB/LISTENER, or its id.
    #[arg(long, value_name = "LISTENER")]
    listener: Vec<String>,
    /// Only this pool and its listeners.
    #[arg(long, value_name = "POOL")]
    pool: Vec<String>,
    /// Only members that are OFFLINE or cannot be reached, and what they are in.
    #[arg(long)]
    unhealthy: bool,
    /// Every member, however many there are.
    #[arg(long)]
    all: bool,
    /// Packets, bytes and new connections a second, measured for this long (1s if not said), in the place of
    /// counts.
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "1s",
        value_parser = duration)]
    rate: Option<Duration>,
    /// Only what something is wrong with: members that are OFFLINE or cannot be reached, listeners that are
    /// DEGRADED, problems of the agent. The exit code says whether anything is.
    #[arg(long)]
    problems: bool,
    /// Say in a line, and by the exit code, whether everything serves.
    #[arg(long, conflicts_with_all = ["problems", "unhealthy", "rate", "all"])]
    check: bool,
    /// Say by the exit code alone whether this host forwards new connections: the program is attached, the maps
    /// are written, and some listener has a member. Why not is on standard error.
    #[arg(long, conflicts_with_all = ["names", "load_balancer", "listener", "pool", "check", "problems",
        "unhealthy", "rate", "all", "output"])]
    ready: bool,
    #[command(flatten)]
    agent: SocketArg,
    /// How to write it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// The exit code of `--problems`, `--check` and `--ready` where nothing is known.
const UNKNOWN: u8 = 3;
/// Less than this is no time to measure in.
const SHORTEST: Duration = Duration::from_millis(100);

pub(super) fn run(args: &StatusArgs) -> Result<ExitCode> {
    let shown = args.agent.path().and_then(|socket| show(args, &socket));
    match shown {
        Err(error) if args.problems || args.check || args.ready => {
            failure::report(&error, args.output);
            Ok(ExitCode::from(UNKNOWN))
        }
        shown => shown,
    }
}

fn show(args: &StatusArgs, socket: &Path) -> Result<ExitCode> {
    if args.ready {
        return ready::run(socket);
    }
    let status = block_on(look(args, socket))?;
    if args.check {
        return check::show(&status, !args.is_narrowed(), args.output);
    }
    let members: Vec<_> = status.pools.iter().flat_map(|pool| &pool.members).collect();
    let only_members = !args.problems && is_of_members(&status, &args.names);
    match args.output {
        Output::Json if only_members => print_json(&members)?,
        Output::Json => print_json(&status)?,
        Output::Table if only_members => {
            print_text(&members.iter().map(|member| member::text(member)).collect::<String>())?;
        }
        Output::Table => {
            let has_all = args.all || args.is_narrowed() || args.problems || args.unhealthy;
            let form = Form {
                colours: std::io::stdout().is_terminal(),
                is_summary: !has_all && members.len() > summary::MOST,
                has_rates: args.rate.is_some(),
            };
            print_text(&text(&status, form))?;
        }
    }
    let is_wrong = args.problems && has_problems(&status);
    Ok(if is_wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The status, with rates where they are asked for.
async fn look(args: &StatusArgs, socket: &Path) -> Result<Status> {
    let request = args.request();
    let Some(time) = args.rate else { return client::status(socket, &request).await };
    let before = client::status(socket, &request).await?;
    let begun = Instant::now();
    tokio::time::sleep(time.max(SHORTEST)).await;
    let mut status = client::status(socket, &request).await?;
    rate::fill(&mut status, &before, begun.elapsed());
    Ok(status)
}

impl StatusArgs {
    fn request(&self) -> StatusRequest {
        let is_detailed = !self.names.is_empty() || self.output == Output::Json;
        StatusRequest {
            probes: is_detailed && !self.check,
            brief: false,
            names: self.names.join("\n"),
            problems: self.problems || self.unhealthy,
            load_balancers: self.load_balancer.join("\n"),
            listeners: self.listener.join("\n"),
            pools: self.pool.join("\n"),
        }
    }

    /// Whether only a part is asked for by name.
    fn is_narrowed(&self) -> bool {
        let named = [&self.names, &self.load_balancer, &self.listener, &self.pool];
        named.iter().any(|names| !names.is_empty())
    }
}

/// Whether only members have the names, so that nothing above them is there.
fn is_of_members(status: &Status, names: &[String]) -> bool {
    let is_pool = |name: &String| {
        let mut pools = status.pools.iter();
        pools.any(|pool| Label::pool(pool.id, &pool.name).is_named(name))
    };
    !names.is_empty() && status.load_balancers.is_empty() && !names.iter().any(is_pool)
}

/// Whether something is wrong, in a status of nothing else.
fn has_problems(status: &Status) -> bool {
    let Status { agent, load_balancers, pools, .. } = status;
    !(agent.problems.is_empty() && load_balancers.is_empty() && pools.is_empty())
}

#[cfg(test)]
mod tests;
