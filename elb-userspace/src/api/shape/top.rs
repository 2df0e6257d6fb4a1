//! Who gets how much a second: the shape of `elb top -b -o json`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::api::shape::drops::Drops;
use crate::api::shape::events::AgentEvent;
use crate::model::MemberRef;

/// What happened between two looks at the agent. A rate is left out where it is not known: of what was
/// not there at the first look, and of counters that began anew with another agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TopReport {
    /// When the second look was, RFC 3339, UTC, milliseconds.
    pub time: String,
    /// Seconds between the two.
    pub seconds: f64,
    /// The agent and its host.
    pub agent: TopAgent,
    /// All together.
    pub total: TopTotal,
    /// Listeners; this and the following lists are left out where another view was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub listeners: Option<Vec<ListenerRate>>,
    /// Pools.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pools: Option<Vec<PoolRate>>,
    /// Members.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub members: Option<Vec<MemberRate>>,
    /// Packets that were not forwarded.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub drops: Option<Vec<Drops>>,
    /// Members that turned unhealthy or recovered, the oldest first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub events: Option<Vec<AgentEvent>>,
}

/// The agent and its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TopAgent {
    /// Name of the host.
    pub host: String,
    /// Version of the agent.
    pub version: String,
    /// When it started, RFC 3339, UTC.
    pub started: String,
    /// "native" or "generic".
    pub attach_mode: String,
    /// Whether the interfaces carry the program that traces packets, which costs more.
    pub traced: bool,
    /// What is wrong; empty: nothing.
    pub problems: Vec<String>,
}

/// Packets and bytes a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    /// Packets forwarded a second.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub packets_per_second: Option<f64>,
    /// Bytes of those a second, as received.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes_per_second: Option<f64>,
    /// Packets of members a second that come back through this host; left out where none do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reply_packets_per_second: Option<f64>,
    /// Bytes of those a second, as received.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reply_bytes_per_second: Option<f64>,
    /// TCP connections that members accept a second; left out where their answers do not come back through this host.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub accepted_per_second: Option<f64>,
    /// Resets of members a second; left out where those are.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resets_per_second: Option<f64>,
}

/// All listeners and members together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TopTotal {
    /// Of all listeners.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// New connections a second, the mean of up to a minute.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new_connections_per_second: Option<f64>,
    /// Packets a second that were dropped, whatever the reason.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub dropped_per_second: Option<f64>,
    /// Members, those that were removed aside.
    pub members: usize,
    /// Those that are ONLINE, or NO_MONITOR.
    pub members_up: usize,
    /// Those that are OFFLINE.
    pub members_down: usize,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListenerRate {
    /// Name of its load balancer.
    pub load_balancer: String,
    /// Its name.
    pub name: String,
    /// ONLINE, DEGRADED or DISABLED.
    pub operating_status: String,
    /// TCP or UDP.
    pub protocol: String,
    /// Virtual addresses.
    pub vips: Vec<std::net::IpAddr>,
    /// Port, ranges of ports, or "any".
    pub ports: String,
    /// What it forwards.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// Connections that are open, where they are counted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connections: Option<u32>,
    /// Most concurrent connections; 0: no limit.
    pub max_connection: u32,
    /// Name of the pool that serves it.
    pub default_pool: String,
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolRate {
    /// Its name.
    pub name: String,
    /// How a new flow chooses its member.
    pub lb_algorithm: String,
    /// nat, l2, ipip or gue.
    pub forwarding: String,
    /// Listeners that it serves.
    pub listeners: usize,
    /// Members, those that were removed aside.
    pub members: usize,
    /// Those that are ONLINE, or NO_MONITOR.
    pub members_up: usize,
    /// Slots of its ring.
    pub slots: u32,
    /// Slots whose former owner may still have flows.
    pub moving_slots: u32,
    /// What its members get.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// New connections a second, the mean of up to a minute.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new_connections_per_second: Option<f64>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemberRate {
    /// Which one.
    #[serde(flatten)]
    pub member: MemberRef,
    /// As `elb status` says it.
    pub operating_status: String,
    /// Since when, RFC 3339, UTC.
    pub since: String,
    /// Weight.
    pub weight: u32,
    /// The part of new flows that is due to it, 0 to 1.
    pub share: f64,
    /// The part of the new TCP connections of up to a minute that it really got, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub got: Option<f64>,
    /// What it gets.
    #[serde(flatten)]
    pub traffic: Traffic,
    /// New connections a second, the mean of up to a minute.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new_connections_per_second: Option<f64>,
    /// Open connections, where the pool counts them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connections: Option<u32>,
    /// Why it is OFFLINE or cannot be reached; empty: it is neither.
    pub reason: String,
}
