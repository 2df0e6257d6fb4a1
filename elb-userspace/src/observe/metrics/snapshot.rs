//! What the agent knows, apart from counters of packets, as it was at one moment. It is written down by the agent's
//! loop and read by who scrapes.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::histogram::Histogram;
use crate::health::reason::ReasonCode;
use crate::kernel::bpf::CounterMaps;
use crate::model::ResourceId;

/// Statuses of members, in the order of [`Statuses`].
pub const STATUSES: [&str; 6] =
    ["ONLINE", "OFFLINE", "INITIAL", "NO_MONITOR", "DRAINING", "REMOVED"];
/// Members of each of [`STATUSES`].
pub type Statuses = [u32; STATUSES.len()];

/// What the agent knows.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// When it was written down, by the clock that no one sets.
    pub taken: Instant,
    /// The same for people.
    pub time: SystemTime,
    /// Why the agent does not serve yet or any more; none: it does.
    pub not_ready: Option<String>,
    /// Members from which on they have no metrics of their own.
    pub most_members: usize,
    /// How many members there are.
    pub all_members: usize,
    /// The agent and its host.
    pub agent: AgentFigures,
    /// In the order of the configuration.
    pub load_balancers: Vec<LoadBalancerFigures>,
    /// In the order of the configuration.
    pub listeners: Vec<ListenerFigures>,
    /// In the order of the configuration.
    pub pools: Vec<PoolFigures>,
    /// By pool; none if there are too many.
    pub members: Vec<MemberFigures>,
    /// The maps that packets count in; none: they cannot be opened.
    pub counters: Option<Arc<CounterMaps>>,
}

