//! The part of a QUIC connection id that names a server, and servers by it.

use bytemuck::{Pod, Zeroable};

use crate::hash;
use crate::listener::CidPart;
use crate::path::Packet;

/// Bytes that a connection id can have (RFC 9000 §17.2).
pub const MAX_CID: usize = 20;

/// The digest of the part of a datagram's destination connection id (RFC 8999 §5) that names a
/// server; the datagram starts at `offset`.
///
/// A short header does not say how long its connection id is, but at least 20 bytes follow it
/// (RFC 9001 §5.4.2), so that a view of the longest one never fails.
#[inline(always)]
pub fn digest_of<P: Packet>(packet: &P, offset: usize, part: CidPart) -> Option<u64> {
    const LONG_HEADER: u8 = 0x80;
    const START: usize = 6;
    let [first, _version @ .., length]: [u8; START] = *packet.view(offset)?;
    let skip = part.offset & 0x1f;
    if first & LONG_HEADER == 0 {
        let bytes = packet.view(offset + 1 + usize::from(skip))?;
        return Some(digest(bytes, part.length));
    }
    let rest = length.checked_sub(skip).filter(|rest| *rest > 0)?;
    let bytes = packet.view(offset + START + usize::from(skip))?;
    Some(digest(bytes, rest.min(part.length)))
}

/// A number for the first `length` bytes that is as good as unique, and never 0.
#[inline(always)]
pub fn digest(bytes: &[u8; MAX_CID], length: u8) -> u64 {
    let [a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7, c0, c1, c2, c3] = *bytes;
    let a = u64::from_be_bytes([a0, a1, a2, a3, a4, a5, a6, a7]);
    let b = u64::from_be_bytes([b0, b1, b2, b3, b4, b5, b6, b7]);
    let c = u64::from_be_bytes([c0, c1, c2, c3, 0, 0, 0, 0]);
    let bits = u32::from(length) * 8;
    let parts =
        [a & first(bits), b & first(bits.saturating_sub(64)), c & first(bits.saturating_sub(128))];
    hash::words(parts).max(1)
}

/// The first `bits` of a word, at most 64.
#[inline(always)]
const fn first(bits: u32) -> u64 {
    if bits >= 64 { u64::MAX } else { !(u64::MAX >> bits) }
}

/// Key of `SERVER_IDS`: digest of a connection id's part (8 bytes), pool (4), zero (4). The value
/// is the id of the backend.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct ServerIdKey([u64; 2]);

impl ServerIdKey {
    /// Key of a server of a pool.
    #[inline(always)]
    pub const fn new(digest: u64, pool: u16) -> Self {
        Self([digest, pool as u64])
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
            assert_eq!(digest(&bytes, length as u8), digest(&other, length as u8), "{length}");
            if length > 0 {
                other[length - 1] ^= 1;
                assert_ne!(digest(&bytes, length as u8), digest(&other, length as u8), "{length}");
            }
        }
    }

    #[test]
    fn layout() {
        assert_eq!((size_of::<ServerIdKey>(), align_of::<ServerIdKey>()), (16, 8));
    }
}
