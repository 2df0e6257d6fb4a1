//! What the agent tells about itself and what it serves: the shape of `elb status -o json`.

use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Everything.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The agent.
    pub agent: Agent,
    /// Load balancers with all below them.
    pub load_balancers: Vec<LoadBalancer>,
    /// Pools that no listener uses.
    pub unused_pools: Vec<Pool>,
    /// Packets that were not forwarded, by reason; reasons that no packet met are left out.
    pub not_forwarded: Vec<Reason>,
}

/// The agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agent {
    /// Version of the binary.
    pub version: String,
    /// Process id.
    pub pid: u32,
    /// When it started, RFC 3339, UTC.
    pub started: String,
    /// Whether it took over from an earlier agent.
    pub adopted: bool,
    /// "native" or "generic".
    pub attach_mode: String,
    /// Interfaces that carry the program.
    pub interfaces: Vec<String>,
    /// The configuration file.
    pub config: PathBuf,
    /// When the configuration that is served was loaded, RFC 3339, UTC.
    pub loaded: String,
    /// What is wrong: the file, as last read, or the maps, as last written. Empty: nothing.
    pub problems: Vec<String>,
}

/// A load balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LoadBalancer {
    /// Name.
    pub name: String,
    /// Virtual addresses.
    pub vips: Vec<IpAddr>,
    /// ONLINE, DEGRADED (a member below is OFFLINE) or DISABLED.
    pub operating_status: String,
    /// Listeners.
    pub listeners: Vec<Listener>,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Listener {
    /// Name.
    pub name: String,
    /// TCP or UDP.
    pub protocol: String,
    /// Port; 0 for `port_ranges` or, if there are none, for any.
    pub protocol_port: u16,
    /// Ranges of ports, as in "1000-1010".
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub port_ranges: Vec<String>,
    /// ONLINE, DEGRADED or DISABLED.
    pub operating_status: String,
    /// Packets forwarded.
    pub packets: u64,
    /// Bytes of those, as received.
    pub bytes: u64,
    /// Who may open connections, if not everybody.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ipgroup: Option<AccessControl>,
    /// Most new connections a second; 0: no limit.
    pub cps: u32,
    /// Most concurrent connections; 0: no limit.
    pub max_connection: u32,
    /// Connections that are open, where the pool records all.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connections: Option<u32>,
    /// The pool that serves it.
    pub pool: Pool,
}

/// Access control of a listener.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessControl {
    /// Name of the IP group.
    pub ipgroup: String,
    /// "white": only its members open connections; "black": they open none.
    #[serde(rename = "type")]
    pub list: String,
    /// Whether that is so.
    pub enable_ipgroup: bool,
    /// Networks of the group.
    pub networks: usize,
}

/// A pool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Name.
    pub name: String,
    /// l2, ipip or gue.
    pub forwarding: String,
    /// How a new flow chooses its member, as the ring in use has it.
    pub lb_algorithm: String,
    /// Slots of its ring.
    pub slots: u32,
    /// Slots whose former owner may still have flows.
    pub moving_slots: u32,
    /// Slots of the ring before, as long as flows may live that only that one knows.
    pub former_slots: u32,
    /// Members.
    pub members: Vec<Member>,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Name.
    pub name: String,
    /// Address.
    pub address: IpAddr,
    /// Port, 0 for any.
    pub protocol_port: u16,
    /// Weight.
    pub weight: u32,
    /// NO_MONITOR, INITIAL, ONLINE or OFFLINE; DRAINING for one that is drained by command, REMOVED
    /// for one that only serves its old flows.
    pub operating_status: String,
    /// Since when, RFC 3339, UTC.
    pub since: String,
    /// Why it is OFFLINE, or what its last probe met.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<serde_json::Value>,
    /// Why no packet can be sent to it, if so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unreachable: Option<String>,
    /// Slots of the ring that it owns.
    pub slots: u32,
    /// The part of new flows that it gets, 0 to 1; with LEAST_CONNECTIONS, in the long run.
    pub share: f64,
    /// Open connections, where the pool counts them.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connections: Option<u32>,
    /// Seconds until the flows that it has are cut, if they are to be.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cut_in: Option<u32>,
    /// Packets it got.
    pub packets: u64,
    /// Bytes of those, as received by the load balancer.
    pub bytes: u64,
}

/// Packets that were not forwarded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
pub fn timestamp(time: std::time::SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
