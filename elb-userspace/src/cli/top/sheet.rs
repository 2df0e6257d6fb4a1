//! A report as the rows of a view.

use super::cell::Cell;
use super::view::View;
use crate::api::shape::drops::Drops;
use crate::api::shape::events::{AgentEvent, EventKind, ListenerEvent, MemberEvent};
use crate::api::shape::top::{ListenerRate, MemberRate, PoolRate, TopReport, Traffic};
use crate::model::MemberRef;

/// A row: as many cells as the view has columns.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
    pub(super) tone: Tone,
    /// The member that it is about.
    pub(super) member: Option<MemberRef>,
}

/// How a row is to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Warning,
    Bad,
    Plain,
}

/// The rows of a view, as the agent has them in order; events: the latest first.
pub(super) fn rows(view: View, report: &TopReport) -> Vec<Row> {
    fn all<T>(list: Option<&Vec<T>>, row: fn(&T) -> Row) -> Vec<Row> {
        list.into_iter().flatten().map(row).collect()
    }
    match view {
        View::Listeners => all(report.listeners.as_ref(), listener),
        View::Pools => all(report.pools.as_ref(), pool),
        View::Members => all(report.members.as_ref(), member),
        View::Drops => all(report.drops.as_ref(), drops),
        View::Events => {
            let mut rows = all(report.events.as_ref(), event);
            rows.reverse();
            rows
        }
    }
}

fn listener(one: &ListenerRate) -> Row {
    let address = match &one.vips[..] {
        [] => format!("no address, port {}", one.ports),
        [std::net::IpAddr::V6(vip)] => format!("[{vip}]:{}", one.ports),
        [vip] => format!("{vip}:{}", one.ports),
        [vip, rest @ ..] => format!("{vip} +{}, port {}", rest.len(), one.ports),
    };
    let limit = (one.max_connection > 0).then(|| one.max_connection.into());
    let cells = vec![
        Cell::words(&one.operating_status),
        Cell::words(&one.load_balancer),
        Cell::words(&one.name),
        Cell::words(&address),
        Cell::words(&one.protocol),
        packets(one.traffic),
        bytes(one.traffic),
        Cell::Rate(one.traffic.reply_packets_per_second),
        Cell::Rate(one.traffic.reply_bytes_per_second),
        Cell::Number(one.connections.map(u64::from)),
        Cell::Number(limit),
        Cell::words(&one.default_pool),
    ];
    Row { cells, tone: tone(&one.operating_status), member: None }
}

fn pool(one: &PoolRate) -> Row {
    let cells = vec![
        Cell::words(&one.name),
        Cell::Number(Some(one.members_up as u64)),
        Cell::Number(Some(one.members as u64)),
        packets(one.traffic),
        bytes(one.traffic),
        Cell::Rate(one.traffic.reply_packets_per_second),
        Cell::Rate(one.traffic.reply_bytes_per_second),
        Cell::Rate(one.new_connections_per_second),
        Cell::Number(Some(one.slots.into())),
        Cell::Number(Some(one.moving_slots.into())),
        Cell::Number(Some(one.listeners as u64)),
        Cell::words(&one.forwarding),
        Cell::words(&one.lb_algorithm),
    ];
    let tone = match one.members_up {
        up if up == one.members => Tone::Good,
        0 => Tone::Bad,
        _ => Tone::Warning,
    };
    Row { cells, tone, member: None }
}

fn member(one: &MemberRate) -> Row {
    let cells = vec![
        Cell::words(&one.operating_status),
        Cell::words(&one.member.name),
        Cell::words(&one.member.pool),
        Cell::words(&address(&one.member)),
        Cell::Number(Some(one.weight.into())),
        Cell::Part(Some(one.share)),
        Cell::Part(one.got),
        packets(one.traffic),
        bytes(one.traffic),
        Cell::Rate(one.traffic.reply_packets_per_second),
        Cell::Rate(one.traffic.reply_bytes_per_second),
        Cell::Rate(one.new_connections_per_second),
        Cell::Number(one.connections.map(u64::from)),
        Cell::words(&one.since),
        Cell::words(&one.reason),
    ];
    Row { cells, tone: tone(&one.operating_status), member: Some(one.member.clone()) }
}

