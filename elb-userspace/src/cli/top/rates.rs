//! What happened between two looks at the agent. Pure: the time is part of a look.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use crate::api::shape::drops;
use crate::api::shape::status::{
    ListenerStatus, LoadBalancerStatus, MemberStatus, PoolStatus, Replies, Status, timestamp_millis,
};
use crate::api::shape::top::{
    ListenerRate, MemberRate, PoolRate, TopAgent, TopReport, TopTotal, Traffic,
};
use crate::model::ResourceId;

/// A look at the agent.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// When it was, since any origin.
    pub(super) at: Duration,
    /// When it was, for people.
    pub(super) wall: SystemTime,
    pub(super) status: Status,
}

/// Windows of new connections that are shorter say little: their beginning is a whole second.
const LEAST_WINDOW: Duration = Duration::from_secs(5);

/// What is known of `host` after a look, and its rates since the one before.
pub(super) fn report(host: &str, before: Option<&Look>, after: &Look) -> TopReport {
    let before = before.filter(|before| goes_on(&before.status, &after.status));
    let elapsed = before.map(|before| after.at.saturating_sub(before.at)).unwrap_or_default();
    let counted = Counted::of(before.map(|before| &before.status), elapsed);
    let balancers = after.status.load_balancers.iter();
    let listeners = balancers.flat_map(|lb| lb.listeners.iter().map(move |one| (lb, one)));
    let listeners: Vec<_> =
        listeners.map(|(lb, one)| listener(lb, one, counted.listener(lb, one))).collect();
    let members: Vec<Vec<MemberRate>> = after
        .status
        .pools
        .iter()
        .map(|pool| {
            let each = |one: &MemberStatus| member(one, counted.member(one), after.wall);
            pool.members.iter().map(each).collect()
        })
        .collect();
    let pools = after.status.pools.iter().zip(&members).map(|(one, members)| pool(one, members));
    let reasons = before.map_or(&[][..], |before| &before.status.not_forwarded);
    let drops = drops::rates(reasons, after.status.not_forwarded.clone(), elapsed);
    let pools = pools.collect();
    let members: Vec<_> = members.into_iter().flatten().collect();
    let dropped = drops.iter().filter(|one| one.total.fate == "dropped");
    let dropped = dropped.map(|one| one.packets_per_second).sum();
    TopReport {
        time: timestamp_millis(after.wall),
        seconds: elapsed.as_secs_f64(),
        agent: agent(host, &after.status),
        total: TopTotal {
            traffic: listeners.iter().map(|one| one.traffic).fold(NOTHING, and),
            dropped_per_second: before.map(|_| dropped),
            ..of_members(&members)
        },
        listeners: Some(listeners),
        pools: Some(pools),
        members: Some(members),
        drops: Some(drops),
        events: None,
    }
}

/// Whether counters go on: another agent may have begun with maps of its own.
fn goes_on(before: &Status, after: &Status) -> bool {
    let life = |status: &Status| (status.agent.pid, status.agent.started.clone());
    after.agent.adopted || life(before) == life(after)
}

fn agent(host: &str, status: &Status) -> TopAgent {
    let agent = &status.agent;
    TopAgent {
        host: host.to_owned(),
        version: agent.version.clone(),
        started: agent.started.clone(),
        attach_mode: agent.attach_mode.clone(),
        traced: agent.traced,
        problems: agent.problems.clone(),
    }
}

fn listener(lb: &LoadBalancerStatus, one: &ListenerStatus, traffic: Traffic) -> ListenerRate {
    let ports = match (one.protocol_port, &one.port_ranges[..]) {
        (0, []) => "any".to_owned(),
        (0, ranges) => ranges.join(","),
        (port, _) => port.to_string(),
    };
    ListenerRate {
        load_balancer: lb.name.clone(),
        name: one.name.clone(),
        operating_status: one.operating_status.clone(),
        protocol: one.protocol.clone(),
        vips: lb.vips.clone(),
        ports,
        traffic,
        connections: one.connections,
        max_connection: one.max_connection,
        default_pool: one.default_pool.clone(),
    }
}

fn pool(one: &PoolStatus, members: &[MemberRate]) -> PoolRate {
    let of_members = of_members(members);
    PoolRate {
        name: one.name.clone(),
        lb_algorithm: one.lb_algorithm.clone(),
        forwarding: one.forwarding.clone(),
        listeners: one.listeners,
        members: of_members.members,
        members_up: of_members.members_up,
        slots: one.slots,
        moving_slots: one.moving_slots,
        traffic: of_members.traffic,
        new_connections_per_second: of_members.new_connections_per_second,
    }
}

fn member(one: &MemberStatus, traffic: Traffic, wall: SystemTime) -> MemberRate {
    let new = one.new_connections.as_ref();
    let window = |since: &str| wall.duration_since(humantime::parse_rfc3339(since).ok()?).ok();
    let per_second = new.and_then(|new| {
        let window = window(&new.since).filter(|window| *window >= LEAST_WINDOW)?;
        Some(new.count as f64 / window.as_secs_f64())
    });
    let reason = one.unreachable.clone();
    let reason = reason.or_else(|| one.reason.as_ref().map(ToString::to_string));
    MemberRate {
        member: one.member.clone(),
        operating_status: one.operating_status.clone(),
        since: one.since.clone(),
        weight: one.weight,
        share: one.share,
        got: new.filter(|new| new.count > 0 || new.share > 0.0).map(|new| new.share),
        traffic,
        new_connections_per_second: per_second,
        connections: one.connections,
        reason: reason.or_else(|| one.doubtful_next_hop.clone()).unwrap_or_default(),
    }
}

