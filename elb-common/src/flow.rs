//! Records of flows: which backend serves a flow that its slot alone does not determine.

use bytemuck::{Pod, Zeroable};

use crate::addr::{Be16, Be32, Be128, join, split};
use crate::listener::algorithm;

/// Key of `FLOWS_V4`: source (4 bytes), destination (4), source port (2), destination port (2),
/// protocol (1), zero (3).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct FlowKeyV4([u64; 2]);

impl FlowKeyV4 {
    /// Key of the flow that a packet belongs to.
    #[inline(always)]
    pub const fn new(source: Be32, destination: Be32, ports: Ports, protocol: u8) -> Self {
        Self([join(source.raw(), destination.raw()), ports.word(protocol)])
    }

    /// Key of the QUIC connection whose id has this digest, at the listener with this id.
    #[inline(always)]
    pub const fn connection(digest: u64, listener: u16) -> Self {
        Self([digest, connection_word(listener)])
    }

    /// The part that an algorithm (see [`crate::listener::algorithm`]) looks at.
    #[inline(always)]
    pub const fn part(&self, algorithm: u16) -> Self {
        let [addresses, rest] = self.0;
        match algorithm {
            algorithm::THREE_TUPLE => Self([addresses, protocol_of(rest)]),
            algorithm::TWO_TUPLE => Self([addresses, 0]),
            algorithm::SOURCE => Self([source_of(addresses), 0]),
            _ => *self,
        }
    }

    /// The client's address.
    #[inline(always)]
    pub const fn source(&self) -> Be32 {
        Be32::from_raw(split(self.0[0])[0])
    }

    /// The key as words, in memory order.
    #[inline(always)]
    pub const fn words(&self) -> [u64; 2] {
        self.0
    }

    /// The protocol (IANA number), or [`CONNECTION_ID`].
    #[inline(always)]
    pub const fn protocol(&self) -> u8 {
        protocol_in(self.0[1])
    }
}

/// Key of `FLOWS_V6`: source (16 bytes), destination (16), source port (2), destination port (2),
/// protocol (1), zero (3).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct FlowKeyV6([u64; 5]);

impl FlowKeyV6 {
    /// Key of the flow that a packet belongs to.
    #[inline(always)]
    pub const fn new(source: Be128, destination: Be128, ports: Ports, protocol: u8) -> Self {
        let ([a, b], [c, d]) = (source.words(), destination.words());
        Self([a, b, c, d, ports.word(protocol)])
    }

    /// Key of the QUIC connection whose id has this digest, at the listener with this id.
    #[inline(always)]
    pub const fn connection(digest: u64, listener: u16) -> Self {
        Self([digest, 0, 0, 0, connection_word(listener)])
    }

    /// The part that an algorithm (see [`crate::listener::algorithm`]) looks at.
    #[inline(always)]
    pub const fn part(&self, algorithm: u16) -> Self {
        let [a, b, c, d, rest] = self.0;
        match algorithm {
            algorithm::THREE_TUPLE => Self([a, b, c, d, protocol_of(rest)]),
            algorithm::TWO_TUPLE => Self([a, b, c, d, 0]),
            algorithm::SOURCE => Self([a, b, 0, 0, 0]),
            _ => *self,
        }
    }

    /// The client's address.
    #[inline(always)]
    pub const fn source(&self) -> Be128 {
        let [first, second, ..] = self.0;
        Be128::from_words([first, second])
    }

    /// The key as words, in memory order.
    #[inline(always)]
    pub const fn words(&self) -> [u64; 5] {
        self.0
    }

    /// The protocol (IANA number), or [`CONNECTION_ID`].
    #[inline(always)]
    pub const fn protocol(&self) -> u8 {
        protocol_in(self.0[4])
    }
}

/// The last word of a key that stands for a connection id.
#[inline(always)]
const fn connection_word(listener: u16) -> u64 {
    Ports { source: Be16::new(0), destination: Be16::from_raw(listener) }.word(CONNECTION_ID)
}

/// The last word of a key without its ports.
#[inline(always)]
const fn protocol_of(rest: u64) -> u64 {
    if cfg!(target_endian = "little") { rest & !0xffff_ffff } else { rest & 0xffff_ffff }
}

/// The protocol in the last word of a key.
#[inline(always)]
const fn protocol_in(rest: u64) -> u8 {
    if cfg!(target_endian = "little") { (rest >> 32) as u8 } else { (rest >> 24) as u8 }
}

/// The first word of an IPv4 key without its destination.
#[inline(always)]
const fn source_of(addresses: u64) -> u64 {
    if cfg!(target_endian = "little") { addresses & 0xffff_ffff } else { addresses & !0xffff_ffff }
}

/// Source and destination port of a packet, in wire order.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Ports {
    /// Port of the client.
    pub source: Be16,
    /// Port of the listener.
    pub destination: Be16,
}

