//! The part of a QUIC connection id that names a server, and servers by it.

use bytemuck::{Pod, Zeroable};

use crate::hash;
use crate::listener::CidPart;

/// Bytes that a connection id can have (RFC 9000 §17.2).
pub const MAX_CID: usize = 20;

/// The part of a connection id that counts, filled up with zeroes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct CidWords([u64; 3]);

impl CidWords {
    /// The first `length` bytes of `bytes`.
    #[inline(always)]
    pub fn new(bytes: &[u8; MAX_CID], length: u8) -> Self {
        let [a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7, c0, c1, c2, c3] =
            *bytes;
        let a = u64::from_be_bytes([a0, a1, a2, a3, a4, a5, a6, a7]);
        let b = u64::from_be_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
        let c = u64::from_be_bytes([c0, c1, c2, c3, 0, 0, 0, 0]);
        let bits = u32::from(length) * 8;
        Self([
            a & first(bits),
            b & first(bits.saturating_sub(64)),
            c & first(bits.saturating_sub(128)),
        ])
    }

    /// A number for it that is as good as unique.
    #[inline(always)]
    pub const fn digest(&self) -> u64 {
        hash::words(self.0)
    }
}

/// The first `bits` of a word, at most 64.
#[inline(always)]
const fn first(bits: u32) -> u64 {
    if bits >= 64 { u64::MAX } else { !(u64::MAX >> bits) }
}

/// Key of `SERVER_IDS`: the part of a connection id (24 bytes), pool (4), zero (4). The value is
/// the id of the backend.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct ServerIdKey([u64; 4]);

impl ServerIdKey {
    /// Key of a server of a pool.
    #[inline(always)]
    pub const fn new(id: CidWords, pool: u16) -> Self {
        let CidWords([a, b, c]) = id;
        Self([a, b, c, pool as u64])
    }
}

impl CidPart {
    /// Whether it lies within what a connection id can be.
    pub const fn is_valid(self) -> bool {
        self.length > 0 && self.offset as usize + self.length as usize <= MAX_CID
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, size_of};

    #[test]
    fn only_the_part_counts() {
        let bytes: [u8; MAX_CID] = core::array::from_fn(|i| 0x11 + i as u8);
        for length in 0..=MAX_CID {
            let mut other = bytes;
            other[length..].fill(0xff);
            let (a, b) = (CidWords::new(&bytes, length as u8), CidWords::new(&other, length as u8));
            assert_eq!(a, b, "{length}");
            if length > 0 {
                other[length - 1] ^= 1;
                assert_ne!(a, CidWords::new(&other, length as u8), "{length}");
            }
        }
    }

    #[test]
    fn layout() {
        assert_eq!((size_of::<CidWords>(), align_of::<CidWords>()), (24, 8));
        assert_eq!((size_of::<ServerIdKey>(), align_of::<ServerIdKey>()), (32, 8));
    }
}
