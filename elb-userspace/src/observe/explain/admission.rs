//! Whether a listener lets a packet in, and by what.

use std::fmt;

use elb_common::listener::{self, listener_flags as flags};
use elb_common::path::Asked;
use elb_common::reason::Reason;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::observe::names::Names;

/// Whether a listener lets a packet in. What it was not asked for is `None`: packets that open no
/// flow are not judged, nor is there more to judge after a refusal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Admission {
    /// If not, the decision has the reason.
    pub admitted: bool,
    /// The IP group that the client was looked for in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ipgroup: Option<GroupAdmission>,
    /// The limit on concurrent connections.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_connection: Option<Concurrent>,
    /// The limit on new connections a second.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cps: Option<Rate>,
}

/// An IP group of a listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GroupAdmission {
    /// Its name.
    pub name: String,
    /// What it is for the listener.
    #[serde(rename = "type")]
    pub list: List,
    /// Whether it holds the client's address.
    pub holds_client: bool,
}

/// What an IP group is for a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum List {
    /// Only clients in it open flows.
    White,
    /// Clients in it open none.
    Black,
}

/// Concurrent connections of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Concurrent {
    /// How many there may be, at least 1.
    pub limit: u32,
    /// How many are open.
    pub open: u32,
}

/// New connections of a listener a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rate {
    /// How many there may be, at least 1.
    pub limit: u32,
    /// Whether so many have opened this second.
    pub reached: bool,
}

impl Admission {
    #[allow(clippy::wildcard_enum_match_arm, reason = "some of the questions are about this")]
    pub(super) fn new(
        asked: &[Asked<'_>],
        reason: Option<Reason>,
        listener: &listener::Listener,
        names: &Names,
    ) -> Self {
        use Reason::{AccessDenied, ConnectionLimit, Cut, CutAnswered, Disabled, RateLimited};
        let refused =
            [Disabled, AccessDenied, RateLimited, ConnectionLimit, Cut, CutAnswered].map(Some);
        let is_white = listener.flags & flags::WHITELIST != 0;
        let mut admission = Self { admitted: !refused.contains(&reason), ..Self::default() };
        for asked in asked {
            match *asked {
                Asked::GroupV4(_, holds_client) | Asked::GroupV6(_, holds_client) => {
                    let name = names.ip_group(listener.group);
                    let list = if is_white { List::White } else { List::Black };
                    admission.ipgroup = Some(GroupAdmission { name, list, holds_client });
                }
                Asked::ListenerConnections(_, open) => {
                    let limit = listener.max_connections;
                    admission.max_connection = Some(Concurrent { limit, open });
                }
                Asked::MayOpen(_, may) => {
                    admission.cps = Some(Rate { limit: listener.cps, reached: !may });
                }
                _ => {}
            }
        }
        if matches!(reason, Some(Cut | CutAnswered)) {
            // The IP group may let the client in: then an operator cut this one connection.
            let group = admission.ipgroup.as_ref();
            admission.admitted = group.is_none_or(|group| group.holds_client == is_white);
        }
        admission
    }
}

impl fmt::Display for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.admitted { "admitted" } else { "refused" })?;
        if let Some(GroupAdmission { name, list, holds_client }) = &self.ipgroup {
            let list = if *list == List::White { "whitelist" } else { "blacklist" };
            let holds = if *holds_client { "holds" } else { "does not hold" };
            write!(f, ", its {list} {name} {holds} the client")?;
        }
        if let Some(Concurrent { limit, open }) = self.max_connection {
            write!(f, ", {open} connections of at most {limit} are open")?;
        }
        if let Some(Rate { limit, reached }) = self.cps {
            let fewer = if reached { "already" } else { "fewer than" };
            write!(f, ", {fewer} {limit} connections, the most, have opened this second")?;
        }
        Ok(())
    }
}
