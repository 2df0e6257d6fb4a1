//! Pools: what packets read that need more than a settled slot.

use bytemuck::{Pod, Zeroable};

use crate::listener::CidPart;

/// Value of `POOLS`, by pool id.
///
/// The agent replaces a record while packets read it: a packet may see some words of each. The
/// former ring is written before any listener needs it and taken away after all slots are settled,
/// so no packet that matters meets half of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Pool {
    /// Until when (coarse monotonic seconds) a UDP flow without a record belongs to the former
    /// owner of its slot; afterwards to the present one.
    pub udp_hold_until: u32,
    /// Seconds without a packet after which a record counts no more.
    pub idle_timeout: u32,
    /// Records whose last packet came before this second count no more, whatever the timeout.
    pub flows_since: u32,
    /// First slot of the ring that the pool had before it got another size or algorithm.
    pub former_base: u32,
    /// Slots of that ring; 0: there is none.
    pub former_size: u32,
    /// How flows found their place on that ring, one of [`crate::listener::algorithm`].
    pub former_algorithm: u16,
    /// As in the listener then.
    pub former_cid: CidPart,
}

impl Pool {
    /// The second before which a record was seen for the last time that counts no more.
    #[inline(always)]
    pub fn oldest(&self, now: u32) -> u32 {
        now.saturating_sub(self.idle_timeout).max(self.flows_since)
    }
}

/// Value of `POOL_STATES`, by pool id. Packets write it, on any CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct PoolState {
    /// Whose turn it is: counts the flows that took a turn.
    pub turn: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, offset_of, size_of};

    #[test]
    fn layout() {
        assert_eq!((size_of::<Pool>(), align_of::<Pool>()), (24, 4));
        assert_eq!(offset_of!(Pool, idle_timeout), 4);
        assert_eq!(offset_of!(Pool, flows_since), 8);
        assert_eq!(offset_of!(Pool, former_base), 12);
        assert_eq!(offset_of!(Pool, former_size), 16);
        assert_eq!(offset_of!(Pool, former_algorithm), 20);
        assert_eq!(offset_of!(Pool, former_cid), 22);
        assert_eq!((size_of::<PoolState>(), align_of::<PoolState>()), (8, 8));
    }

    #[test]
    fn a_record_counts_for_the_idle_timeout_and_not_from_before_a_mark() {
        let pool = Pool { idle_timeout: 60, flows_since: 500, ..Pool::default() };
        assert_eq!([pool.oldest(10), pool.oldest(530), pool.oldest(1000)], [500, 500, 940]);
    }
}
