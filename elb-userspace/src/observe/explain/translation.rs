//! What is said of packets whose addresses are translated: which virtual address a member's answer gets, by which
//! record, and by which way it goes back to the client.

use std::net::{IpAddr, SocketAddr};

use elb_common::addr::{Be16, Be128};
use elb_common::client_hop::{ClientHop, hop_kind};
use elb_common::exception::Exception;
use elb_common::path::Asked;
use elb_common::reply::{self, reply_flags};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::observe::names::{BackendMember, Names};
use crate::observe::packet::mac;

/// The packet is from a member's endpoint, whose answers are translated back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndpointRecord {
    /// The member that has the endpoint.
    pub member: BackendMember,
    /// The listener that it stands for.
    pub listener: String,
    /// The virtual address and port that its packets get.
    pub stands_for: SocketAddr,
    /// Whether several listeners share it: each flow may be of another one.
    pub shared: bool,
    /// The interface that the member's packets must come by.
    pub interface: String,
    /// The Ethernet address that they must come from; `None`: any.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mac: Option<String>,
    /// Whether noted flows were looked for: some clients' flows differ from what the record says.
    pub asked_for_flow: bool,
}

/// A flow at a member's endpoint that differs from what the endpoint's record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotedFlow {
    /// The listener that it is of; `None`: of none, the member's packets are left alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub listener: Option<String>,
    /// The virtual address and port of that.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address: Option<SocketAddr>,
    /// Seconds since a packet from the client's side was noted.
    pub ago: u32,
    /// Whether it is this packet that would note it.
    pub by_this_packet: bool,
}

/// The way back to a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WayBack {
    /// Who finds it.
    pub kind: WayKind,
    /// The interface that packets leave by; empty where it is not known here.
    pub interface: String,
    /// Ethernet address of the next hop; empty where it is not known here.
    pub next_hop_mac: String,
    /// Longest IP packet on the way; 0 where it is not known here.
    pub mtu: u16,
}

/// Who finds the way back to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WayKind {
    /// All is known here.
    Known,
    /// The kernel, which gets the packet translated.
    Kernel,
    /// The client is this host itself.
    Local,
    /// There is no route.
    None,
}

/// What was asked of translation.
pub(super) struct Translation<'a, 't> {
    pub(super) asked: &'a [Asked<'t>],
    pub(super) names: &'a Names,
    pub(super) is_v4: bool,
}

#[allow(clippy::wildcard_enum_match_arm, reason = "each method looks for some of the questions")]
impl Translation<'_, '_> {
    /// The record of the endpoint that the packet is from; `None`: it has none, or another packet's is asked for.
    pub(super) fn endpoint(&self, source: SocketAddr) -> Option<EndpointRecord> {
        let record = self.asked.iter().find_map(|asked| match asked {
            Asked::ReplyV4(key, Some(record)) => {
                let [a, b, c, d, high, low, ..]: [u8; 8] = bytemuck::cast(*key);
                let of = SocketAddr::new([a, b, c, d].into(), u16::from_be_bytes([high, low]));
                (of == source).then_some(*record)
            }
            Asked::ReplyV6(key, Some(record)) => {
                let [a, b, rest]: [u64; 3] = bytemuck::cast(*key);
                let address: [u8; 16] = bytemuck::cast([a, b]);
                let [high, low, ..] = rest.to_ne_bytes();
                let of = SocketAddr::new(address.into(), u16::from_be_bytes([high, low]));
                (of == source).then_some(*record)
            }
            _ => None,
        })?;
        let reply::Reply { vip, port, flags, ifindex, listener, backend, .. } = *record;
        let asked =
            |asked: &Asked<'_>| matches!(asked, Asked::ExceptionV4(..) | Asked::ExceptionV6(..));
        Some(EndpointRecord {
            member: self.names.member(backend),
            listener: self.names.listener(listener),
            // A member with IPv6 that answers addresses of ours serves a virtual IPv4 address.
            stands_for: socket(self.is_v4 || flags & reply_flags::PROBES != 0, vip, port),
            shared: flags & reply_flags::SHARED != 0,
            interface: self.names.interface(ifindex),
            mac: (flags & reply_flags::ON_LINK != 0).then(|| mac(&record.mac.bytes())),
            asked_for_flow: self.asked.iter().any(asked),
        })
    }

    /// What is noted of the flow, or is noted now.
    pub(super) fn noted(&self) -> Option<NotedFlow> {
        let now = self.asked.iter().find_map(|asked| match asked {
            Asked::Now(now) => Some(*now),
            _ => None,
        });
        let now = now.unwrap_or_default();
        let last =
            |found: fn(&Asked<'_>) -> Option<Exception>| self.asked.iter().rev().find_map(found);
        let known = last(|asked| match asked {
            Asked::ExceptionV4(_, found) | Asked::ExceptionV6(_, found) => *found,
            _ => None,
        });
        let known = known.filter(|known| known.is_live(now));
        let written = last(|asked| match asked {
            Asked::ExceptV4(_, written) | Asked::ExceptV6(_, written) => Some(*written),
            _ => None,
        });
        let says_more = written.filter(|new| known.is_none_or(|known| !known.says(new)));
        let exception = says_more.or(known)?;
        let is_alone = exception.is_alone();
        Some(NotedFlow {
            listener: (!is_alone).then(|| self.names.listener(exception.listener)),
            address: (!is_alone).then(|| self.socket(exception.vip, exception.port)),
            ago: now.saturating_sub(exception.seen),
            by_this_packet: says_more.is_some(),
        })
    }

    /// The way back to the client, if it was asked for.
    pub(super) fn way(&self) -> Option<WayBack> {
        let hop = self.asked.iter().rev().find_map(|asked| match asked {
            Asked::ClientHopV4(_, hop) | Asked::ClientHopV6(_, hop) => Some(*hop),
            _ => None,
        })?;
        let none = ClientHop::default();
        let hop = hop.unwrap_or(&none);
        let kind = match hop.kind {
            hop_kind::KNOWN => WayKind::Known,
            hop_kind::KERNEL => WayKind::Kernel,
            hop_kind::LOCAL => WayKind::Local,
            _ => WayKind::None,
        };
        let is_known = kind == WayKind::Known;
        Some(WayBack {
            kind,
            interface: if is_known { self.names.interface(hop.ifindex) } else { String::new() },
            next_hop_mac: if is_known { mac(&hop.next_hop.bytes()) } else { String::new() },
            mtu: if is_known { hop.largest } else { 0 },
        })
    }

    /// An address and a port of a record.
    fn socket(&self, address: Be128, port: Be16) -> SocketAddr {
        socket(self.is_v4, address, port)
    }
}

fn socket(is_v4: bool, address: Be128, port: Be16) -> SocketAddr {
    let bytes: [u8; 16] = bytemuck::cast(address.raw());
    let [a, b, c, d, ..] = bytes;
    let address = if is_v4 { IpAddr::from([a, b, c, d]) } else { IpAddr::from(bytes) };
    SocketAddr::new(address, port.get())
}