impl Ports {
    #[inline(always)]
    const fn word(self, protocol: u8) -> u64 {
        if cfg!(target_endian = "little") {
            let ports = self.source.raw() as u32 | (self.destination.raw() as u32) << 16;
            join(ports, protocol as u32)
        } else {
            let ports = (self.source.raw() as u32) << 16 | self.destination.raw() as u32;
            join(ports, (protocol as u32) << 24)
        }
    }
}

/// Value of `OPENINGS_V4`, `OPENINGS_V6`, `FLOWS_V4` and `FLOWS_V6`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Flow {
    /// Id of the backend that serves the flow.
    pub backend: u16,
    /// Id of the pool that the backend belongs to.
    pub pool: u16,
    /// Id of the listener that the flow came to.
    pub listener: u16,
    /// Bits of [`flow_flags`].
    pub flags: u16,
    /// When its last packet came, in coarse monotonic seconds.
    pub seen: u32,
    /// When it was recorded, in coarse monotonic seconds.
    pub since: u32,
}

/// Bits of [`Flow::flags`].
pub mod flow_flags {
    /// It counts among the open connections of its backend and its listener.
    pub const COUNTED: u16 = 1 << 0;
    /// Its client closed it: it serves the rest of the connection for seconds.
    pub const CLOSED: u16 = 1 << 1;
    /// Only one packet of it was seen, and that did not open it.
    pub const STRAY: u16 = 1 << 2;
    /// In `OPENINGS_V4` and `OPENINGS_V6`: it was refused a record once, which was counted.
    pub const REFUSED: u16 = 1 << 3;
    /// An operator cut it: its client is reset, and what it sends is refused until it opens another. It is
    /// [`CLOSED`], too.
    pub const CUT: u16 = 1 << 4;
}

impl Flow {
    /// Whether it counts among the open connections.
    #[inline(always)]
    pub const fn is_counted(&self) -> bool {
        self.flags & flow_flags::COUNTED != 0
    }

    /// Whether its client closed it.
    #[inline(always)]
    pub const fn is_closed(&self) -> bool {
        self.flags & flow_flags::CLOSED != 0
    }

    /// Whether an operator cut it.
    #[inline(always)]
    pub const fn is_cut(&self) -> bool {
        self.flags & flow_flags::CUT != 0
    }

    /// Whether only one packet of it was seen, and that did not open it.
    #[inline(always)]
    pub const fn is_stray(&self) -> bool {
        self.flags & flow_flags::STRAY != 0
    }
}

/// Which of the two stages of a record: a flow of which one packet came, or a live one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// `OPENINGS_V4` and `OPENINGS_V6`.
    Opening,
    /// `FLOWS_V4` and `FLOWS_V6`.
    Live,
}

/// A packet that looks for the record of its flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Visit {
    /// Id of its listener.
    pub listener: u16,
    /// Id of the pool that the listener serves.
    pub pool: u16,
    /// Whether records of pools that the listener served before count, too.
    pub any_pool: bool,
    /// Whether the packet changes what it finds, one of [`visit`].
    pub effect: u8,
    /// Records whose last packet came before this second count no more.
    pub oldest: u32,
    /// The present second.
    pub now: u32,
}

/// Values of [`Visit::effect`].
pub mod visit {
    /// None: the packet opens a connection, or is only about the flow.
    pub const LOOKS: u8 = 0;
    /// The flow lives.
    pub const REFRESHES: u8 = 1;
    /// The flow's client closes it.
    pub const CLOSES: u8 = 2;
    /// An operator cuts the flow; no packet does.
    pub const CUTS: u8 = 3;
}

impl Visit {
    /// Whether the record is of the packet's listener.
    #[inline(always)]
    pub const fn meets(&self, flow: &Flow) -> bool {
        flow.listener == self.listener
    }

    /// Whether the record is of the flow that the packet belongs to; where it only meets one, that
    /// is over.
    #[inline(always)]
    pub const fn finds(&self, flow: &Flow) -> bool {
        self.meets(flow) && (flow.pool == self.pool || self.any_pool) && flow.seen >= self.oldest
    }

    /// The record after the packet.
    #[inline(always)]
    pub const fn after(&self, flow: Flow) -> Flow {
        let Flow { flags, seen, .. } = flow;
        let closed = flags & !(flow_flags::COUNTED | flow_flags::STRAY) | flow_flags::CLOSED;
        let (flags, seen) = match self.effect {
            visit::LOOKS => (flags, seen),
            visit::CLOSES => (closed, self.now),
            visit::CUTS => (closed | flow_flags::CUT, self.now),
            _ => (flags & !flow_flags::STRAY, self.now),
        };
        Flow { flags, seen, ..flow }
    }
}

/// The protocol number of keys that stand for a QUIC connection id: IANA's "reserved".
pub const CONNECTION_ID: u8 = 255;

#[cfg(test)]
mod tests;
