//! Who may send tunnel packets to a backend server: outer sources, as networks.
//!
//! A set has a number, and one number counts at a time. A set that takes the place of another is
//! written under a number of its own, so that no packet meets half of it.

use bytemuck::{Pod, Zeroable};

use crate::addr::{Be32, Be128};

/// The most networks of a set.
pub const MAX_SOURCES: u32 = 256;
/// Room for the set that counts, for the next one, and for what an interrupted change left.
pub const SOURCE_ENTRIES: u32 = 4 * MAX_SOURCES;
/// The number of no set: nothing is trusted.
pub const NO_SET: u32 = 0;
/// Bits of a key before the address.
pub const SET_BITS: u32 = 32;

/// Key of `DECAP_SOURCES` with all its bits: number of the set, address. IPv4 addresses are held as
/// IPv4-mapped IPv6 addresses (RFC 4291 §2.5.5.2).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct SourceKey([u32; 5]);

impl SourceKey {
    /// Key of an address in a set.
    #[inline(always)]
    pub const fn new(set: u32, [a, b, c, d]: [u32; 4]) -> Self {
        Self([set, a, b, c, d])
    }

    /// The number of the set, and the address as it lies in memory.
    pub const fn parts(self) -> (u32, [u32; 4]) {
        let [set, a, b, c, d] = self.0;
        (set, [a, b, c, d])
    }
}

/// An IPv4 address as the words of an IPv4-mapped one.
#[inline(always)]
pub const fn mapped(address: Be32) -> [u32; 4] {
    [0, 0, 0xffff_u32.to_be(), address.raw()]
}

/// An IPv6 address as words.
#[inline(always)]
pub const fn words(address: Be128) -> [u32; 4] {
    address.raw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, size_of};

    #[test]
    fn layout() {
        assert_eq!((size_of::<SourceKey>(), align_of::<SourceKey>()), (20, 4));
        let key = SourceKey::new(7, mapped(bytemuck::cast([10u8, 1, 2, 3])));
        let bytes: [u8; 20] = bytemuck::cast(key);
        assert_eq!(bytes[..4], 7u32.to_ne_bytes());
        assert_eq!(bytes[4..], core::net::Ipv4Addr::new(10, 1, 2, 3).to_ipv6_mapped().octets());
        assert_eq!(key.parts().0, 7);
    }
}
