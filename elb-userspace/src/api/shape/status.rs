//! What the agent tells about itself and what it serves: the shape of `elb status -o json`.

mod agent;
mod replies;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::agent::{
    Agent, ApiRefusals, FlowLogLost, FlowLogStatus, KeptStatus, Panics, Probing, SflowLost,
    SflowStatus, SnatStatus, WebhookStatus,
};
pub use self::replies::{Replies, ReplyRate};
use crate::control::reconcile::{Fallback, Reserve, Rising};
use crate::health::Failure;
use crate::health::history::ProbeCounts;
use crate::model::{MemberRef, ResourceId};

/// How much is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRequest {
    /// With the last probes of each member.
    #[serde(default)]
    pub probes: bool,
    /// Without what is of one member rather than of all: its status for each listener, its probes and their
    /// paths.
    #[serde(default)]
    pub brief: bool,
    /// Only what has these names, one a line: load balancers, listeners, pools, members; empty: everything.
    #[serde(default)]
    pub names: String,
    /// Only what something is wrong with.
    #[serde(default)]
    pub problems: bool,
    /// Of that, only these load balancers with what belongs to them, one name a line; empty: all.
    #[serde(default)]
    pub load_balancers: String,
    /// The same by listeners.
    #[serde(default)]
    pub listeners: String,
    /// The same by pools.
    #[serde(default)]
    pub pools: String,
}

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The agent.
    pub agent: Agent,
    /// Load balancers with their listeners.
    pub load_balancers: Vec<LoadBalancerStatus>,
    /// Pools with their members; each is there once, however many listeners it serves.
    pub pools: Vec<PoolStatus>,
    /// Packets that were not forwarded, by reason; reasons that no packet met are left out.
    pub not_forwarded: Vec<Reason>,
}

impl Status {
    /// The pool called `name`.
    pub fn pool(&self, name: &str) -> Option<&PoolStatus> {
        self.pools.iter().find(|pool| pool.name == name)
    }
}

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LoadBalancerStatus {
    /// Id; none from an agent of an earlier version.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<ResourceId>,
    /// Name.
    pub name: String,
    /// Virtual addresses.
    pub vips: Vec<IpAddr>,
    /// ONLINE, DEGRADED (a member below is OFFLINE, or something is missing in this host) or DISABLED.
    pub operating_status: String,
    /// Listeners.
    pub listeners: Vec<ListenerStatus>,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ListenerStatus {
    /// Id; none from an agent of an earlier version.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<ResourceId>,
    /// Name.
    pub name: String,
    /// TCP or UDP.
    pub protocol: String,
    /// Port; 0 for `port_ranges` or, if there are none, for any.
    pub protocol_port: u16,
    /// Ranges of ports, as in "1000-1010".
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub port_ranges: Vec<String>,
    /// ONLINE, DEGRADED (a member is OFFLINE, or none takes new flows) or DISABLED.
    pub operating_status: String,
    /// Packets forwarded.
    pub packets: u64,
    /// Bytes of those, as received.
    pub bytes: u64,
    /// What members answered, where their packets come back through this host.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replies: Option<Replies>,
    /// How fast these counts rise, with --rate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rate: Option<MeasuredRate>,
    /// Who may open connections, if not every client.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ipgroup: Option<AccessStatus>,
    /// Most new connections a second; 0: no limit.
    pub cps: u32,
    /// Most concurrent connections; 0: no limit.
    pub max_connection: u32,
    /// What becomes of packets while no member takes them: "drop" or "reset".
    #[serde(default)]
    pub no_member: String,
    /// Flows that found no room for a record in the flow table.
    #[serde(default)]
    pub refused_records: u64,
    /// Connections that are open, where the pool records all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connections: Option<u32>,
    /// Name of the pool that serves it, unless another one stands in.
    pub default_pool: String,
    /// How the pool stands that takes over, if there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fallback: Option<Fallback>,
}

impl ListenerStatus {
    /// Name of the pool that serves it now.
    pub fn serving_pool(&self) -> &str {
        let fallback = self.fallback.as_ref().filter(|fallback| fallback.in_use);
        fallback.map_or(&self.default_pool, |fallback| &fallback.pool)
    }
}

/// Access control of a listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AccessStatus {
    /// Name of the IP group.
    pub ipgroup: String,
    /// "white": only its members open connections; "black": they open none.
    #[serde(rename = "type")]
    pub list: String,
    /// Whether that is so.
    pub enable_ipgroup: bool,
    /// Whether connections that exist are judged, too, and cut.
    #[serde(default)]
    pub cut: bool,
    /// Networks of the group.
    pub networks: usize,
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolStatus {
    /// Id; none from an agent of an earlier version.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<ResourceId>,
    /// Name.
    pub name: String,
    /// nat, l2, ipip or gue.
    pub forwarding: String,
    /// How a new flow chooses its member, as the ring in use has it.
    pub lb_algorithm: String,
    /// Seconds without a packet for which it remembers its clients, whose connections go to one member; none: it
    /// does not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub session_persistence: Option<u32>,
    /// Slots of its ring.
    pub slots: u32,
    /// Slots whose former owner may still have flows.
    pub moving_slots: u32,
    /// Slots of the ring before, as long as flows may live that only that one knows.
    pub former_slots: u32,
    /// Listeners that it serves: none where no listener uses it.
    pub listeners: usize,
    /// Whether any member takes new flows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub takes_new: Option<bool>,
    /// How its backup members stand, if it has any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub backup: Option<Reserve>,
    /// Members, or those that were asked for.
    pub members: Vec<MemberStatus>,
}

impl PoolStatus {
    /// Whether any member takes new flows.
    pub fn takes_new(&self) -> bool {
        let any = || self.members.iter().any(|member| member.slots > 0);
        self.takes_new.unwrap_or_else(any)
    }
}

/// A member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MemberStatus {
    /// Which one.
    #[serde(flatten)]
    pub member: MemberRef,
    /// Weight.
    pub weight: u32,
    /// Of a backup member, whether it is needed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub backup: Option<Reserve>,
    /// How far it has risen to its share, if its pool has slow_start and it has not all of it yet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rising: Option<Rising>,
    /// NO_MONITOR, INITIAL, ONLINE or OFFLINE; DRAINING for one that is drained by command, REMOVED
    /// for one that only serves its old flows.
    pub operating_status: String,
    /// Since when, RFC 3339, UTC.
    pub since: String,
    /// Why it is OFFLINE, or what its last probe met.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Failure>,
    /// By which path it is probed, and what each path came to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub paths: Option<PathStatus>,
    /// What it is for each listener of its pool, or the first 16 of many.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub status: Vec<AtListener>,
    /// Listeners of its pool that are not listed.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub more_listeners: usize,
    /// What was seen of it; none of one that was removed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub health: Option<ProbeSummary>,
    /// Why no packet can be sent to it, if so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unreachable: Option<String>,
    /// Why packets to it may get lost: its next hop does not answer; the last known one is used.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub doubtful_next_hop: Option<String>,
    /// Slots of the ring that it owns.
    pub slots: u32,
    /// The part of new flows that it gets, 0 to 1; with LEAST_CONNECTIONS, in the long run.
    pub share: f64,
    /// The part of the new TCP connections that it really got.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new_connections: Option<NewConnections>,
    /// Open connections, where the pool counts them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connections: Option<u32>,
    /// Most concurrent connections; at that many it gets no new one. None: no limit.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub max_connection: Option<u32>,
    /// Seconds until the flows that it has are cut, if they are to be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cut_in: Option<u32>,
    /// Packets it got.
    pub packets: u64,
    /// Bytes of those, as received by the load balancer.
    pub bytes: u64,
    /// What it answered, where its packets come back through this host.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replies: Option<Replies>,
    /// First packets of TCP connections that it got; one that is repeated counts again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub opened: Option<u64>,
    /// How fast these counts rise, with --rate.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rate: Option<MeasuredRate>,
}

