//! The ring: a slot names its present and its former owner; a hash names a slot.

use bytemuck::{Pod, Zeroable};

/// Slots in one element of `RINGS` and `RINGS_SEEN`: the kernel pads array elements to 8 bytes, so
/// 4-byte slots are stored sixteen to an element, which is one cache line.
pub const CHUNK: u32 = 16;

/// One element of `RINGS` (slots) or `RINGS_SEEN` (coarse monotonic seconds).
pub type Chunk = [u32; CHUNK as usize];

/// One entry of a ring: ids of the present and the former owner, 0 = none.
///
/// - *settled* (`prev == 0`): every packet goes to `cur`;
/// - *moving* (`prev` is another): new flows go to `cur` and are recorded, flows without a record
///   are older than the change and go to `prev`;
/// - with *exceptions* (`prev == cur`, or [`Slot::NO_MEMBER`] where `cur` is 0): recorded flows go where
///   their records say, all others to `cur`.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct Slot(pub u32);

impl Slot {
    /// No backend has this id. As the former owner of a slot without a present one it stands for
    /// exceptions: recorded flows are honoured, others find no backend.
    pub const NO_MEMBER: u16 = u16::MAX;

    /// A slot owned by `cur` that formerly was owned by `prev` (0: settled).
    #[inline(always)]
    pub const fn new(cur: u16, prev: u16) -> Self {
        Self(cur as u32 | (prev as u32) << 16)
    }

    /// Id of the present owner, 0 = none.
    #[inline(always)]
    pub const fn cur(self) -> u16 {
        self.0 as u16
    }

    /// Id of the former owner whose flows may still live, 0 = none.
    #[inline(always)]
    pub const fn prev(self) -> u16 {
        (self.0 >> 16) as u16
    }

    /// Whether every packet goes to the present owner.
    #[inline(always)]
    pub const fn is_settled(self) -> bool {
        self.prev() == 0
    }

    /// Whether flows without a record go to another than the present owner.
    #[inline(always)]
    pub const fn is_moving(self) -> bool {
        !self.is_settled() && self.prev() != self.cur() && self.prev() != Self::NO_MEMBER
    }

    /// Whether flows without a record go to the present owner, and recorded ones may go elsewhere.
    #[inline(always)]
    pub const fn has_exceptions(self) -> bool {
        !self.is_settled() && !self.is_moving()
    }

    /// The slot with exceptions whose present owner this is.
    #[inline(always)]
    pub const fn excepting(cur: u16) -> Self {
        Self::new(cur, if cur == 0 { Self::NO_MEMBER } else { cur })
    }
}

/// The slot, in `0..size`, that a hash falls on: a multiplication instead of a division.
#[inline(always)]
pub const fn index(hash: u32, size: u32) -> u32 {
    ((hash as u64 * size as u64) >> 32) as u32
}

/// Slots at the end of a schedule of this size that hold each owner once before any holds one again,
/// whatever its weight: where the next turns belong to owners that have no room, these find the others.
#[inline(always)]
pub const fn rounds(size: u32) -> u32 {
    /// Twice as many as are looked at.
    const LEAST: u32 = 128;
    if size < LEAST {
        0
    } else if size >> 6 < LEAST {
        LEAST
    } else {
        size >> 6
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn layout() {
        assert_eq!((size_of::<Slot>(), align_of::<Slot>()), (4, 4));
        assert_eq!(size_of::<Chunk>(), 64);
        let slot = Slot::new(0x1234, 0x5678);
        assert_eq!((slot.cur(), slot.prev(), slot.is_settled()), (0x1234, 0x5678, false));
        assert!(Slot::new(7, 0).is_settled());
    }

    #[test]
    fn a_slot_is_in_one_of_three_states() {
        let states = |slot: Slot| [slot.is_settled(), slot.is_moving(), slot.has_exceptions()];
        for slot in [Slot::new(7, 0), Slot::new(0, 0)] {
            assert_eq!(states(slot), [true, false, false], "{slot:?}");
        }
        for slot in [Slot::new(7, 8), Slot::new(0, 8)] {
            assert_eq!(states(slot), [false, true, false], "{slot:?}");
        }
        for slot in [Slot::excepting(7), Slot::excepting(0)] {
            assert_eq!(states(slot), [false, false, true], "{slot:?}");
        }
    }

    #[test]
    fn extremes_of_the_hash_stay_in_the_ring() {
        for size in [1, 4093, 16_381, 65_537, 655_373, u32::MAX] {
            assert_eq!(index(0, size), 0);
            assert_eq!(index(u32::MAX, size), size - 1);
        }
        assert_eq!(index(u32::MAX, 0), 0);
    }

    proptest! {
        #[test]
        fn every_hash_falls_into_the_ring(hash: u32, size in 1u32..) {
            prop_assert!(index(hash, size) < size);
        }

        #[test]
        fn a_larger_hash_never_falls_on_an_earlier_slot(a: u32, b: u32, size in 1u32..) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(index(low, size) <= index(high, size));
        }
    }
}