/// Members together; what was dropped is not theirs.
fn of_members(members: &[MemberRate]) -> TopTotal {
    let there = || members.iter().filter(|one| one.operating_status != "REMOVED");
    let up = |one: &&MemberRate| matches!(&*one.operating_status, "ONLINE" | "NO_MONITOR");
    let new = members.iter().map(|one| one.new_connections_per_second);
    TopTotal {
        traffic: members.iter().map(|one| one.traffic).fold(NOTHING, and),
        new_connections_per_second: new.fold(None, sum),
        dropped_per_second: None,
        members: there().count(),
        members_up: there().filter(up).count(),
        members_down: there().filter(|one| one.operating_status == "OFFLINE").count(),
    }
}

const NOTHING: Traffic = Traffic {
    packets_per_second: None,
    bytes_per_second: None,
    reply_packets_per_second: None,
    reply_bytes_per_second: None,
    accepted_per_second: None,
    resets_per_second: None,
};

/// Two together; what is not known of one is left out.
fn and(one: Traffic, other: Traffic) -> Traffic {
    Traffic {
        packets_per_second: sum(one.packets_per_second, other.packets_per_second),
        bytes_per_second: sum(one.bytes_per_second, other.bytes_per_second),
        reply_packets_per_second: sum(one.reply_packets_per_second, other.reply_packets_per_second),
        reply_bytes_per_second: sum(one.reply_bytes_per_second, other.reply_bytes_per_second),
        accepted_per_second: sum(one.accepted_per_second, other.accepted_per_second),
        resets_per_second: sum(one.resets_per_second, other.resets_per_second),
    }
}

fn sum(one: Option<f64>, other: Option<f64>) -> Option<f64> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one + other),
        (one, other) => one.or(other),
    }
}

/// What makes a listener or a member the same in two looks.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Key<'s> {
    Id(ResourceId),
    Listener(&'s str, &'s str),
    Member(&'s str, SocketAddr),
}

impl<'s> Key<'s> {
    fn listener(lb: &'s LoadBalancerStatus, one: &'s ListenerStatus) -> Self {
        one.id.map_or(Self::Listener(&lb.name, &one.name), Self::Id)
    }

    fn member(one: &'s MemberStatus) -> Self {
        let member = &one.member;
        member.id.map_or(Self::Member(&member.pool, member.socket()), Self::Id)
    }
}

/// What was counted of a listener or of a member.
#[derive(Clone, Copy)]
struct Counts {
    packets: u64,
    bytes: u64,
    replies: Option<Replies>,
}

impl Counts {
    const fn of_listener(one: &ListenerStatus) -> Self {
        Self { packets: one.packets, bytes: one.bytes, replies: one.replies }
    }

    const fn of_member(one: &MemberStatus) -> Self {
        Self { packets: one.packets, bytes: one.bytes, replies: one.replies }
    }
}

/// Counts at the first look, and the seconds since.
struct Counted<'s> {
    listeners: HashMap<Key<'s>, Counts>,
    members: HashMap<Key<'s>, Counts>,
    seconds: f64,
}

impl<'s> Counted<'s> {
    fn of(status: Option<&'s Status>, elapsed: Duration) -> Self {
        let balancers = status.into_iter().flat_map(|status| &status.load_balancers);
        let listeners = balancers.flat_map(|lb| lb.listeners.iter().map(move |one| (lb, one)));
        let members = status.into_iter().flat_map(|status| &status.pools);
        let members = members.flat_map(|pool| &pool.members);
        Self {
            listeners: listeners
                .map(|(lb, one)| (Key::listener(lb, one), Counts::of_listener(one)))
                .collect(),
            members: members.map(|one| (Key::member(one), Counts::of_member(one))).collect(),
            seconds: elapsed.as_secs_f64(),
        }
    }

    fn listener(&self, lb: &LoadBalancerStatus, one: &ListenerStatus) -> Traffic {
        let before = self.listeners.get(&Key::listener(lb, one)).copied();
        self.traffic(before, Counts::of_listener(one))
    }

    fn member(&self, one: &MemberStatus) -> Traffic {
        let before = self.members.get(&Key::member(one)).copied();
        self.traffic(before, Counts::of_member(one))
    }

    fn traffic(&self, before: Option<Counts>, after: Counts) -> Traffic {
        let more = |count: fn(&Counts) -> Option<u64>| {
            rate(before.as_ref().and_then(count), count(&after)?, self.seconds)
        };
        Traffic {
            packets_per_second: more(|one| Some(one.packets)),
            bytes_per_second: more(|one| Some(one.bytes)),
            reply_packets_per_second: more(|one| one.replies.map(|replies| replies.packets)),
            reply_bytes_per_second: more(|one| one.replies.map(|replies| replies.bytes)),
            accepted_per_second: more(|one| one.replies?.accepted),
            resets_per_second: more(|one| one.replies?.resets),
        }
    }
}

/// How much more a second. A counter that is less than before began anew at 0.
fn rate(before: Option<u64>, after: u64, seconds: f64) -> Option<f64> {
    let more = after.checked_sub(before?).unwrap_or(after);
    (seconds > 0.0).then(|| more as f64 / seconds)
}

#[cfg(test)]
mod tests;
