//! Backends: everything the forward stage needs, computed once by the agent.

use bytemuck::{Pod, Zeroable};

use crate::addr::{Be16, Be32, Be128, Mac};
use crate::checksum;

/// Value of `BACKENDS`, indexed by backend id. One cache line.
///
/// The agent replaces a record while packets read it: each word is valid by itself (the next hop's
/// address never tears), a packet that sees two versions at once is one packet that its sender
/// repeats.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Backend {
    /// Ethernet address of the next hop.
    pub next_hop: Mac,
    /// Ethernet address of the interface frames leave by.
    pub source: Mac,
    /// One of [`mode`].
    pub mode: u8,
    /// Bits of [`backend_flags`].
    pub flags: u8,
    /// Largest IP packet that the interface or the path carries once outer headers are in front.
    pub largest: u16,
    /// Interface frames leave by.
    pub ifindex: u32,
    /// Sum of the words of the outer IPv4 header that no packet changes, see [`outer_sum`].
    pub outer_sum: u32,
    /// Address of the backend; outer destination. IPv4 in the first four bytes.
    pub address: Be128,
    /// Outer source, IPv4 in the first four bytes; in modes that translate, a [`Translation`].
    pub outer_source: Be128,
    /// Its part of the new connections, relative to the other members of the pool.
    pub weight: u32,
    /// Concurrent connections, of a pool that counts them; 0: no limit.
    pub max_connections: u32,
}

/// Values of [`Backend::mode`].
pub mod mode {
    /// Direct server return on one segment: the Ethernet addresses are rewritten.
    pub const L2: u8 = 0;
    /// Direct server return: the packet travels in IPv4 (RFC 2003, RFC 4213).
    pub const IPIP_V4: u8 = 1;
    /// Direct server return: the packet travels in IPv6 (RFC 2473).
    pub const IPIP_V6: u8 = 2;
    /// Direct server return: the packet travels in GUE over UDP over IPv4.
    pub const GUE_V4: u8 = 3;
    /// Direct server return: the packet travels in GUE over UDP over IPv6.
    pub const GUE_V6: u8 = 4;
    /// The packet gets the address and the port of the backend, which answers through us.
    pub const NAT: u8 = 5;
    /// The same, and the packet gets one of our source addresses in the place of its client's, see [`crate::snat`].
    pub const FULLNAT: u8 = 6;
    /// The packet becomes one of IPv6, for the address and the port of the backend, from an address that holds its client's,
    /// see [`crate::embedded`].
    pub const NAT46: u8 = 7;
}

/// What a translated packet gets, in the place of [`Backend::outer_source`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Translation {
    /// Port of the backend; 0: the packet's own.
    pub port: Be16,
    /// Sum of the words of the backend's address, folded.
    pub address_sum: u16,
    /// The same and the port.
    pub sum: u16,
    /// Bits of [`translation_flags`].
    pub flags: u16,
    /// Mask of the segment that the backend shares with this host, as it lies in memory, of IPv6 that of the first 64
    /// bits: its clients there are answered without us. Zero: there is none.
    pub segment: [u32; 2],
}

/// Bits of [`Translation::flags`].
pub mod translation_flags {
    /// Several listeners forward to this endpoint: which one a flow came by is noted.
    pub const SHARED: u16 = 1 << 0;
}

impl Translation {
    /// To this address and port.
    pub const fn new(address: Be128, port: Be16, flags: u16) -> Self {
        let address_sum = checksum::sum_of(&address);
        let sum = checksum::fold(address_sum as u32 + port.raw() as u32);
        Self { port, address_sum, sum, flags, segment: [0; 2] }
    }

    /// Whether several listeners forward to the endpoint.
    #[inline(always)]
    pub const fn is_shared(&self) -> bool {
        self.flags & translation_flags::SHARED != 0
    }

    /// Whether two addresses, in their first words, are on the backend's segment.
    #[inline(always)]
    pub const fn is_on_segment(&self, one: [u32; 2], other: [u32; 2]) -> bool {
        let [first, second] = self.segment;
        first != 0 && (one[0] ^ other[0]) & first == 0 && (one[1] ^ other[1]) & second == 0
    }

    /// As it lies in a record.
    pub fn to_words(self) -> Be128 {
        bytemuck::cast(self)
    }
}

/// Bits of [`Backend::flags`].
pub mod backend_flags {
    /// The id is in use and its next hop is known.
    pub const REACHABLE: u8 = 1 << 0;
    /// Flows that it already serves may go on.
    pub const ESTABLISHED: u8 = 1 << 1;
    /// It takes new flows: it is healthy, has a weight, and is not being removed.
    pub const NEW: u8 = 1 << 2;
    /// It is drained by command, so that whether it takes new flows says nothing of its health.
    /// Packets do not look at it; the next agent does.
    pub const DRAINED: u8 = 1 << 3;
}

