//! The bitmap of virtual addresses: one look at it recognises a packet for any other address.
//!
//! Each virtual address has one bit, which others may share: a bit that is not set says that an
//! address is no virtual one, a bit that is set says nothing. The agent sets a bit before it serves
//! the address, and clears it when no address that it serves has it.

use crate::addr::{Be32, Be128};

/// Words of `VIP_BITS`: 8 KiB, so that even with 4,096 virtual addresses of each family few others
/// share a bit.
pub const VIP_WORDS: u32 = 1024;

/// Bits of all words, as a power of two.
const BITS: u32 = VIP_WORDS.trailing_zeros() + u64::BITS.trailing_zeros();

/// Odd constants without structure, as in [`crate::hash`].
const K: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0x6a09_e667_f3bc_c909];

/// The bit of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VipBit(u32);

impl VipBit {
    /// The bit of an IPv4 address.
    #[inline(always)]
    pub const fn v4(address: Be32) -> Self {
        Self(address.raw().wrapping_mul(K[0] as u32) >> (u32::BITS - BITS))
    }

    /// The bit of an IPv6 address.
    #[inline(always)]
    pub const fn v6(address: Be128) -> Self {
        let [high, low] = address.words();
        let mixed = (high.wrapping_mul(K[0]) ^ low).wrapping_mul(K[1]);
        Self((mixed >> (u64::BITS - BITS)) as u32)
    }

    /// Index of its word in `VIP_BITS`.
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
    use std::collections::BTreeSet;

    #[test]
    fn a_bit_is_within_the_map_and_found_again() {
        for number in 0..100_000u32 {
            let address = number.wrapping_mul(0x2c1b_3c6d);
            let v6 = Be128::from_raw([0x2001_0db8, 0, number, address]);
            for bit in [VipBit::v4(Be32::from_raw(address)), VipBit::v6(v6)] {
                assert!(bit.word() < VIP_WORDS && bit.mask().count_ones() == 1);
                assert!(bit.is_in(bit.mask()) && !bit.is_in(!bit.mask()));
            }
        }
    }

    /// Neighbouring addresses, which balancers have, take bits of their own nearly always.
    #[test]
    fn neighbours_rarely_share_a_bit() {
        let distinct = |bit: &dyn Fn(u32) -> VipBit| {
            (0..4096).map(|n| (bit(n).word(), bit(n).mask())).collect::<BTreeSet<_>>().len()
        };
        let v4 = |n: u32| VipBit::v4(Be32::from_raw((0xc612_0000 + n).to_be()));
        let v6 = |n: u32| VipBit::v6(Be128::from_raw([0xb80d_0120, 0, 0, n.to_be()]));
        // 4,096 random ones of 65,536 would be 3,969 different ones.
        assert!(distinct(&v4) > 3800 && distinct(&v6) > 3800);
    }
}