/// The agent and its host.
#[derive(Clone, Debug)]
pub struct AgentFigures {
    /// Whether maps were taken over.
    pub adopted: bool,
    /// Whether the whole file is served.
    pub is_file_served: bool,
    /// When what is served was read.
    pub loaded: SystemTime,
    /// Problems, by kind.
    pub problems: [(&'static str, usize); 3],
    /// Interfaces: name, mode, whether the program is there.
    pub interfaces: Vec<(String, &'static str, bool)>,
    /// How late probes started.
    pub lateness: Histogram,
    /// Probes under way, and how many may be.
    pub probes: (usize, usize),
    /// From verdicts to packets.
    pub verdicts: Histogram,
    /// Bringing the maps in step.
    pub publications: Histogram,
    /// How long it took to compute what the maps must hold, where rings changed.
    pub ring_builds: Histogram,
    /// Writes and failures, by map.
    pub writes: BTreeMap<&'static str, Writes>,
    /// Entries and capacity, by map.
    pub maps: Vec<(&'static str, usize, u32)>,
    /// Who traces.
    pub tracers: usize,
    /// The flow log.
    pub flow_log: FlowLogFigures,
    /// Samples by sFlow.
    pub sflow: SflowFigures,
    /// Ports of source addresses, and how many are in use; none: there are no such addresses.
    pub source_ports: Option<(u32, u32)>,
    /// Events, by kind.
    pub events: [(&'static str, u64); 8],
    /// Lines of the log, by level.
    pub logged: [(&'static str, u64); 4],
    /// Lines that were lost.
    pub lost_lines: u64,
    /// Requests to the API with wrong credentials.
    pub wrong_credentials: u64,
    /// Refused calls of the API without an audit record.
    pub unrecorded: u64,
    /// Requests to the API.
    pub api: ApiFigures,
    /// The store of the API, where there is one.
    pub store: Option<StoreFigures>,
}

/// Requests to the API over TCP, since the agent started.
#[derive(Clone, Debug, Default)]
pub struct ApiFigures {
    /// By operation, and in the order of [`CLASSES`].
    pub requests: BTreeMap<&'static str, [u64; CLASSES.len()]>,
    /// How long they took, by method.
    pub durations: BTreeMap<&'static str, Histogram>,
}

/// What became of a request: it was answered, it was wrong, it failed.
pub const CLASSES: [&str; 3] = ["ok", "refused", "failed"];
/// Upper ends of the classes of requests by duration, in seconds.
pub const REQUEST_ENDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// The store of the API.
#[derive(Clone, Debug)]
pub struct StoreFigures {
    /// Commits by duration.
    pub commits: Histogram,
    /// Bytes of its file and of its log.
    pub bytes: u64,
    /// When it was copied last.
    pub copied: Option<SystemTime>,
}

/// The flow log.
#[derive(Clone, Copy, Debug)]
pub struct FlowLogFigures {
    /// Whether it is on.
    pub is_on: bool,
    /// Events, by kind.
    pub events: [(&'static str, u64); 3],
    /// Those that were lost, by cause.
    pub lost: [(&'static str, u64); 3],
}

/// Samples by sFlow.
#[derive(Clone, Copy, Debug)]
pub struct SflowFigures {
    /// Whether they are sent.
    pub is_on: bool,
    /// Those that were sent, by kind.
    pub samples: [(&'static str, u64); 2],
    /// Those that were lost, by cause.
    pub lost: [(&'static str, u64); 3],
}

/// Writes to a map.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Writes {
    /// All of them.
    pub all: u64,
    /// Those that failed.
    pub failed: u64,
}

/// A load balancer.
#[derive(Clone, Debug)]
pub struct LoadBalancerFigures {
    /// Its name.
    pub name: String,
    /// Members behind it.
    pub members: Statuses,
}

/// A listener.
#[derive(Clone, Debug)]
pub struct ListenerFigures {
    /// Name of its load balancer.
    pub load_balancer: String,
    /// Its name.
    pub name: String,
    /// Which resource it is.
    pub id: ResourceId,
    /// Its protocol.
    pub protocol: &'static str,
    /// Its port, or ports.
    pub ports: String,
    /// Its addresses.
    pub vips: Vec<IpAddr>,
    /// Its default pool.
    pub pool: String,
    /// Whether another pool stands in; none: there is none that could.
    pub fallback_used: Option<bool>,
    /// The number that packets know it by.
    pub number: Option<u16>,
    /// Whether it serves.
    pub is_up: bool,
    /// Whether its connections are counted.
    pub is_tracked: bool,
    /// Whether answers of members come back through this host, in some pool that may serve it.
    pub is_answered_here: bool,
    /// Concurrent connections, and new ones a second, that it may have; 0: any.
    pub limits: (u32, u32),
}

/// A pool.
#[derive(Clone, Debug)]
pub struct PoolFigures {
    /// Its name.
    pub name: String,
    /// Whether its flows are of TCP.
    pub is_tcp: bool,
    /// Whether answers of its members come back through this host.
    pub is_answered_here: bool,
    /// Its members.
    pub members: Statuses,
    /// Listeners that it serves.
    pub listeners: usize,
    /// Whether its backup members are used; none: it has none, or its ring waits.
    pub backup_used: Option<bool>,
    /// Slots of its ring.
    pub slots: u32,
    /// Slots that are not settled; none: not known yet.
    pub moving: Option<u32>,
    /// Slots that changed their owner.
    pub moved: u64,
    /// Probes of its members.
    pub probes: PoolProbes,
}

/// Upper ends of the classes of probes by duration, in seconds.
pub const PROBE_ENDS: &[f64] =
    &[0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];
/// The same for verdicts, and for publications.
pub const PUBLISH_ENDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

/// Probes of a pool's members, since the agent started.
#[derive(Clone, Debug)]
pub struct PoolProbes {
    /// What is probed.
    pub kind: &'static str,
    /// How long they took.
    pub durations: Histogram,
    /// Those that failed, in the order of [`ReasonCode::ALL`].
    pub failures: [u64; ReasonCode::ALL.len()],
}

impl PoolProbes {
    /// Probes of a kind, none yet.
    pub fn new(kind: &'static str) -> Self {
        let durations = Histogram::new(PROBE_ENDS);
        Self { kind, durations, failures: [0; ReasonCode::ALL.len()] }
    }
}

/// A member.
#[derive(Clone, Debug)]
pub struct MemberFigures {
    /// Index of its pool in [`Snapshot::pools`].
    pub pool: usize,
    /// Its name.
    pub name: String,
    /// Which resource it is.
    pub id: ResourceId,
    /// Its address and port.
    pub socket: SocketAddr,
    /// The number that packets know it by.
    pub number: Option<u16>,
    /// Its weight.
    pub weight: u32,
    /// Its due part of new connections.
    pub share: f64,
    /// Whether its next hop is known.
    pub is_reachable: bool,
    /// Whether its connections are counted.
    pub is_tracked: bool,
    /// Concurrent connections that it may have; 0: any.
    pub max_connection: u32,
    /// Whether it is healthy.
    pub is_healthy: bool,
    /// Since when its health is what it is.
    pub since: SystemTime,
    /// Times that it turned OFFLINE, and ONLINE again.
    pub turned: (u64, u64),
    /// Its probes, and those that failed.
    pub probes: (u64, u64),
    /// How long the last one took; none: there was none.
    pub last_probe: Option<Duration>,
}
