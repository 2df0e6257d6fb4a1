//! Where a packet would go, and why: the packet path itself is asked, over whatever tables, and
//! what it asked them is put into words that people know. The shape of `elb explain -o json`.

mod admission;
mod answer;
mod binding;
mod frame;
pub mod local;
mod quic;
mod testimony;
mod translation;

use std::net::{IpAddr, SocketAddr};

use elb_common::path::Tables;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::control::flow_key::Key;
use crate::model::endpoint::Endpoint;
use crate::model::transport::TransportProtocol;
use crate::observe::names::{BackendMember, Names};
use crate::observe::packet::{Sent, Translated};

pub use admission::{Admission, Concurrent, GroupAdmission, List, Rate};
pub use answer::{Reply, ReplyKind};
pub use binding::BoundPort;
pub use quic::{Cid, ConnectionId};
pub(crate) use testimony::{chose_backend, fate};
pub use translation::{EndpointRecord, NotedFlow, WayBack, WayKind};

/// A packet to explain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainRequest {
    /// The client, or, of an answer, the member; without a port, [`DEFAULT_PORT`].
    pub src: Endpoint,
    /// The virtual address and port, or, of an answer, the client.
    pub dst: SocketAddr,
    /// The transport protocol.
    pub proto: TransportProtocol,
    /// Whether the packet opens a TCP connection.
    #[serde(default)]
    pub syn: bool,
    /// What its connection id of QUIC begins with; only for UDP. The packet is one of a connection
    /// under way then (1-RTT, RFC 9000 §17.3.1), else it has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cid: Option<Cid>,
    /// Length of the IP packet; by default no longer than its headers, those of QUIC included.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub size: Option<u16>,
    /// The interface that it comes by; by default that of the member whose answer it is, or else the first that
    /// carries the program.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub interface: Option<String>,
}

/// The port of a client that none was named for.
pub const DEFAULT_PORT: u16 = 50_000;

/// Where the packet comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ingress {
    /// Index of the interface.
    pub index: u32,
    /// Its Ethernet address.
    pub mac: [u8; 6],
    /// The sender's.
    pub sender: [u8; 6],
}

impl Ingress {
    /// Where packets of clients come in, whose Ethernet addresses do not matter.
    pub const fn of_clients(index: u32, mac: [u8; 6]) -> Self {
        // One that is administered locally.
        Self { index, mac, sender: [2, 0, 0, 0, 0, 0] }
    }
}

/// What becomes of a packet, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Explanation {
    /// The packet.
    pub packet: ExplainedPacket,
    /// What becomes of it.
    pub decision: Decision,
    /// The listener that it is for; `None`: none was found.
    pub listener: Option<MatchedListener>,
    /// Whether the listener lets it in; `None`: it did not come so far.
    pub admission: Option<Admission>,
    /// What the listener reads of the packet's connection id of QUIC; `None`: it goes by none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub connection_id: Option<ConnectionId>,
    /// Its place in the pool's ring; `None`: it did not come so far, or its connection id decided.
    pub slot: Option<Slot>,
    /// The member that the packet's connection id of QUIC names.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub named: Option<BackendMember>,
    /// What the flow table says; `None`: it was not asked.
    pub flow: Option<FlowEntry>,
    /// For which member the pool remembers the client, where it is asked.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client: Option<KnownClient>,
    /// The backend that was chosen; `None`: none.
    pub backend: Option<Backend>,
    /// The record of the endpoint that it is from, if it may be the answer of a member that packets are translated to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub endpoint: Option<EndpointRecord>,
    /// What is noted of its flow, where that is of another listener than the member's endpoint stands for, or of none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub noted: Option<NotedFlow>,
    /// The port of a source address that its flow has, where its pool forwards by `fullnat`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bound: Option<BoundPort>,
    /// The way back to the client, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub way_back: Option<WayBack>,
    /// Its addresses and ports afterwards, if they are others.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub translated: Option<Translated>,
    /// How it is sent on; `None`: it is not.
    pub sent: Option<Sent>,
    /// What its sender gets instead; `None`: nothing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answer: Option<Reply>,
}

