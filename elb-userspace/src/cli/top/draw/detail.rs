//! More of one member: its health, its last probes and events.

use std::collections::VecDeque;

use ratatui::text::Line;

use super::super::super::report::printable;
use super::super::sheet::address;
use super::super::state::Detail;
use super::BOLD;
use crate::api::shape::events::{AgentEvent, MemberEvent};
use crate::api::shape::status::{MemberStatus, ProbeSummary};

/// Events that are shown.
const EVENTS: usize = 5;

pub(super) fn lines(detail: &Detail, events: &VecDeque<AgentEvent>) -> Vec<Line<'static>> {
    let member = &detail.member;
    let title = format!("\n{} of pool {} at {}", member.name, member.pool, address(member));
    let mut lines = vec![Line::default(), Line::styled(printable(title.trim()), BOLD)];
    let texts = match &detail.known {
        None => vec!["asking the agent …".to_owned()],
        Some(Err(why)) => vec![why.clone()],
        Some(Ok(known)) => status(known),
    };
    let is_own = |event: &&MemberEvent| event.member == *member;
    let of_members = events.iter().rev().filter_map(AgentEvent::of_member);
    let events: Vec<String> = of_members.filter(is_own).take(EVENTS).map(event).collect();
    let heading = (!events.is_empty()).then(|| "events, the latest first".to_owned());
    let texts = texts.into_iter().chain(heading).chain(events);
    lines.extend(texts.map(|text| Line::from(format!("  {}", printable(&text)))));
    lines.push(Line::default());
    let name = printable(&member.name);
    lines.push(Line::from(format!(
        "  elb diagnose {name:?}: what is wrong, and what to do about it"
    )));
    lines
}

fn status(known: &MemberStatus) -> Vec<String> {
    let MemberStatus { operating_status, since, weight, slots, share, .. } = known;
    let share = share * 100.0;
    let mut texts = vec![
        format!("{operating_status} since {since}"),
        format!("weight {weight}, {slots} slots, {share:.1} % of new flows due"),
    ];
    texts.extend(known.backup.map(|backup| backup.to_string()));
    texts.extend(known.rising.map(|rising| rising.to_string()));
    let reason = known.reason.as_ref().map(|reason| format!("reason: {reason}"));
    let unreachable = known.unreachable.as_ref().map(|why| format!("cannot be reached: {why}"));
    let doubt = known.doubtful_next_hop.as_ref().map(|why| format!("next hop: {why}"));
    texts.extend([reason, unreachable, doubt].into_iter().flatten());
    texts.extend(known.health.as_ref().into_iter().flat_map(health));
    texts
}

fn health(health: &ProbeSummary) -> Vec<String> {
    let counts = &health.counts;
    let mut texts = vec![format!(
        "{} probes succeeded, {} failed; it became OFFLINE {} times and recovered {} times",
        counts.probes_ok, counts.probes_failed, counts.turned_unhealthy, counts.recovered
    )];
    if !health.probes.is_empty() {
        texts.push("last probes, the latest first".to_owned());
    }
    texts.extend(health.probes.iter().rev().map(|probe| {
        let why = probe.reason.as_ref().map(|reason| format!(" {reason}")).unwrap_or_default();
        format!("  {} {:>8.1} ms  {}{why}", probe.time, probe.duration_ms, probe.result)
    }));
    texts
}

fn event(event: &MemberEvent) -> String {
    let reason = event.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("  {} {} after {} s {}{reason}", event.time, event.event, event.lasted, event.from)
}
