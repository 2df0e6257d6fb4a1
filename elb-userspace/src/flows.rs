//! Flows that are tracked: the shape of `elb flows -o json`.

mod client;
pub mod cut;
mod state;

use std::net::{IpAddr, SocketAddr};

use elb_common::addr::{Be16, Be32, Be128};
use elb_common::flow::{CONNECTION_ID, FlowKeyV4, FlowKeyV6, Ports};
use elb_common::path::{Family as _, V4, V6};
use serde::{Deserialize, Serialize};

pub use client::{Clients, NotClients};
pub use state::{Counts, State, Terms};

use crate::names::{Member, Names};
use crate::packet::protocol_name;

/// Which flows are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
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

/// A line of the answer: one summary, then flows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// How many there are.
    Summary(Summary),
    /// One of them; those that have ended come last.
    Flow(TrackedFlow),
    /// The tables cannot be read on.
    Failed(String),
}

/// How many flows there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// By member, those with most flows first.
    pub members: Vec<MemberFlows>,
    /// All that were asked for.
    pub flows: u64,
    /// In which states they are.
    #[serde(flatten)]
    pub counts: Counts,
    /// What could be cut, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cutting: Option<cut::Reach>,
    /// Flows that each of the two tables, IPv4 and IPv6, has room for.
    pub room: u32,
}

/// How many flows a member has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberFlows {
    /// The member.
    pub member: Member,
    /// Its flows.
    pub flows: u64,
    /// In which states they are.
    #[serde(flatten)]
    pub counts: Counts,
}

/// A tracked flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackedFlow {
    /// What it is tracked by.
    #[serde(flatten)]
    pub identity: Identity,
    /// Who serves it.
    pub member: Member,
    /// Whether it lives.
    pub state: State,
    /// Seconds since its last packet.
    pub idle: u32,
}

/// What a flow is tracked by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// The key of a flow, of either table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Of `FLOWS_V4`.
    V4(FlowKeyV4),
    /// Of `FLOWS_V6`.
    V6(FlowKeyV6),
}

impl Key {
    /// The flow of a five-tuple. Addresses of different versions are both taken as IPv6.
    pub fn new(source: SocketAddr, destination: SocketAddr, protocol: u8) -> Self {
        let ports =
            Ports { source: Be16::new(source.port()), destination: Be16::new(destination.port()) };
        match (source.ip(), destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let [source, destination]: [Be32; 2] =
                    [source, destination].map(|address| bytemuck::cast(address.octets()));
                Self::V4(FlowKeyV4::new(source, destination, ports, protocol))
            }
            (source, destination) => {
                let [source, destination]: [Be128; 2] =
                    [source, destination].map(|address| bytemuck::cast(octets(address)));
                Self::V6(FlowKeyV6::new(source, destination, ports, protocol))
            }
        }
    }

    /// Its hash as an algorithm has it (see [`elb_common::listener::algorithm`]), which chooses its
    /// slot.
    pub fn hash(&self, algorithm: u16) -> u32 {
        match self {
            Self::V4(key) => V4::hash(key, algorithm),
            Self::V6(key) => V6::hash(key, algorithm),
        }
    }

    /// Source, destination and protocol; of a QUIC connection, neither addresses nor ports.
    pub fn five_tuple(&self) -> (SocketAddr, SocketAddr, u8) {
        match self {
            Self::V4(key) => {
                let [a, b, c, d, e, f, g, h, ports @ ..]: [u8; 16] = bytemuck::cast(*key);
                ends([a, b, c, d].into(), [e, f, g, h].into(), ports)
            }
            Self::V6(key) => {
                let [a, b, c, d, rest]: [u64; 5] = bytemuck::cast(*key);
                let [source, destination]: [[u8; 16]; 2] = [[a, b], [c, d]].map(bytemuck::cast);
                ends(source.into(), destination.into(), bytemuck::cast(rest))
            }
        }
    }

    /// Digest and listener of a QUIC connection; `None` for every other flow.
    pub fn connection(&self) -> Option<(u64, u16)> {
        let (digest, rest) = match self {
            Self::V4(key) => (key.words()[0], key.words()[1]),
            Self::V6(key) => (key.words()[0], key.words()[4]),
        };
        let [_, _, low, high, protocol, ..] = rest.to_ne_bytes();
        (protocol == CONNECTION_ID).then(|| (digest, u16::from_ne_bytes([low, high])))
    }

    /// For people.
    pub fn identity(&self, names: &Names) -> Identity {
        if let Some((digest, listener)) = self.connection() {
            let (protocol, listener) = ("quic".to_owned(), names.listener(listener));
            return Identity::Connection {
                protocol,
                listener,
                connection: format!("{digest:016x}"),
            };
        }
        let (source, destination, protocol) = self.five_tuple();
        Identity::FiveTuple { protocol: protocol_name(protocol), source, destination }
    }
}

/// The last word of a key: source port, destination port, protocol, zero.
fn ends(source: IpAddr, destination: IpAddr, word: [u8; 8]) -> (SocketAddr, SocketAddr, u8) {
    let [a, b, c, d, protocol, ..] = word;
    let socket = |address, port| SocketAddr::new(address, u16::from_be_bytes(port));
    (socket(source, [a, b]), socket(destination, [c, d]), protocol)
}

fn octets(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back() {
        for (source, destination, protocol) in [
            ("198.51.100.7:50000", "192.0.2.10:80", 6),
            ("[2001:db8::7]:1", "[2001:db8::10]:443", 17),
        ] {
            let tuple = (source.parse().unwrap(), destination.parse().unwrap(), protocol);
            assert_eq!(Key::new(tuple.0, tuple.1, tuple.2).five_tuple(), tuple);
        }
    }

    #[test]
    fn connections_of_quic_have_no_addresses() {
        for key in
            [Key::V4(FlowKeyV4::connection(0xab, 7)), Key::V6(FlowKeyV6::connection(0xab, 7))]
        {
            assert_eq!(key.connection(), Some((0xab, 7)));
            let identity = serde_json::to_value(key.identity(&Names::default())).unwrap();
            assert_eq!(
                identity,
                serde_json::json!({
                    "protocol": "quic", "listener": "#7", "connection": "00000000000000ab"
                })
            );
        }
        let udp = Key::new("10.0.0.1:1".parse().unwrap(), "10.0.0.2:2".parse().unwrap(), 17);
        assert_eq!(udp.connection(), None);
        let identity = serde_json::to_value(udp.identity(&Names::default())).unwrap();
        assert_eq!(
            identity,
            serde_json::json!({
                "protocol": "udp", "source": "10.0.0.1:1", "destination": "10.0.0.2:2"
            })
        );
    }
}
