//! Packets reported while they pass: what is asked for, and the shape of `elb trace -o json`.

mod event;
mod filter;
mod reasons;

use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use event::{Bytes, PacketEvent, Raw};
pub use filter::{Filter, union};
pub use reasons::{Reasons, UnknownReason};

/// Which packets are asked for, and what of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceRequest {
    /// Those for this address; for ARP, about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub vip: Option<IpAddr>,
    /// Those from here.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client: Option<IpNet>,
    /// Those that a member with this name, address, or address and port was chosen for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub member: Option<String>,
    /// Those that were not forwarded for one of these reasons.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<Reasons>,
    /// One of so many, by chance; 1: each.
    pub sample: u32,
    /// At most so many in a second on each CPU.
    pub rate: u32,
    /// At most so many bytes of each frame.
    pub snap: u32,
    /// Whether the bytes are asked for, too.
    #[serde(default)]
    pub bytes: bool,
}

/// Packets reported in a second, unless asked otherwise.
pub const DEFAULT_RATE: u32 = 1_000;
/// The greatest number of them.
pub const MAX_RATE: u32 = 100_000;
/// Bytes that every event needs: tags, an IPv6 header with some extension headers, and ports.
pub const MIN_SNAP: u32 = 128;
/// Bytes of a captured frame, unless asked otherwise: the headers, and some of what they carry.
pub const DEFAULT_SNAP: u32 = 256;
/// The greatest number of them.
pub const MAX_SNAP: u32 = elb_common::trace::MAX_SNAP;

/// A line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceLine {
    /// A packet.
    Event(Box<PacketEvent>),
    /// Packets that are not reported, since the last such line.
    Missed(Missed),
}

/// Packets that were asked for and are not reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missed {
    /// There were more in a second than may be reported.
    pub limited: u64,
    /// The kernel's buffer, or the connection to the client, was full.
    pub overrun: u64,
}
