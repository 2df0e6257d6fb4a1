//! Flows that a moving slot assigned to a backend.

use bytemuck::{Pod, Zeroable};

use crate::addr::{Be16, Be32, Be128, join};
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

    /// The key as words, in memory order.
    #[inline(always)]
    pub const fn words(&self) -> [u64; 2] {
        self.0
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

    /// The key as words, in memory order.
    #[inline(always)]
    pub const fn words(&self) -> [u64; 5] {
        self.0
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

/// Value of `FLOWS_V4` and `FLOWS_V6`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Flow {
    /// Id of the backend that serves the flow.
    pub backend: u16,
    /// Bits of [`flow_flags`].
    pub flags: u16,
    /// When its last packet came, in coarse monotonic seconds.
    pub seen: u32,
}

/// Bits of [`Flow::flags`].
pub mod flow_flags {
    /// It counts among the open connections of its backend and its listener.
    pub const OPEN: u16 = 1 << 0;
}

impl Flow {
    /// Whether it counts among the open connections.
    #[inline(always)]
    pub const fn is_open(&self) -> bool {
        self.flags & flow_flags::OPEN != 0
    }
}

/// The protocol number of keys that stand for a QUIC connection id: IANA's "reserved".
pub const CONNECTION_ID: u8 = 255;

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, offset_of, size_of};

    #[test]
    fn keys_are_the_five_tuple_in_network_order() {
        let ports = Ports { source: Be16::new(0x0102), destination: Be16::new(0x0304) };
        let v4 = FlowKeyV4::new(
            bytemuck::cast([10u8, 0, 0, 1]),
            bytemuck::cast([192u8, 0, 2, 10]),
            ports,
            17,
        );
        assert_eq!(bytemuck::bytes_of(&v4), [10, 0, 0, 1, 192, 0, 2, 10, 1, 2, 3, 4, 17, 0, 0, 0]);
        let v6 = FlowKeyV6::new(bytemuck::cast([1u8; 16]), bytemuck::cast([2u8; 16]), ports, 6);
        assert_eq!(bytemuck::bytes_of(&v6)[..16], [1; 16]);
        assert_eq!(bytemuck::bytes_of(&v6)[16..32], [2; 16]);
        assert_eq!(bytemuck::bytes_of(&v6)[32..], [1, 2, 3, 4, 6, 0, 0, 0]);
    }

    #[test]
    fn an_algorithm_sees_its_part_of_a_key() {
        let ports = Ports { source: Be16::new(0x0102), destination: Be16::new(0x0304) };
        let v4 = FlowKeyV4::new(
            bytemuck::cast([10u8, 0, 0, 1]),
            bytemuck::cast([192u8, 0, 2, 10]),
            ports,
            17,
        );
        let bytes = |key: FlowKeyV4| bytemuck::cast::<_, [u8; 16]>(key);
        let part = |algorithm| bytes(v4.part(algorithm));
        for whole in [algorithm::FIVE_TUPLE, algorithm::ROUND_ROBIN, algorithm::LEAST_CONNECTIONS] {
            assert_eq!(part(whole), bytes(v4));
        }
        let three = [10, 0, 0, 1, 192, 0, 2, 10, 0, 0, 0, 0, 17, 0, 0, 0];
        assert_eq!(part(algorithm::THREE_TUPLE), three);
        assert_eq!(part(algorithm::TWO_TUPLE)[..8], [10, 0, 0, 1, 192, 0, 2, 10]);
        assert_eq!(part(algorithm::TWO_TUPLE)[8..], [0; 8]);
        assert_eq!(part(algorithm::SOURCE)[..4], [10, 0, 0, 1]);
        assert_eq!(part(algorithm::SOURCE)[4..], [0; 12]);
        let v6 = FlowKeyV6::new(bytemuck::cast([1u8; 16]), bytemuck::cast([2u8; 16]), ports, 6);
        let part = |algorithm| bytemuck::bytes_of(&v6.part(algorithm)).to_vec();
        assert_eq!(part(algorithm::THREE_TUPLE)[32..], [0, 0, 0, 0, 6, 0, 0, 0]);
        assert_eq!(part(algorithm::TWO_TUPLE)[..32], part(algorithm::FIVE_TUPLE)[..32]);
        assert_eq!(part(algorithm::SOURCE)[16..], [0; 24]);
    }

    #[test]
    fn layout() {
        assert_eq!((size_of::<FlowKeyV4>(), align_of::<FlowKeyV4>()), (16, 8));
        assert_eq!((size_of::<FlowKeyV6>(), align_of::<FlowKeyV6>()), (40, 8));
        assert_eq!((size_of::<Ports>(), align_of::<Ports>()), (4, 2));
        assert_eq!((size_of::<Flow>(), align_of::<Flow>()), (8, 4));
        assert_eq!(offset_of!(Flow, backend), 0);
        assert_eq!(offset_of!(Flow, flags), 2);
        assert_eq!(offset_of!(Flow, seen), 4);
    }
}
