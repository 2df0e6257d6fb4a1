//! The status for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{Cell, Color, Table, presets};

use super::units::bytes;
use super::{rate, summary};
use crate::api::shape::status::{
    AccessStatus, Agent, FlowLogLost, FlowLogStatus, ListenerStatus, MemberStatus, PathStatus,
    PoolStatus, Reason, SflowLost, SflowStatus, SnatStatus, Status, WebhookStatus,
};

/// How to write it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Form {
    pub(super) colours: bool,
    /// Pools are summed up.
    pub(super) is_summary: bool,
    /// Rates stand in the place of counts.
    pub(super) has_rates: bool,
}

/// For people.
pub(super) fn text(status: &Status, form: Form) -> String {
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
    for WebhookStatus { url, sent, failed, lost, .. } in &agent.notify {
        let _ = writeln!(out, "events to {url} · {sent} arrived, {failed} failed, {lost} lost");
    }
    if let Some(FlowLogStatus { to, written, missed, .. }) = &agent.flow_log {
        let FlowLogLost { rate, ring, sink } = missed;
        let _ = writeln!(
            out,
            "flow log to {to} · {written} lines · missed {rate} by rate, {ring} by ring, {sink} by sink"
        );
    }
    if let Some(SflowStatus { collector, samples, discards, lost, .. }) = &agent.sflow {
        let SflowLost { kernel, limit, unsent } = lost;
        let _ = writeln!(
            out,
            "sFlow to {collector} · {samples} samples, {discards} refused packets · lost {kernel} in the kernel, {limit} by limit, {unsent} unsent"
        );
    }
    snat(&mut out, agent);
    for kept in agent.kept.iter().filter(|kept| kept.in_place && kept.restored > 0) {
        let (object, times) = (&kept.object, kept.restored);
        let last = kept.last_restored.as_deref().unwrap_or_default();
        let what = kept.was_missing.as_deref().unwrap_or_default();
        let _ = writeln!(out, "restored {object} · {times} times, last {last}: {what}");
    }
    for problem in &agent.problems {
        let _ = writeln!(out, "PROBLEM {problem}");
    }
    let rest = load_balancers(&mut out, status, form);
    for pool in rest {
        let unused = if pool.listeners == 0 { " · no listener uses it" } else { "" };
        let _ = writeln!(out, "\npool {}{unused}", pool.name);
        members(&mut out, pool, form);
    }
    not_forwarded(&mut out, &status.not_forwarded);
    if form.is_summary {
        out += &summary::how_to_see_all(status);
    }
    out
}

/// What members see in the place of clients' addresses.
fn snat(out: &mut String, agent: &Agent) {
    if let Some(SnatStatus { v4, ports, used }) = &agent.snat {
        let _ = writeln!(out, "source addresses {v4} · {used} of {ports} ports in use");
    }
    if let Some(prefix) = &agent.client_prefix {
        let _ = writeln!(
            out,
            "prefix of clients {prefix} · members with nat46 have a route to it by this host"
        );
    }
}

/// The members of a pool are listed with the first of its listeners; those of no listener are left.
fn load_balancers<'s>(out: &mut String, status: &'s Status, form: Form) -> Vec<&'s PoolStatus> {
    let takes_new = |name: &str| status.pool(name).is_some_and(PoolStatus::takes_new);
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
            listener_lines(out, listener, (*pool, takes_new(listener.serving_pool())), form);
            if std::mem::replace(is_listed, true) {
                let _ = writeln!(out, "    members: as above, those of pool {}", pool.name);
            } else {
                members(out, pool, form);
            }
        }
    }
    let is_listed =
        |pool: &&PoolStatus| pools.get(pool.name.as_str()).is_some_and(|(_, listed)| *listed);
    status.pools.iter().filter(|pool| !is_listed(pool)).collect()
}

