//! What happened to members: which turned unhealthy, which recovered; the shapes of `elb events`.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::health::{Failure, OperatingStatus};
use crate::model::MemberRef;
use crate::model::select::Label;

/// Events that are remembered, all members together; some 300 bytes each.
pub const LAST: usize = 1000;

/// The verdict on a member changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberEvent {
    /// When, RFC 3339, UTC, milliseconds.
    pub time: String,
    /// What happened.
    pub event: EventKind,
    /// The member.
    #[serde(flatten)]
    pub member: MemberRef,
    /// What it was before.
    pub from: OperatingStatus,
    /// For how many seconds.
    pub lasted: u64,
    /// Why it is unhealthy; of one that recovered, why it was.
    pub reason: Option<Failure>,
}

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The member became OFFLINE.
    Unhealthy,
    /// It became ONLINE after it was OFFLINE.
    Recovered,
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unhealthy => "unhealthy",
            Self::Recovered => "recovered",
        })
    }
}

/// Which events are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsRequest {
    /// Those to come too, until the answer is not wanted any more.
    #[serde(default)]
    pub follow: bool,
    /// Only those of a pool.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pool: Option<String>,
    /// Only those of a member: its name, its address, or both address and port.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub member: Option<String>,
}

impl EventsRequest {
    /// Whether it is about an event.
    pub fn wants(&self, event: &MemberEvent) -> bool {
        self.is_about(&event.member.label())
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
    Event(Box<MemberEvent>),
    /// So many more came faster than they were taken.
    Missed(u64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_chooses_by_pool_and_member() {
        let event = MemberEvent {
            time: "2026-01-02T03:04:05.678Z".to_owned(),
            event: EventKind::Unhealthy,
            member: MemberRef::new((None, "web"), None, Some("web-1"), ([10, 0, 0, 11], 80).into()),
            from: OperatingStatus::Online,
            lasted: 7,
            reason: None,
        };
        let wants = |pool: Option<&str>, member: Option<&str>| {
            let (pool, member) = (pool.map(str::to_owned), member.map(str::to_owned));
            EventsRequest { follow: false, pool, member }.wants(&event)
        };
        assert!(wants(None, None) && wants(Some("web"), Some("web-1")));
        assert!(wants(None, Some("10.0.0.11")) && wants(None, Some("10.0.0.11:80")));
        assert!(!wants(Some("dns"), None) && !wants(None, Some("web-2")));
        assert!(!wants(None, Some("10.0.0.11:81")) && !wants(None, Some("10.0.0.1")));
        let text = serde_json::to_string(&EventsLine::Event(Box::new(event.clone()))).unwrap();
        assert_eq!(
            serde_json::from_str::<EventsLine>(&text).unwrap(),
            EventsLine::Event(Box::new(event))
        );
    }
}
