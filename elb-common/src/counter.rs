//! Counters, one per CPU and thing counted.

use bytemuck::{Pod, Zeroable};

/// Value of `LISTENER_COUNTERS`, `BACKEND_COUNTERS` and `REASON_COUNTERS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Counter {
    /// Frames.
    pub packets: u64,
    /// Bytes of those frames as received, Ethernet header included, checksum not.
    pub bytes: u64,
}

impl Counter {
    /// Counts one frame of `bytes` bytes.
    #[inline(always)]
    pub fn add(&mut self, bytes: u64) {
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(bytes);
    }
}

impl core::iter::Sum for Counter {
    fn sum<I: Iterator<Item = Self>>(counters: I) -> Self {
        counters.fold(Self::default(), |a, b| Self {
            packets: a.packets.wrapping_add(b.packets),
            bytes: a.bytes.wrapping_add(b.bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, offset_of, size_of};

    #[test]
    fn layout_and_sum() {
        assert_eq!((size_of::<Counter>(), align_of::<Counter>()), (16, 8));
        assert_eq!(offset_of!(Counter, bytes), 8);
        let mut counter = Counter::default();
        counter.add(60);
        assert_eq!(
            [counter, counter].into_iter().sum::<Counter>(),
            Counter { packets: 2, bytes: 120 }
        );
    }
}