/// What came between two looks, a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MeasuredRate {
    /// Packets a second.
    pub packets: f64,
    /// Bytes a second.
    pub bytes: f64,
    /// New TCP connections a second; none where they are not known: of datagrams, and of a listener that
    /// shares its pool with others.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub new_connections: Option<f64>,
    /// The same of what members answer, where that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub replies: Option<ReplyRate>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// New connections of a member in the last minute, or since the shares of its pool last changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NewConnections {
    /// How many; a client that repeats its first packet counts again.
    pub count: u64,
    /// The part of those of its pool, 0 to 1.
    pub share: f64,
    /// Since when, RFC 3339, UTC.
    pub since: String,
}

/// What a member is for a listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AtListener {
    /// Name of the load balancer.
    pub load_balancer: String,
    /// Name of the listener.
    pub listener: String,
    /// As that of the member, which it overrides.
    pub operating_status: String,
    /// Why it differs from what probes say, if so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
}

/// What was seen of a member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeSummary {
    /// Results in a row that speak against the verdict.
    pub streak: u32,
    /// How often what happened.
    #[serde(flatten)]
    pub counts: ProbeCounts,
    /// Its last 20 probes, the oldest first; empty unless asked for.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub probes: Vec<ProbeRecord>,
}

/// A probe that is over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeRecord {
    /// When it started, RFC 3339, UTC, milliseconds.
    pub time: String,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
    /// "OK", or the reason code.
    pub result: String,
    /// Why it failed, if it did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Failure>,
}

/// By which path a member is probed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PathStatus {
    /// The path that decides: vip, or direct for the member's own address.
    pub path: String,
    /// Why it is not vip though the pool wants that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why_direct: Option<String>,
    /// What the last probe of the virtual address came to: "ok", or a reason code and what was seen.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub vip: Option<String>,
    /// The same of the member's own address, which is tried next to where the virtual one fails.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub direct: Option<String>,
    /// What it is at each virtual address, where there are several: a status, and why.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub addresses: BTreeMap<IpAddr, String>,
}

impl PathStatus {
    /// Both paths as one text, where the virtual address does not do.
    pub fn both(&self) -> Option<String> {
        let (vip, direct) = (self.vip.as_ref().filter(|vip| *vip != "ok")?, self.direct.as_ref()?);
        Some(format!("vip: {vip}, direct: {direct}"))
    }
}

/// Packets that were not forwarded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reason {
    /// Stable name.
    pub reason: String,
    /// passed, dropped or answered.
    pub fate: String,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// What it means.
    pub meaning: String,
    /// What to do about it; empty where nothing is wrong.
    pub fix: String,
}

/// RFC 3339, UTC, whole seconds.
pub fn timestamp(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(writable(time)).to_string()
}

/// RFC 3339, UTC, milliseconds.
pub fn timestamp_millis(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(writable(time)).to_string()
}

/// The nearest time that RFC 3339 can write here: a clock or a file may say anything.
fn writable(time: SystemTime) -> SystemTime {
    const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);
    time.clamp(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + LAST_SECOND)
}

#[cfg(test)]
mod tests;
