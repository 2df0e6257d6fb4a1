//! The agent in a status: what it runs with, and what it keeps and lacks.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::health::lateness::Class;

/// The agent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Whether the interfaces carry the program that traces packets, which costs more.
    #[serde(default)]
    pub traced: bool,
    /// The flow log; none: it is off.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub flow_log: Option<FlowLogStatus>,
    /// Samples by sFlow; none: none are sent.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sflow: Option<SflowStatus>,
    /// Source addresses of pools with fullnat; none: there are none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub snat: Option<SnatStatus>,
    /// Prefix of the addresses that members of pools with nat46 see in the place of clients'; none: there is none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client_prefix: Option<String>,
    /// What the V3 API refused; none: it is not served.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub api: Option<ApiRefusals>,
    /// Interfaces that carry the program.
    pub interfaces: Vec<String>,
    /// The configuration file.
    pub config: PathBuf,
    /// When the configuration that is served was loaded, RFC 3339, UTC.
    pub loaded: String,
    /// Its number, which rises by one whenever another text is taken over, also across restarts.
    #[serde(default)]
    pub generation: u64,
    /// When all of it was in the maps, RFC 3339, UTC, milliseconds; none: something is not yet (`elb reload
    /// --wait` says what).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub published: Option<String>,
    /// Why no member is probed by a virtual address, if so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub no_vip_probes: Option<String>,
    /// What is wrong: the file, as last read, the maps, as last written, or what the agent keeps in its
    /// host. Empty: nothing.
    pub problems: Vec<String>,
    /// Writes to the maps that failed, since the agent started. Each is tried again.
    #[serde(default)]
    pub failed_writes: u64,
    /// Tasks of the agent that panicked, since it started. Each was begun again.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub panics: Vec<Panics>,
    /// Where events are sent.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub notify: Vec<WebhookStatus>,
    /// What the agent keeps in its host.
    #[serde(default)]
    pub kept: Vec<KeptStatus>,
    /// How the members are probed.
    pub probing: Probing,
}

/// Source addresses, and how many of their ports flows have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnatStatus {
    /// The prefix.
    pub v4: String,
    /// Ports that flows may have, of all addresses.
    pub ports: u32,
    /// Ports that are in use, a few seconds ago at most.
    pub used: u32,
}

/// What the V3 API refused, since the agent started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiRefusals {
    /// Requests with wrong credentials.
    pub wrong_credentials: u64,
    /// Refused calls without an audit record, since their key had too many in a short time.
    pub unrecorded: u64,
}

/// The flow log, while it is on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowLogStatus {
    /// Where lines go.
    pub to: String,
    /// events or connections.
    pub form: String,
    /// TCP connections that clients opened, since the agent started, while the log was on.
    pub opens: u64,
    /// The same of connections that clients ended.
    pub ends: u64,
    /// The same of packets that were refused.
    pub refusals: u64,
    /// Lines that were written.
    pub written: u64,
    /// What is not in the log.
    pub missed: FlowLogLost,
    /// Why the last lines were not written, if so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_failure: Option<String>,
}

/// What is not in the flow log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowLogLost {
    /// Events beyond `events_per_second`.
    pub rate: u64,
    /// Events that found the kernel's ring full.
    pub ring: u64,
    /// Lines that could not be written.
    pub sink: u64,
}

/// Samples of packets by sFlow, while they are sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SflowStatus {
    /// Who gets them.
    pub collector: String,
    /// One of so many packets is a sample; 0: none is.
    pub sampling_rate: u32,
    /// Sampled packets that were sent, since the agent started.
    pub samples: u64,
    /// The same of refused packets.
    pub discards: u64,
    /// What was not sent.
    pub lost: SflowLost,
    /// Why the last samples were not sent, if so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_failure: Option<String>,
}

/// Sampled and refused packets that the collector does not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SflowLost {
    /// Beyond what the kernel writes down in a second, or without room there.
    pub kernel: u64,
    /// Refused packets beyond `discards_per_second`.
    pub limit: u64,
    /// What this host could not send, or the collector's host refused after it was sent.
    pub unsent: u64,
}

/// A task of the agent that panicked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Panics {
    /// The task.
    pub task: String,
    /// How often.
    pub count: u64,
    /// What it said the last time.
    pub last: String,
}

/// A webhook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WebhookStatus {
    /// Where events are sent.
    pub url: String,
    /// Events that arrived.
    pub sent: u64,
    /// Events that did not: refused, or no answer in time. None is repeated.
    pub failed: u64,
    /// Events that were not even tried, since too many waited.
    pub lost: u64,
    /// Why the last one did not arrive, if it did not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_failure: Option<String>,
}

/// Something that the agent keeps in its host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeptStatus {
    /// What it is.
    pub object: String,
    /// Whether it is as wanted.
    pub in_place: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// How often it was restored since the agent started.
    pub restored: u64,
    /// When it was last, RFC 3339, UTC.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_restored: Option<String>,
    /// What was missing then.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub was_missing: Option<String>,
}

/// How the members are probed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Probing {
    /// Probes under way.
    pub under_way: usize,
    /// Most that may be at once, by the limit of open files.
    pub most: usize,
    /// Milliseconds that 99 of 100 probes, since the agent started, were not later than; none: later
    /// than the last class says.
    pub late_p99_ms: Option<u64>,
    /// Milliseconds that the latest one was late.
    pub late_most_ms: u64,
    /// Probes since the agent started, by how late they were.
    pub lateness: Vec<Class>,
}
