//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).
//!
//! All functions work on words as they lie in memory: one's complement addition does not care
//! about byte order as long as it is the same for all words (RFC 1071 §2 B).

use crate::addr::Be128;

/// The two 16-bit words of a 32-bit word, added.
#[inline(always)]
pub const fn add_u32(word: u32) -> u32 {
    (word & 0xffff) + (word >> 16)
}

/// Folds the carries of a sum of at most 65,536 words into 16 bits.
#[inline(always)]
pub const fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// The sum of 16-bit words for a sum of the 32-bit words that they are halves of, 2^16 at most.
#[inline(always)]
pub const fn from_u32s(sum: u64) -> u32 {
    add_u32(sum as u32) + (sum >> 32) as u32
}

/// The checksum for a header whose words, without the checksum, add up to `sum`.
#[inline(always)]
pub const fn finish(sum: u32) -> u16 {
    !fold(sum)
}

/// The checksum after one of the covered words changed from `old` to `new` (RFC 1624 eqn. 3).
#[inline(always)]
pub const fn replace(checksum: u16, old: u16, new: u16) -> u16 {
    finish((!checksum) as u32 + (!old) as u32 + new as u32)
}

/// The checksum after the first byte of one of the covered words became one less, as a time to live
/// does: what [`replace`] gives, in fewer steps, whatever the word is.
#[inline(always)]
pub const fn first_byte_one_less(checksum: u16) -> u16 {
    let sum = checksum as u32 + 0x0100_u16.to_be() as u32;
    (sum + (sum >= 0xffff) as u32) as u16
}

/// The third word of an IPv4 header (time to live, protocol, checksum) after a hop, which takes one
/// from the time to live; that must be greater.
#[inline(always)]
pub const fn after_hop(word: u32) -> u32 {
    if cfg!(target_endian = "little") {
        // The checksum is the upper half: see `first_byte_one_less`.
        let carry = (word >= 0xfffe_0000) as u32;
        word.wrapping_add(0x1_0000 - 1).wrapping_add(carry << 16)
    } else {
        let checksum = first_byte_one_less(word as u16);
        (word & 0xffff_0000).wrapping_sub(1 << 24) | checksum as u32
    }
}

/// What the change of some of the covered words adds to a sum: of sums of these words, folded, as they were
/// and as they are to be.
#[inline(always)]
pub const fn difference(old: u16, new: u16) -> u16 {
    fold((!old) as u32 + new as u32)
}

/// The checksum after some of the covered words changed, whose [differences](difference) add up to `by`
/// (RFC 1624 eqn. 3).
#[inline(always)]
pub const fn change(checksum: u16, by: u32) -> u16 {
    finish((!checksum) as u32 + by)
}

/// As [`change`], of UDP: 0 says that there is no checksum, and there is none afterwards; what would be 0 is
/// ffff, which is the same number (RFC 768).
#[inline(always)]
pub const fn change_udp(checksum: u16, by: u32) -> u16 {
    match (checksum, change(checksum, by)) {
        (0, _) => 0,
        (_, 0) => 0xffff,
        (_, changed) => changed,
    }
}

/// The sum of an address's words, folded.
#[inline(always)]
pub const fn sum_of(address: &Be128) -> u16 {
    let [a, b] = address.words();
    let halves = (a & 0xffff_ffff) + (a >> 32) + (b & 0xffff_ffff) + (b >> 32);
    fold(from_u32s(halves))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// RFC 1071 §4.1, over words, as plainly as it can be said.
    fn plain(words: &[u16]) -> u16 {
        let mut sum: u64 = words.iter().map(|w| u64::from(*w)).sum();
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    #[test]
    fn example_of_rfc_1071() {
        // §3: the bytes 00 01 f2 03 f4 f5 f6 f7 sum to ddf2 in network order.
        let words = [0x0001, 0xf203, 0xf4f5, 0xf6f7];
        assert_eq!(fold(words.iter().sum::<u32>()), 0xddf2);
    }

    #[test]
    fn example_of_rfc_1624() {
        // §4: with eqn. 3 the change of 5555 to 3285 takes dd2f to 0000.
        assert_eq!(replace(0xdd2f, 0x5555, 0x3285), 0x0000);
    }

    #[test]
    fn one_less_is_replaced() {
        for [first, second] in [[1u8, 0], [1, 255], [64, 6], [64, 17], [255, 0], [255, 255]] {
            let old = u16::from_ne_bytes([first, second]);
            let new = u16::from_ne_bytes([first - 1, second]);
            for checksum in 0..=u16::MAX {
                assert_eq!(first_byte_one_less(checksum), replace(checksum, old, new));
            }
        }
    }

    #[test]
    fn a_hop_is_one_less_and_a_new_checksum() {
        for checksum in 0..=u16::MAX {
            for ttl in [1u8, 2, 64, 255] {
                let word = |ttl: u8, checksum: u16| {
                    let [a, b] = checksum.to_ne_bytes();
                    u32::from_ne_bytes([ttl, 6, a, b])
                };
                let wanted = word(ttl - 1, first_byte_one_less(checksum));
                assert_eq!(after_hop(word(ttl, checksum)), wanted);
            }
        }
    }

    proptest! {
        #[test]
        fn finish_is_the_plain_sum(words: Vec<u16>) {
            let sum = words.iter().map(|w| u32::from(*w)).sum();
            prop_assert_eq!(finish(sum), plain(&words));
        }

        #[test]
        fn replaced_is_recomputed(mut words in proptest::collection::vec(1u16.., 1..64), at: usize, new: u16) {
            let at = at % words.len();
            let before = plain(&words);
            let old = core::mem::replace(&mut words[at], new);
            let (updated, recomputed) = (replace(before, old, new), plain(&words));
            // 0 and ffff are the same number in one's complement.
            prop_assert_eq!(updated % 0xffff, recomputed % 0xffff);
        }

        #[test]
        fn sum_of_pairs_of_words(words: Vec<u32>) {
            let sum = from_u32s(words.iter().map(|w| u64::from(*w)).sum());
            let halves: Vec<u16> = words.iter().flat_map(|w| [*w as u16, (*w >> 16) as u16]).collect();
            prop_assert_eq!(finish(sum) % 0xffff, plain(&halves) % 0xffff);
        }

        #[test]
        fn halves_of_a_word(word: u32) {
            prop_assert_eq!(fold(add_u32(word)), fold((word & 0xffff) + (word >> 16)));
        }
    }
}