/// UDP port of Generic UDP Encapsulation (IANA: gue).
pub const GUE_PORT: u16 = 6080;
/// Hop limit of outer headers.
pub const OUTER_TTL: u8 = 64;
/// Flags and fragment offset of an outer IPv4 header: don't fragment (RFC 2003 §3.1 allows it; an
/// identification of 0 is then correct, RFC 6864 §4.1).
pub const OUTER_FRAGMENT: u16 = 0x4000;

/// Sum, for [`Backend::outer_sum`], of the words of an outer IPv4 header without type of service,
/// total length and protocol.
pub fn outer_sum(source: Be32, destination: Be32) -> u32 {
    let words =
        [u16::from_ne_bytes([0x45, 0]), OUTER_FRAGMENT.to_be(), u16::from_ne_bytes([OUTER_TTL, 0])];
    let addresses = checksum::add_u32(source.raw()) + checksum::add_u32(destination.raw());
    words.iter().fold(addresses, |sum, word| sum + u32::from(*word))
}

impl Backend {
    /// `next_hop` and `source` as they follow each other in a frame, in words.
    #[inline(always)]
    pub fn ethernet(&self) -> [Be32; 3] {
        let words: &[u32; 16] = bytemuck::cast_ref(self);
        [words[0], words[1], words[2]].map(Be32::from_raw)
    }

    /// Bytes that a packet grows by on its way to the backend.
    #[inline(always)]
    pub const fn overhead(&self) -> u16 {
        match self.mode {
            mode::IPIP_V4 | mode::NAT46 => 20,
            mode::IPIP_V6 => 40,
            mode::GUE_V4 => 32,
            mode::GUE_V6 => 52,
            _ => 0,
        }
    }

    /// Sets what the interface or the path carries, outer header included. The mode is known before.
    pub const fn set_mtu(&mut self, mtu: u16) {
        self.largest = mtu.saturating_sub(self.overhead());
    }

    /// What the interface or the path carries, outer header included.
    pub const fn mtu(&self) -> u16 {
        self.largest.saturating_add(self.overhead())
    }

    /// The first four bytes of [`Backend::address`].
    #[inline(always)]
    pub fn address_v4(&self) -> Be32 {
        Be32::from_raw(self.address.raw()[0])
    }

    /// The first four bytes of [`Backend::outer_source`].
    #[inline(always)]
    pub fn outer_source_v4(&self) -> Be32 {
        Be32::from_raw(self.outer_source.raw()[0])
    }

    /// What a translated packet gets.
    #[inline(always)]
    pub fn translation(&self) -> Translation {
        let words: &[u32; 16] = bytemuck::cast_ref(self);
        bytemuck::cast([words[10], words[11], words[12], words[13]])
    }

    /// Whether new packets can be sent to it.
    #[inline(always)]
    pub const fn is_reachable(&self) -> bool {
        self.flags & backend_flags::REACHABLE != 0
    }

    /// Whether it is drained by command.
    #[inline(always)]
    pub const fn is_drained(&self) -> bool {
        self.flags & backend_flags::DRAINED != 0
    }

    /// Whether it takes new flows.
    #[inline(always)]
    pub const fn takes_new(&self) -> bool {
        self.flags & backend_flags::NEW != 0
    }

    /// Whether flows that it already serves may go on.
    #[inline(always)]
    pub const fn serves_established(&self) -> bool {
        self.flags & backend_flags::ESTABLISHED != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, offset_of, size_of};

    #[test]
    fn layout() {
        assert_eq!((size_of::<Backend>(), align_of::<Backend>()), (64, 4));
        assert_eq!(offset_of!(Backend, next_hop), 0);
        assert_eq!(offset_of!(Backend, source), 6);
        assert_eq!(offset_of!(Backend, mode), 12);
        assert_eq!(offset_of!(Backend, flags), 13);
        assert_eq!(offset_of!(Backend, largest), 14);
        assert_eq!(offset_of!(Backend, ifindex), 16);
        assert_eq!(offset_of!(Backend, outer_sum), 20);
        assert_eq!(offset_of!(Backend, address), 24);
        assert_eq!(offset_of!(Backend, outer_source), 40);
        assert_eq!(offset_of!(Backend, weight), 56);
        assert_eq!(offset_of!(Backend, max_connections), 60);
        assert_eq!((size_of::<Translation>(), align_of::<Translation>()), (16, 4));
        assert_eq!((offset_of!(Translation, address_sum), offset_of!(Translation, sum)), (2, 4));
        assert_eq!((offset_of!(Translation, flags), offset_of!(Translation, segment)), (6, 8));
    }

    #[test]
    fn a_translation_lies_where_the_outer_source_does() {
        let address = Be128::from_raw([u32::from_ne_bytes([10, 0, 0, 7]), 0, 0, 0]);
        let translation = Translation::new(address, Be16::new(8080), translation_flags::SHARED);
        let backend = Backend { outer_source: translation.to_words(), ..Backend::default() };
        assert_eq!(backend.translation(), translation);
        assert_eq!(translation.address_sum, u16::from_ne_bytes([10, 7]));
    }
}
