//! Ways back to clients: how an answer leaves that a member sent by this host, and that is translated here.
//!
//! The agent keeps a copy of the kernel's main routing table: a default for each IP version in an array, and
//! what differs from it in a trie. Most clients are behind the default, so a bitmap says first whether the
//! trie may know of another way.

use bytemuck::{Pod, Zeroable};

use crate::addr::{Be32, Be128, Mac};

/// Value of `CLIENT_DEFAULTS` (0: IPv4, 1: IPv6), `CLIENT_ROUTES_V4` and `CLIENT_ROUTES_V6`; the tries are
/// keyed by the 4 and 16 bytes of a prefix.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ClientHop {
    /// Ethernet address of the next hop.
    pub next_hop: Mac,
    /// Ethernet address of the interface that packets leave by.
    pub source: Mac,
    /// That interface.
    pub ifindex: u32,
    /// Largest IP packet that goes this way.
    pub largest: u16,
    /// One of [`hop_kind`].
    pub kind: u16,
}

/// Values of [`ClientHop::kind`].
pub mod hop_kind {
    /// There is no route.
    pub const NONE: u16 = 0;
    /// All that a frame needs is known.
    pub const KNOWN: u16 = 1;
    /// The kernel finds the way: it knows the route, and has to find the Ethernet address first, or the
    /// interface is none that carries the program.
    pub const KERNEL: u16 = 2;
    /// The address is this host's own.
    pub const LOCAL: u16 = 3;
}

impl ClientHop {
    /// Whether the address is this host's own.
    #[inline(always)]
    pub const fn is_local(&self) -> bool {
        self.kind == hop_kind::LOCAL
    }

    /// `next_hop` and `source` as they follow each other in a frame, in words.
    #[inline(always)]
    pub fn ethernet(&self) -> [Be32; 3] {
        let words: &[u32; 5] = bytemuck::cast_ref(self);
        [words[0], words[1], words[2]].map(Be32::from_raw)
    }
}

/// Elements of `CLIENT_DEFAULTS`.
pub const CLIENT_DEFAULTS: u32 = 2;

/// Words of `CLIENT_ROUTE_BITS`: one bit for each /16 of IPv4, and as many for what IPv6 addresses begin with.
pub const CLIENT_ROUTE_WORDS: u32 = 2048;

/// Bits of an IPv4 address that choose its bit.
pub const BITS_V4: u32 = 16;
/// Bits of an IPv6 address that choose its bit, which others share.
pub const BITS_V6: u32 = 32;

/// Words of each IP version.
const WORDS: u32 = CLIENT_ROUTE_WORDS / 2;
/// An odd constant without structure, as in [`crate::hash`].
const K: u32 = 0x7f4a_7c15;

/// The bit of the clients whose addresses begin alike. Where it is not set, they are behind the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientBit(u32);

impl ClientBit {
    /// The bit of an IPv4 address.
    #[inline(always)]
    pub const fn v4(address: Be32) -> Self {
        Self(u32::from_be(address.raw()) >> (u32::BITS - BITS_V4))
    }

    /// The bit of an IPv6 address.
    #[inline(always)]
    pub const fn v6(address: Be128) -> Self {
        let [first, ..] = address.raw();
        let mixed = u32::from_be(first).wrapping_mul(K) >> (u32::BITS - BITS_V4);
        Self(WORDS * u64::BITS + mixed)
    }

    /// Index of its word in `CLIENT_ROUTE_BITS`.
    #[inline(always)]
    pub const fn word(self) -> u32 {
        self.0 / u64::BITS
    }

    /// The bit within its word.
    #[inline(always)]
    pub const fn mask(self) -> u64 {
        1 << (self.0 % u64::BITS)
    }

    /// Whether it is set in its word.
    #[inline(always)]
    pub const fn is_in(self, word: u64) -> bool {
        word >> (self.0 % u64::BITS) & 1 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, offset_of, size_of};

    #[test]
    fn layout() {
        assert_eq!((size_of::<ClientHop>(), align_of::<ClientHop>()), (20, 4));
        assert_eq!((offset_of!(ClientHop, source), offset_of!(ClientHop, ifindex)), (6, 12));
        assert_eq!((offset_of!(ClientHop, largest), offset_of!(ClientHop, kind)), (16, 18));
    }

    #[test]
    fn addresses_that_begin_alike_have_one_bit_within_the_map() {
        for first in [0u8, 1, 10, 127, 203, 255] {
            let v4 = |rest: [u8; 2]| ClientBit::v4(bytemuck::cast([first, 9, rest[0], rest[1]]));
            let v6 = |rest: u32| {
                let start = u32::from_ne_bytes([0x20, first, 0x0d, 0xb8]);
                ClientBit::v6(Be128::from_raw([start, rest, 0, rest]))
            };
            assert_eq!((v4([0, 0]), v6(0)), (v4([255, 255]), v6(u32::MAX)));
            assert!(v4([0, 0]).word() < WORDS);
            assert!((WORDS..CLIENT_ROUTE_WORDS).contains(&v6(0).word()));
            for bit in [v4([1, 1]), v6(7)] {
                assert!(bit.is_in(bit.mask()) && !bit.is_in(!bit.mask()));
            }
        }
    }
}
