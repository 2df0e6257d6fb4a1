//! `elb status MEMBER`: all that is known of a member's health.

use std::fmt::Write as _;

use super::units;
use crate::api::shape::status::{MemberStatus, PathStatus, ProbeRecord, ProbeSummary, Replies};
use crate::model::MemberRef;

/// For people.
pub(super) fn text(member: &MemberStatus) -> String {
    let mut out = String::new();
    let MemberRef { pool, name, .. } = &member.member;
    let _ = writeln!(
        out,
        "{name} · {} · pool {pool} · weight {} · {} since {}",
        member.member.socket(),
        member.weight,
        member.operating_status,
        member.since
    );
    if let Some(backup) = member.backup {
        let _ = writeln!(out, "  {backup}");
    }
    if let Some(rising) = member.rising {
        let _ = writeln!(out, "  {rising}");
    }
    if let Some(reason) = &member.reason {
        let _ = writeln!(out, "  last failure: {reason}");
    }
    if let Some(paths) = &member.paths {
        path(&mut out, paths);
    }
    if let Some(unreachable) = &member.unreachable {
        let _ = writeln!(out, "  no packet can be sent to it: {unreachable}");
    }
    if let Some(doubt) = &member.doubtful_next_hop {
        let _ = writeln!(out, "  packets to it may get lost: {doubt}");
    }
    for at in &member.status {
        let why = at.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        let _ = writeln!(
            out,
            "  for listener {} of {}: {}{why}",
            at.listener, at.load_balancer, at.operating_status
        );
    }
    if member.more_listeners > 0 {
        let _ = writeln!(out, "  and for {} more listeners", member.more_listeners);
    }
    if let Some(said) = member.replies.map(replies) {
        let _ = writeln!(out, "  {said}");
    }
    if let Some(health) = &member.health {
        counts(&mut out, health);
        probes(&mut out, &health.probes);
    }
    out
}

/// What it answered through this host.
fn replies(replies: Replies) -> String {
    let Replies { packets, bytes, accepted, resets } = replies;
    let connections = accepted
        .zip(resets)
        .map(|(accepted, resets)| format!(": {accepted} connections accepted, {resets} resets"));
    let bytes = units::bytes(bytes);
    format!("answered {packets} packets, {bytes}{}", connections.unwrap_or_default())
}

fn path(out: &mut String, paths: &PathStatus) {
    let PathStatus { path, why_direct, vip, direct, addresses } = paths;
    let why = why_direct.as_ref().map(|why| format!(", since {why}")).unwrap_or_default();
    let _ = writeln!(out, "  probed by the path {path}{why}");
    for (vip, status) in addresses {
        let _ = writeln!(out, "  at {vip}: {status}");
    }
    for (path, result) in [("vip", vip), ("direct", direct)] {
        if let Some(result) = result {
            let _ = writeln!(out, "  last probe {path}: {result}");
        }
    }
}

fn counts(out: &mut String, health: &ProbeSummary) {
    let ProbeSummary { streak, counts, .. } = health;
    let _ = writeln!(
        out,
        "  {} probes succeeded, {} failed; turned unhealthy {} times, recovered {} times; {streak} \
         results in a row against the verdict",
        counts.probes_ok, counts.probes_failed, counts.turned_unhealthy, counts.recovered
    );
}

/// The latest first.
fn probes(out: &mut String, probes: &[ProbeRecord]) {
    for probe in probes.iter().rev() {
        let ProbeRecord { time, duration_ms, result, reason } = probe;
        let reason = reason.as_ref().map_or_else(|| result.clone(), ToString::to_string);
        let _ = writeln!(out, "  {time} {duration_ms:>9.3} ms  {reason}");
    }
}
