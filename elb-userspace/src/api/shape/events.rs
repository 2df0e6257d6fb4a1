//! What happened to members and listeners: which turned unhealthy, which recovered, which pool serves; the shapes
//! of `elb events`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::health::{Failure, OperatingStatus};
use crate::model::select::Label;
use crate::model::{MemberRef, ResourceId};

/// Events that are remembered, of all members and listeners together; some 300 bytes each.
pub const LAST: usize = 1000;

/// What happened: to a member, or to a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AgentEvent {
    /// To a member.
    Member(MemberEvent),
    /// To a listener.
    Listener(ListenerEvent),
}

impl AgentEvent {
    /// When, RFC 3339, UTC, milliseconds.
    pub fn time(&self) -> &str {
        match self {
            Self::Member(event) => &event.time,
            Self::Listener(event) => &event.time,
        }
    }

    /// What happened.
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::Member(event) => event.event,
            Self::Listener(event) => match event.event {
                ListenerEventKind::Fallback => EventKind::Fallback,
                ListenerEventKind::FallbackOver => EventKind::FallbackOver,
            },
        }
    }

    /// The same of a member, if it is.
    pub const fn of_member(&self) -> Option<&MemberEvent> {
        match self {
            Self::Member(event) => Some(event),
            Self::Listener(_) => None,
        }
    }
}

/// Another pool serves a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ListenerEvent {
    /// When, RFC 3339, UTC, milliseconds.
    pub time: String,
    /// What happened.
    pub event: ListenerEventKind,
    /// The same by the name that stays: listenerFallback, listenerFallbackOver.
    pub event_id: String,
    /// The load balancer.
    pub load_balancer: String,
    /// The listener.
    pub listener: String,
    /// Its id.
    pub listener_id: ResourceId,
    /// The listener's own pool.
    pub default_pool: String,
    /// The pool that takes over.
    pub fallback_pool: String,
    /// Members of the default pool that take new connections; none: not known.
    pub default_serving: Option<u32>,
    /// While fewer do, the fallback pool serves the listener.
    pub below: u32,
}

/// What may happen to a listener.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ListenerEventKind {
    /// The fallback pool serves it.
    Fallback,
    /// The default pool serves it again.
    FallbackOver,
}

/// The verdict on a member changed, or whether a backup member is needed, or a slow start began or ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberEvent {
    /// When, RFC 3339, UTC, milliseconds.
    pub time: String,
    /// What happened.
    pub event: EventKind,
    /// The same by the name that SYS.ELB events have: healthCheckUnhealthy, healthCheckRecovery, and two of
    /// backup members and of slow start each; none of an event that an agent of an earlier version remembered.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub event_id: Option<String>,
    /// The member.
    #[serde(flatten)]
    pub member: MemberRef,
    /// What it was before; of a backup member and of a slow start, what it is.
    pub from: OperatingStatus,
    /// For how many seconds.
    pub lasted: u64,
    /// Why it is unhealthy; of one that recovered, why it was.
    pub reason: Option<Failure>,
}

/// What may happen.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The member became OFFLINE.
    Unhealthy,
    /// It became ONLINE after it was OFFLINE.
    Recovered,
    /// The backup member takes new connections, since too few of the others can serve.
    InService,
    /// The backup member is in reserve again.
    InReserve,
    /// The member begins to rise to its share of the new connections.
    SlowStart,
    /// It has all of its share.
    SlowStartOver,
    /// The fallback pool serves a listener.
    #[serde(skip)]
    Fallback,
    /// The default pool serves it again.
    #[serde(skip)]
    FallbackOver,
}

impl EventKind {
    /// What it is called in logs and by programs, in this version and later ones.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Unhealthy => "healthCheckUnhealthy",
            Self::Recovered => "healthCheckRecovery",
            Self::InService => "backupMemberInService",
            Self::InReserve => "backupMemberInReserve",
            Self::SlowStart => "memberSlowStart",
            Self::SlowStartOver => "memberSlowStartOver",
            Self::Fallback => "listenerFallback",
            Self::FallbackOver => "listenerFallbackOver",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unhealthy => "unhealthy",
            Self::Recovered => "recovered",
            Self::InService => "in_service",
            Self::InReserve => "in_reserve",
            Self::SlowStart => "slow_start",
            Self::SlowStartOver => "slow_start_over",
            Self::Fallback => "fallback",
            Self::FallbackOver => "fallback_over",
        })
    }
}

/// Which events are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsRequest {
    /// Those to come too, until the answer is not wanted any more.
    #[serde(default)]
    pub follow: bool,
    /// Only those of a pool; of a listener, those of its default pool and of its fallback pool.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pool: Option<String>,
    /// Only those of a member: its name, its address, or both address and port.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub member: Option<String>,
    /// Only those since this time, RFC 3339, UTC, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<String>,
}

impl EventsRequest {
    /// Whether it is about an event.
    pub fn wants(&self, event: &AgentEvent) -> bool {
        self.is_recent(event)
            && match event {
                AgentEvent::Member(event) => self.is_about(&event.member.label()),
                AgentEvent::Listener(event) => {
                    let pools = [&event.default_pool, &event.fallback_pool];
                    let wanted = self.pool.as_ref();
                    self.member.is_none() && wanted.is_none_or(|pool| pools.contains(&pool))
                }
            }
    }

    /// Whether an event is not too old. Times in this form have the order of their texts.
    pub fn is_recent(&self, event: &AgentEvent) -> bool {
        self.since.as_ref().is_none_or(|since| event.time() >= since.as_str())
    }

    /// Whether it is about a member that is called so.
    pub fn is_about(&self, member: &Label<'_>) -> bool {
        self.pool.as_ref().is_none_or(|pool| member.is_within(pool))
            && self.member.as_ref().is_none_or(|text| member.is_named(text))
    }
}

/// A line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventsLine {
    /// An event.
    Event(Box<AgentEvent>),
    /// So many more came faster than they were taken.
    Missed(u64),
}

#[cfg(test)]
mod tests;