fn listener_lines(
    out: &mut String,
    listener: &ListenerStatus,
    (pool, takes_new): (&PoolStatus, bool),
    form: Form,
) {
    let port = match (listener.protocol_port, &listener.port_ranges[..]) {
        (0, []) => "any".to_owned(),
        (0, ranges) => ranges.join(","),
        (port, _) => port.to_string(),
    };
    let no_member = if takes_new { "" } else { ", NO MEMBER TAKES NEW CONNECTIONS" };
    let backup = if pool.backup.is_some_and(|backup| backup.in_service) {
        ", SERVED BY BACKUP MEMBERS"
    } else {
        ""
    };
    let traffic = if form.has_rates {
        rate::of_listener(listener.rate)
    } else {
        let replies = listener.replies.map_or_else(String::new, |replies| {
            format!(", replies {} packets, {}", replies.packets, bytes(replies.bytes))
        });
        format!("{} packets, {}{replies}", listener.packets, bytes(listener.bytes))
    };
    let moving = match pool.moving_slots {
        0 => String::new(),
        n => format!(" · {n} of {} slots moving", pool.slots),
    };
    let persistence = pool.session_persistence;
    let persistence =
        persistence.map_or_else(String::new, |time| format!(", clients remembered for {time} s"));
    let _ = writeln!(
        out,
        "  {} {}/{port} · {} · {traffic} · pool {} by {}, {}{persistence}{no_member}{backup}{moving}",
        listener.name,
        listener.protocol,
        listener.operating_status,
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
    parts.extend(listener.fallback.as_ref().map(ToString::to_string));
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

fn members(out: &mut String, pool: &PoolStatus, form: Form) {
    let mut shown: Vec<&MemberStatus> = pool.members.iter().collect();
    if form.is_summary {
        *out += &summary::line(pool);
        shown = summary::listed(pool);
        if shown.is_empty() {
            return;
        }
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    if !form.colours {
        table.force_no_tty();
    }
    let [packets, bytes, new] = if form.has_rates { rate::HEADER } else { COUNTS };
    let mut header =
        vec!["    MEMBER", "ADDRESS", "WEIGHT", "STATUS", "SHARE", "GOT", packets, bytes];
    header.extend(Some(new).filter(|_| form.has_rates));
    // Where they do not come back through this host, there is nothing to be said of them.
    let has_replies = shown.iter().any(|member| member.replies.is_some());
    let replies = if form.has_rates { rate::REPLY_HEADER } else { REPLY_COUNTS };
    header.extend(has_replies.then_some(replies).into_iter().flatten());
    header.extend(["SINCE", ""]);
    table.set_header(header);
    for member in shown {
        table.add_row(row(member, has_replies, form));
    }
    for line in table.lines() {
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

/// The columns of counts.
const COUNTS: [&str; 3] = ["PACKETS", "BYTES", ""];
/// Those of what members answer.
const REPLY_COUNTS: [&str; 2] = ["REPLIES", "REPLY BYTES"];

fn row(member: &MemberStatus, has_replies: bool, form: Form) -> Vec<Cell> {
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
        member.backup.map(|backup| backup.to_string()),
        member.rising.map(|rising| rising.to_string()),
        paths.and_then(PathStatus::both).or_else(reason),
        paths.and_then(|paths| paths.why_direct.as_ref()).map(direct),
        why,
        member.unreachable.clone(),
        member.doubtful_next_hop.clone(),
        member.connections.map(|open| open_connections(open, member.max_connection)),
        member.cut_in.map(|seconds| format!("cut in {seconds} s")),
    ];
    let note = note.into_iter().flatten().collect::<Vec<_>>().join(", ");
    let address = match member.member.protocol_port {
        0 => member.member.address.to_string(),
        _ => member.member.socket().to_string(),
    };
    let mut cells = vec![
        Cell::new(format!("    {}", member.member.name)),
        Cell::new(address),
        Cell::new(member.weight),
        Cell::new(&member.operating_status).fg(colour),
        Cell::new(format!("{:.1}%", member.share * 100.0)),
        Cell::new(got(member)),
    ];
    if form.has_rates {
        cells.extend(rate::columns(member.rate).map(Cell::new));
    } else {
        cells.extend([Cell::new(member.packets), Cell::new(bytes(member.bytes))]);
    }
    if has_replies {
        cells.extend(replies(member, form).map(Cell::new));
    }
    cells.extend([Cell::new(&member.since), Cell::new(note)]);
    cells
}

/// What a member answers.
fn replies(member: &MemberStatus, form: Form) -> [String; 2] {
    if form.has_rates {
        return rate::reply_columns(member.rate);
    }
    let none = || ["-", "-"].map(str::to_owned);
    member.replies.map_or_else(none, |replies| [replies.packets.to_string(), bytes(replies.bytes)])
}

/// How many connections a member has, of how many at most.
fn open_connections(open: u32, most: Option<u32>) -> String {
    match most {
        None => format!("{open} open"),
        Some(most) if open >= most => format!("{open} open, as many as it may have"),
        Some(most) => format!("{open} of at most {most} open"),
    }
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
