//! Integers in network byte order, at the alignment frames really have.

use bytemuck::{Pod, Zeroable};

/// A 16-bit integer in network byte order.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Be16(u16);

impl Be16 {
    /// From a host integer.
    #[inline(always)]
    pub const fn new(value: u16) -> Self {
        Self(value.to_be())
    }

    /// From the word as it lies in memory.
    #[inline(always)]
    pub const fn from_raw(raw: u16) -> Self {
        Self(raw)
    }

    /// As a host integer.
    #[inline(always)]
    pub const fn get(self) -> u16 {
        u16::from_be(self.0)
    }

    /// The word as it lies in memory: what map keys and checksums are made of.
    #[inline(always)]
    pub const fn raw(self) -> u16 {
        self.0
    }
}

/// A 32-bit integer in network byte order, aligned to 2: an IPv4 address in a frame.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Be32([u16; 2]);

impl Be32 {
    /// From the word as it lies in memory.
    #[inline(always)]
    pub const fn from_raw(raw: u32) -> Self {
        if cfg!(target_endian = "little") {
            Self([raw as u16, (raw >> 16) as u16])
        } else {
            Self([(raw >> 16) as u16, raw as u16])
        }
    }

    /// The word as it lies in memory.
    #[inline(always)]
    pub const fn raw(self) -> u32 {
        if cfg!(target_endian = "little") {
            self.0[0] as u32 | (self.0[1] as u32) << 16
        } else {
            (self.0[0] as u32) << 16 | self.0[1] as u32
        }
    }

    /// The first and the last two bytes.
    #[inline(always)]
    pub const fn halves(self) -> [Be16; 2] {
        [Be16(self.0[0]), Be16(self.0[1])]
    }
}

/// An IPv6 address in a frame, aligned to 2. Two words, so that a copy takes two registers.
#[repr(C, packed(2))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Be128([u64; 2]);

impl Be128 {
    /// From the four words as they lie in memory.
    #[inline(always)]
    pub const fn from_raw([a, b, c, d]: [u32; 4]) -> Self {
        Self([join(a, b), join(c, d)])
    }

    /// From two 64-bit words in memory order.
    #[inline(always)]
    pub const fn from_words(words: [u64; 2]) -> Self {
        Self(words)
    }

    /// The four words as they lie in memory.
    #[inline(always)]
    pub const fn raw(self) -> [u32; 4] {
        let [[a, b], [c, d]] = [split(self.0[0]), split(self.0[1])];
        [a, b, c, d]
    }

    /// The address as two 64-bit words in memory order, as map keys hold it.
    #[inline(always)]
    pub const fn words(self) -> [u64; 2] {
        self.0
    }
}

/// The two halves of a 64-bit word, in memory order.
#[inline(always)]
pub(crate) const fn split(word: u64) -> [u32; 2] {
    if cfg!(target_endian = "little") {
        [word as u32, (word >> 32) as u32]
    } else {
        [(word >> 32) as u32, word as u32]
    }
}

/// Two 32-bit words of memory as the 64-bit word that covers both.
#[inline(always)]
pub(crate) const fn join(first: u32, second: u32) -> u64 {
    if cfg!(target_endian = "little") {
        first as u64 | (second as u64) << 32
    } else {
        (first as u64) << 32 | second as u64
    }
}

/// An Ethernet address, as three words so that it copies without byte stores.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Pod, Zeroable)]
pub struct Mac([u16; 3]);

impl Mac {
    /// From the six bytes in transmission order.
    pub const fn new(b: [u8; 6]) -> Self {
        Self([
            u16::from_ne_bytes([b[0], b[1]]),
            u16::from_ne_bytes([b[2], b[3]]),
            u16::from_ne_bytes([b[4], b[5]]),
        ])
    }

    /// The six bytes in transmission order.
    pub const fn bytes(self) -> [u8; 6] {
        let ([a, b], [c, d], [e, f]) =
            (self.0[0].to_ne_bytes(), self.0[1].to_ne_bytes(), self.0[2].to_ne_bytes());
        [a, b, c, d, e, f]
    }

    /// The first four bytes and the last two as words, as they lie in memory.
    #[inline(always)]
    pub const fn words(self) -> [u32; 2] {
        let [a, b, c] = self.0;
        [
            Be32([a, b]).raw(),
            if cfg!(target_endian = "little") { c as u32 } else { (c as u32) << 16 },
        ]
    }

    /// Whether the address names a group (multicast or broadcast; IEEE 802 I/G bit).
    #[inline(always)]
    pub const fn is_group(self) -> bool {
        self.0[0].to_ne_bytes()[0] & 1 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_the_bytes_in_order() {
        let bytes: [u8; 16] = core::array::from_fn(|i| i as u8);
        let address: Be128 = bytemuck::cast(bytes);
        assert_eq!(bytemuck::cast::<_, [u8; 16]>(address.words()), bytes);
        assert_eq!(bytemuck::cast::<_, [u8; 16]>(address.raw()), bytes);
        assert_eq!(Be128::from_raw(address.raw()), address);
        assert_eq!(Be16::new(80).raw().to_ne_bytes(), [0, 80]);
        assert_eq!(Mac::new([1, 2, 3, 4, 5, 6]).bytes(), [1, 2, 3, 4, 5, 6]);
        assert!(Mac::new([1, 0, 0x5e, 0, 0, 1]).is_group());
    }
}
