//! `elb status`: who gets what, and who is healthy.

mod member;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use comfy_table::{Cell, Color, Table, presets};

use super::socket::SocketArg;
use super::{Output, block_on, failure, print_json, print_text};
use crate::api::client;
use crate::api::shape::status::{
    AccessStatus, ListenerStatus, MemberStatus, PathStatus, PoolStatus, Reason, Status,
    StatusRequest,
};
use crate::model::select::Label;

#[derive(Debug, Args)]
#[command(after_help = "\
Load balancers → listeners → pools → members: health and since when, the part of new flows that a
member gets (its share of the ring), packets and bytes; then what was not forwarded and why.

With a NAME, only what is called so: a load balancer with its listeners and their pools, a listener
with its pool, a pool with its listeners, or a member with all that is known of its health: why it failed,
how often it did, its last 20 probes. JSON has the probes of all members that it shows.

Anything is named by its name or id; a listener also as LB/LISTENER; a member also as POOL/MEMBER, by its
address, or its address and port. lb:, listener:, pool: or member: before it says what it is.

Exit codes: 0 shown, 1 failed (no agent answers, or nothing has the name). With --problems: 0 nothing is
wrong, 1 something is, 3 failed.

Examples:
  elb status
  elb status web-1
  elb status --problems || send-an-alert
  elb status -o json | jq '.pools[].members[]'")]
pub(super) struct StatusArgs {
    /// Only these load balancers, listeners, pools or members.
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only what something is wrong with: members that are OFFLINE or cannot be reached, listeners that are
    /// DEGRADED, problems of the agent.
    #[arg(long)]
    problems: bool,
    #[command(flatten)]
    agent: SocketArg,
    /// How to write it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// The exit code of `--problems` where nothing is known.
const UNKNOWN: u8 = 3;

pub(super) fn run(args: &StatusArgs) -> Result<ExitCode> {
    let (names, problems) = (args.names.join("\n"), args.problems);
    let probes = !args.names.is_empty() || args.output == Output::Json;
    let asked = args.agent.path().and_then(|socket| {
        block_on(client::status(&socket, &StatusRequest { probes, names, problems }))
    });
    let status = match asked {
        Err(error) if problems => {
            failure::report(&error, args.output);
            return Ok(ExitCode::from(UNKNOWN));
        }
        asked => asked?,
    };
    let members: Vec<_> = status.pools.iter().flat_map(|pool| &pool.members).collect();
    let only_members = !problems && is_of_members(&status, &args.names);
    match args.output {
        Output::Json if only_members => print_json(&members)?,
        Output::Json => print_json(&status)?,
        Output::Table if only_members => {
            print_text(&members.iter().map(|member| member::text(member)).collect::<String>())?;
        }
        Output::Table => print_text(&text(&status, std::io::stdout().is_terminal()))?,
    }
    let is_wrong = problems && has_problems(&status);
    Ok(if is_wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS })
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

fn text(status: &Status, colours: bool) -> String {
    let mut out = String::new();
    let agent = &status.agent;
    let _ = writeln!(
        out,
        "agent {} · pid {} · since {} · {} XDP on {} · {} loaded {}",
        agent.version,
        agent.pid,
        agent.started,
        agent.attach_mode,
        if agent.interfaces.is_empty() {
            "no interface".to_owned()
        } else {
            agent.interfaces.join(", ")
        },
        agent.config.display(),
        agent.loaded,
    );
    if let Some(why) = &agent.no_vip_probes {
        let _ = writeln!(out, "members are probed at their own addresses only: {why}");
    }
    for kept in agent.kept.iter().filter(|kept| kept.in_place && kept.restored > 0) {
        let (object, times) = (&kept.object, kept.restored);
        let last = kept.last_restored.as_deref().unwrap_or_default();
        let what = kept.was_missing.as_deref().unwrap_or_default();
        let _ = writeln!(out, "restored {object} · {times} times, last {last}: {what}");
    }
    for problem in &agent.problems {
        let _ = writeln!(out, "PROBLEM {problem}");
    }
    let rest = load_balancers(&mut out, status, colours);
    for pool in rest {
        let unused = if pool.listeners == 0 { " · no listener uses it" } else { "" };
        let _ = writeln!(out, "\npool {}{unused}", pool.name);
        members(&mut out, pool, colours);
    }
    not_forwarded(&mut out, &status.not_forwarded);
    out
}

/// The members of a pool are listed with the first of its listeners; those of no listener are left.
fn load_balancers<'s>(out: &mut String, status: &'s Status, colours: bool) -> Vec<&'s PoolStatus> {
    let mut pools: BTreeMap<&str, (&PoolStatus, bool)> =
        status.pools.iter().map(|pool| (pool.name.as_str(), (pool, false))).collect();
    for lb in &status.load_balancers {
        let vips: Vec<String> = lb.vips.iter().map(ToString::to_string).collect();
        let vips = if vips.is_empty() { "no address".to_owned() } else { vips.join(", ") };
        let _ = writeln!(out, "\n{} · {vips} · {}", lb.name, lb.operating_status);
        for listener in &lb.listeners {
            let Some((pool, is_listed)) = pools.get_mut(listener.default_pool.as_str()) else {
                continue;
            };
            listener_lines(out, listener, pool);
            if std::mem::replace(is_listed, true) {
                let _ = writeln!(out, "    members: as above, those of pool {}", pool.name);
            } else {
                members(out, pool, colours);
            }
        }
    }
    let is_listed =
        |pool: &&PoolStatus| pools.get(pool.name.as_str()).is_some_and(|(_, listed)| *listed);
    status.pools.iter().filter(|pool| !is_listed(pool)).collect()
}

