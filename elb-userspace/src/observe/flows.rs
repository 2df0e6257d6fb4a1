//! Flows that are tracked: the shape of `elb flows -o json`.

mod bound;
mod client;
pub mod cut;
mod state;

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use bound::{BoundFlow, BoundTerms};
pub use client::{Clients, NotClients};
pub use state::{FlowCounts, FlowState, Terms};

use crate::control::flow_key::Key;
use crate::observe::names::{BackendMember, Names};
use crate::observe::packet::protocol_name;

/// Which flows are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowsRequest {
    /// Those of members with this name, this address, or this address and port.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub member: Option<String>,
    /// Those of members of this pool.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pool: Option<String>,
    /// Those of these clients; connections of QUIC have none.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client: Option<Clients>,
    /// Those of the listener with this name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub listener: Option<String>,
    /// How many to list, after the summary, which counts all.
    pub limit: u64,
    /// Whether what could not be cut is asked for, too.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub cut: bool,
}

/// How many flows there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Summary {
    /// By member, those with most flows first.
    pub members: Vec<MemberFlows>,
    /// All that were asked for.
    pub flows: u64,
    /// In which states they are.
    #[serde(flatten)]
    pub counts: FlowCounts,
    /// What could be cut, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cutting: Option<cut::Reach>,
    /// Flows that each of the two tables, IPv4 and IPv6, has room for.
    pub room: u32,
}

/// How many flows a member has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MemberFlows {
    /// The member.
    pub member: BackendMember,
    /// Its flows.
    pub flows: u64,
    /// In which states they are.
    #[serde(flatten)]
    pub counts: FlowCounts,
}

/// A tracked flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TrackedFlow {
    /// What it is tracked by.
    #[serde(flatten)]
    pub identity: Identity,
    /// Who serves it.
    pub member: BackendMember,
    /// Whether it lives.
    pub state: FlowState,
    /// Seconds since its last packet.
    pub idle: u32,
    /// With fullnat, the source address and port that its member knows it by.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub as_source: Option<SocketAddr>,
}

/// What a flow is tracked by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Identity {
    /// Addresses, ports and protocol.
    FiveTuple {
        /// tcp, udp, or the IANA number.
        protocol: String,
        /// The client.
        source: SocketAddr,
        /// The virtual address and port.
        destination: SocketAddr,
    },
    /// The connection id of QUIC.
    Connection {
        /// quic.
        protocol: String,
        /// The listener.
        listener: String,
        /// Digest of the part of the connection id that the listener goes by, in hex.
        connection: String,
    },
}

impl Identity {
    /// Of the flow of a key.
    pub fn of(key: &Key, names: &Names) -> Self {
        if let Some((digest, listener)) = key.connection() {
            let (protocol, listener) = ("quic".to_owned(), names.listener(listener));
            return Self::Connection { protocol, listener, connection: format!("{digest:016x}") };
        }
        let (source, destination, protocol) = key.five_tuple();
        Self::FiveTuple { protocol: protocol_name(protocol), source, destination }
    }
}

#[cfg(test)]
mod tests {
    use elb_common::flow::{FlowKeyV4, FlowKeyV6};

    use super::*;

    #[test]
    fn connections_of_quic_have_no_addresses() {
        for key in
            [Key::V4(FlowKeyV4::connection(0xab, 7)), Key::V6(FlowKeyV6::connection(0xab, 7))]
        {
            assert_eq!(key.connection(), Some((0xab, 7)));
            let identity = serde_json::to_value(Identity::of(&key, &Names::default())).unwrap();
            assert_eq!(
                identity,
                serde_json::json!({
                    "protocol": "quic", "listener": "#7", "connection": "00000000000000ab"
                })
            );
        }
        let udp = Key::new("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap(), 17);
        assert_eq!(udp.connection(), None);
        let identity = serde_json::to_value(Identity::of(&udp, &Names::default())).unwrap();
        assert_eq!(
            identity,
            serde_json::json!({
                "protocol": "udp", "source": "10.0.0.1:1", "destination": "10.0.0.2:2"
            })
        );
    }
}
