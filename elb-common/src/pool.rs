//! Pools: what packets read that need more than a settled slot.

use bytemuck::{Pod, Zeroable};

use crate::client::Persistence;
use crate::listener::CidPart;

/// A ring: where it lies in `RINGS`, and how flows find their slots on it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Ring {
    /// First slot.
    pub base: u32,
    /// Slots; 0: there is no ring.
    pub size: u32,
    /// One of [`crate::listener::algorithm`].
    pub algorithm: u16,
    /// Where the part of a QUIC connection id lies that identifies flows.
    pub cid: CidPart,
    /// Zero.
    pub reserved: u32,
}

/// Value of `POOLS`, by pool id.
///
/// The agent replaces a record while packets read it: a packet may see some words of each. The
/// former ring is written before any listener needs it and taken away after all flows on it are
/// recorded or over, so no packet that matters meets half of it.
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
    /// For how long its clients are remembered. Needs [`crate::listener::listener_flags::TRACKED`].
    pub persistence: Persistence,
    /// Its ring, as the listeners' records have it.
    pub ring: Ring,
    /// The ring that it had before it got another size or algorithm, as long as flows without a
    /// record may live on that.
    pub former: Ring,
}

impl Pool {
    /// The second before which a record was seen for the last time that counts no more. The mark is not
    /// for records of a listener that moved here: they lived by its own timeout.
    #[inline(always)]
    pub fn oldest(&self, now: u32, listener_moved: bool) -> u32 {
        let oldest = now.saturating_sub(self.idle_timeout);
        if listener_moved { oldest } else { oldest.max(self.flows_since) }
    }

    /// The ring that flows older than every record live on.
    #[inline(always)]
    pub const fn oldest_ring(&self) -> Ring {
        if self.former.size == 0 { self.ring } else { self.former }
    }
}

/// Value of `POOL_STATES`, by pool id. Packets write it, on any CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct PoolState {
    /// Whose turn it is: counts the flows that took a turn.
    pub turn: u64,
    /// When a flow last found no room for a record, in coarse monotonic seconds; 0: never.
    pub refused: u32,
    /// Zero.
    pub reserved: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, offset_of, size_of};

    #[test]
    fn layout() {
        assert_eq!((size_of::<Ring>(), align_of::<Ring>()), (16, 4));
        assert_eq!(offset_of!(Ring, size), 4);
        assert_eq!(offset_of!(Ring, algorithm), 8);
        assert_eq!(offset_of!(Ring, cid), 10);
        assert_eq!((size_of::<Pool>(), align_of::<Pool>()), (48, 4));
        assert_eq!(offset_of!(Pool, idle_timeout), 4);
        assert_eq!(offset_of!(Pool, flows_since), 8);
        assert_eq!(offset_of!(Pool, persistence), 12);
        assert_eq!(offset_of!(Pool, ring), 16);
        assert_eq!(offset_of!(Pool, former), 32);
        assert_eq!((size_of::<PoolState>(), align_of::<PoolState>()), (16, 8));
        assert_eq!(offset_of!(PoolState, refused), 8);
    }

    #[test]
    fn a_record_counts_for_the_idle_timeout_and_not_from_before_a_mark() {
        let pool = Pool { idle_timeout: 60, flows_since: 500, ..Pool::default() };
        assert_eq!([10, 530, 1000].map(|now| pool.oldest(now, false)), [500, 500, 940]);
        assert_eq!([10, 530, 1000].map(|now| pool.oldest(now, true)), [0, 470, 940]);
    }
}