fn listener_lines(out: &mut String, listener: &ListenerStatus, pool: &PoolStatus) {
    let port = match (listener.protocol_port, &listener.port_ranges[..]) {
        (0, []) => "any".to_owned(),
        (0, ranges) => ranges.join(","),
        (port, _) => port.to_string(),
    };
    let no_member = if pool.takes_new() { "" } else { ", NO MEMBER TAKES NEW CONNECTIONS" };
    let moving = match pool.moving_slots {
        0 => String::new(),
        n => format!(" · {n} of {} slots moving", pool.slots),
    };
    let _ = writeln!(
        out,
        "  {} {}/{port} · {} · {} packets, {} · pool {} by {}, {}{no_member}{moving}",
        listener.name,
        listener.protocol,
        listener.operating_status,
        listener.packets,
        bytes(listener.bytes),
        pool.name,
        pool.forwarding,
        pool.lb_algorithm,
    );
    let admission = admission(listener);
    if !admission.is_empty() {
        let _ = writeln!(out, "    {}", admission.join(" · "));
    }
}

/// Who may open connections to a listener, how many, and how many are open.
fn admission(listener: &ListenerStatus) -> Vec<String> {
    let mut parts = Vec::new();
    if let Some(AccessStatus { ipgroup, list, enable_ipgroup, networks, cut }) = &listener.ipgroup {
        let cuts = if *cut { ", cuts connections" } else { "" };
        let off = if *enable_ipgroup { cuts } else { ", off" };
        parts.push(format!("{list}list {ipgroup} of {networks} networks{off}"));
    }
    if listener.no_member == "reset" {
        parts.push("clients are reset while no member serves".to_owned());
    }
    if listener.cps > 0 {
        parts.push(format!("at most {} new connections a second", listener.cps));
    }
    if listener.max_connection > 0 {
        parts.push(format!("at most {} connections", listener.max_connection));
    }
    parts.extend(listener.connections.map(|open| format!("{open} connections open")));
    if listener.refused_records > 0 {
        let refused = listener.refused_records;
        parts.push(format!("{refused} flows found no room for a record (raise [agent] max_flows)"));
    }
    parts
}

fn members(out: &mut String, pool: &PoolStatus, colours: bool) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !colours {
        table.force_no_tty();
    }
    table.set_header([
        "    MEMBER",
        "ADDRESS",
        "WEIGHT",
        "STATUS",
        "SHARE",
        "GOT",
        "PACKETS",
        "BYTES",
        "SINCE",
        "",
    ]);
    for member in &pool.members {
        table.add_row(row(member));
    }
    for line in table.lines() {
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

fn row(member: &MemberStatus) -> Vec<Cell> {
    let colour = match member.operating_status.as_str() {
        "ONLINE" => Color::Green,
        "OFFLINE" => Color::Red,
        _ => Color::Yellow,
    };
    let why = member.status.iter().find_map(|at| at.why.clone());
    let paths = member.paths.as_ref();
    let direct = |why: &String| format!("probed at its own address: {why}");
    let reason = || member.reason.as_ref().map(|reason| reason.code().to_string());
    let note = [
        paths.and_then(PathStatus::both).or_else(reason),
        paths.and_then(|paths| paths.why_direct.as_ref()).map(direct),
        why,
        member.unreachable.clone(),
        member.doubtful_next_hop.clone(),
        member.connections.map(|open| format!("{open} open")),
        member.cut_in.map(|seconds| format!("cut in {seconds} s")),
    ];
    let note = note.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let address = match member.member.protocol_port {
        0 => member.member.address.to_string(),
        _ => member.member.socket().to_string(),
    };
    vec![
        Cell::new(format!("    {}", member.member.name)),
        Cell::new(address),
        Cell::new(member.weight),
        Cell::new(&member.operating_status).fg(colour),
        Cell::new(format!("{:.1}%", member.share * 100.0)),
        Cell::new(got(member)),
        Cell::new(member.packets),
        Cell::new(bytes(member.bytes)),
        Cell::new(&member.since),
        Cell::new(note),
    ]
}

/// The part of the new connections of the last minute.
fn got(member: &MemberStatus) -> String {
    let some = member.new_connections.as_ref().filter(|new| new.count > 0 || new.share > 0.0);
    some.map_or("-".to_owned(), |new| format!("{:.1}%", new.share * 100.0))
}

fn not_forwarded(out: &mut String, reasons: &[Reason]) {
    if reasons.is_empty() {
        return;
    }
    let _ = writeln!(out, "\nnot forwarded");
    for reason in reasons {
        let Reason { reason, fate, packets, meaning, fix, .. } = reason;
        let fix = if fix.is_empty() { String::new() } else { format!("; {fix}") };
        let _ = writeln!(out, "  {packets:>10} {fate:<8} {reason:<18} {meaning}{fix}");
    }
}

/// Bytes in the unit that leaves at most four digits.
fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

#[cfg(test)]
mod tests;