/// The packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExplainedPacket {
    /// The interface that it comes by.
    pub interface: String,
    /// The client, or, of an answer, the member.
    pub source: SocketAddr,
    /// The virtual address and port, or, of an answer, the client.
    pub destination: SocketAddr,
    /// The transport protocol.
    pub protocol: TransportProtocol,
    /// Whether it opens a TCP connection.
    pub syn: bool,
    /// What its connection id of QUIC begins with, in hex; `None`: it has none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cid: Option<Cid>,
    /// Length of the IP packet in bytes.
    pub length: u32,
}

/// What becomes of a packet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// forwarded, passed, dropped or answered.
    pub fate: String,
    /// Why it is not forwarded: the reason's stable name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// What that means.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub meaning: Option<String>,
    /// What to do about it; `None` where nothing is wrong.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fix: Option<String>,
}

/// A listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MatchedListener {
    /// Its number in the maps.
    pub id: u16,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// Its port, 0 for any.
    pub port: u16,
    /// Whether it, or its load balancer, is administratively down.
    pub disabled: bool,
    /// The pool that serves it.
    pub pool: String,
    /// How flows are spread: the V3 API's name.
    pub algorithm: String,
    /// Whether every flow is tracked, because members take turns.
    pub tracked: bool,
}

/// A place in a ring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Slot {
    /// The hash of the flow, or of the part of its connection id that counts.
    pub hash: u32,
    /// The slot, counted from 0.
    pub index: u32,
    /// Slots of the ring.
    pub of: u32,
    /// Whether its former owner may have flows that are not recorded.
    pub moving: bool,
    /// Whether recorded flows may go to others than its owner, and all others go to that.
    #[serde(default)]
    pub exceptions: bool,
    /// Who owns it.
    pub owner: Option<BackendMember>,
    /// Who owned it before, while it is moving.
    pub former_owner: Option<BackendMember>,
}

/// What the flow table says, where it is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FlowEntry {
    /// Whom the flow is recorded for; `None`: it is not recorded.
    pub recorded: Option<BackendMember>,
    /// Seconds since its last packet.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub idle: Option<u32>,
    /// Whom this packet would record the flow for; `None`: it would record nothing.
    pub records: Option<BackendMember>,
    /// Whether there is no room for its record: the listener has its share of the flow table.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub no_room: bool,
    /// Whether it may have a record that is still being carried over to these maps.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub carried_over: bool,
}

/// What a pool with `session_persistence` remembers of a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KnownClient {
    /// Who serves it; `None`: it is not known.
    pub served_by: Option<BackendMember>,
    /// Seconds since its last packet that was noted: of a connection, one a second is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ago: Option<u32>,
    /// Seconds without a packet after which it is forgotten.
    pub timeout: u32,
    /// Whether that is why the member was chosen.
    pub decides: bool,
}

/// A backend that was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Backend {
    /// Who it is.
    #[serde(flatten)]
    pub member: BackendMember,
    /// nat, l2, ipip or gue.
    pub forwarding: String,
    /// Whether its next hop is known.
    pub reachable: bool,
    /// The interface towards it.
    pub interface: String,
    /// Ethernet address of the next hop.
    pub next_hop_mac: String,
    /// Longest IP packet on the way, outer header included.
    pub mtu: u16,
}

/// Asks the packet path. What it writes goes to `tables`. With the explanation, the key that a
/// record of the flow was found under.
///
/// # Errors
/// The question contradicts itself.
pub fn explain(
    question: &ExplainRequest,
    ingress: Ingress,
    tables: &impl Tables,
    names: &Names,
) -> Result<(Explanation, Option<Key>), String> {
    let packet = ExplainedPacket {
        interface: names.interface(ingress.index),
        source: SocketAddr::new(question.src.address, question.src.port.unwrap_or(DEFAULT_PORT)),
        destination: question.dst,
        protocol: question.proto,
        syn: question.syn,
        cid: question.cid,
        length: 0,
    };
    let frame = frame::build(&packet, question.size, ingress)?;
    Ok(testimony::of(packet, &frame, ingress.index, tables, names))
}

#[cfg(test)]
mod tests;