fn drops(one: &Drops) -> Row {
    let total = &one.total;
    let cells = vec![
        Cell::words(&total.fate),
        Cell::words(&total.reason),
        Cell::Rate(Some(one.packets_per_second)),
        Cell::Rate(Some(one.bytes_per_second)),
        Cell::Number(Some(total.packets)),
        Cell::words(&total.meaning),
        Cell::words(&total.fix),
    ];
    let is_dropped = total.fate == "dropped" && one.packets_per_second > 0.0;
    let tone = if is_dropped { Tone::Warning } else { Tone::Plain };
    Row { cells, tone, member: None }
}

fn event(one: &AgentEvent) -> Row {
    match one {
        AgentEvent::Member(one) => of_member(one),
        AgentEvent::Listener(one) => of_listener(one),
    }
}

/// The listener is where others have the member, and the pools are the reason.
fn of_listener(one: &ListenerEvent) -> Row {
    let reason = format!("{} for {}", one.fallback_pool, one.default_pool);
    let kind = AgentEvent::Listener(one.clone()).kind();
    let cells = vec![
        Cell::words(&one.time),
        Cell::words(&kind.to_string()),
        Cell::words(&one.listener),
        Cell::words(&one.default_pool),
        Cell::words(""),
        Cell::words(""),
        Cell::Number(None),
        Cell::words(&reason),
    ];
    Row { cells, tone: tone_of(kind), member: None }
}

const fn tone_of(event: EventKind) -> Tone {
    match event {
        EventKind::Unhealthy | EventKind::InService | EventKind::Fallback => Tone::Bad,
        EventKind::Recovered
        | EventKind::InReserve
        | EventKind::SlowStart
        | EventKind::SlowStartOver
        | EventKind::FallbackOver => Tone::Good,
    }
}

fn of_member(one: &MemberEvent) -> Row {
    let reason = one.reason.as_ref().map(ToString::to_string).unwrap_or_default();
    let cells = vec![
        Cell::words(&one.time),
        Cell::words(&one.event.to_string()),
        Cell::words(&one.member.name),
        Cell::words(&one.member.pool),
        Cell::words(&address(&one.member)),
        Cell::words(&one.from.to_string()),
        Cell::Number(Some(one.lasted)),
        Cell::words(&reason),
    ];
    Row { cells, tone: tone_of(one.event), member: Some(one.member.clone()) }
}

fn packets(traffic: Traffic) -> Cell {
    Cell::Rate(traffic.packets_per_second)
}

fn bytes(traffic: Traffic) -> Cell {
    Cell::Rate(traffic.bytes_per_second)
}

pub(super) fn address(member: &MemberRef) -> String {
    match member.protocol_port {
        0 => member.address.to_string(),
        _ => member.socket().to_string(),
    }
}

fn tone(status: &str) -> Tone {
    match status {
        "ONLINE" | "NO_MONITOR" => Tone::Good,
        "OFFLINE" => Tone::Bad,
        _ => Tone::Warning,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::super::rates::report;
    use super::*;

    #[test]
    fn every_row_has_the_columns_of_its_view() {
        let (before, after) = fixture::looks();
        let mut report = report("lb-1", Some(&before), &after);
        report.events = Some(vec![fixture::event("a"), fixture::event("b")]);
        for view in View::ALL {
            let rows = rows(view, &report);
            assert!(!rows.is_empty(), "{view:?}");
            assert!(rows.iter().all(|row| row.cells.len() == view.columns().len()), "{view:?}");
        }
        assert_eq!(rows(View::Events, &report)[0].cells[2], Cell::words("b"), "the latest first");
    }
}
