//! Room in the flow tables: who may record one more flow.
//!
//! A listener may record while it has fewer records than are free (dynamic thresholds, Choudhury and
//! Hahne, IEEE/ACM Transactions on Networking 6(2), 1998): one flooded listener gets half of a table,
//! two get a third each, and there is always room for another. Flows of which a single packet came
//! that did not open them have a smaller part, since any host can send such packets.

use bytemuck::{Pod, Zeroable};

/// Value of `FLOW_TABLES`, by IP version: [`V4`] or [`V6`]. Packets on any CPU and the agent write it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct FlowTable {
    /// Records in the table, in two's complement, since the count may pass through less than none.
    pub records: u64,
    /// Records that the table has room for. Written by the agent.
    pub room: u32,
    /// When the agent last swept the table, in coarse monotonic seconds; 0: never.
    pub swept: u32,
    /// Until when (coarse monotonic seconds) records are still being carried over from other maps; 0: none
    /// are. Written by the agent.
    pub carried_until: u32,
    /// Zero.
    pub reserved: u32,
}

/// A count of connections or records as it is meant: less than none is none.
#[inline(always)]
pub const fn connections(count: u64) -> u32 {
    if count > u32::MAX as u64 { 0 } else { count as u32 }
}

/// Index of `FLOWS_V4` into `FLOW_TABLES` and of its counts elsewhere.
pub const V4: usize = 0;
/// Index of `FLOWS_V6`.
pub const V6: usize = 1;

/// Seconds since the last sweep for which counts are believed. Without an agent no one takes records
/// away: then nothing is refused for lack of room or for a count of connections, and the least
/// recently used record makes room.
pub const BELIEVED: u32 = 60;

/// What a record is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// A flow that opens now, and will want a record with its next packet.
    Opening,
    /// A flow whose second packet came.
    Live,
    /// A flow of which one packet came that did not open it.
    Stray,
}

/// What a listener has in a table, as its counts say: two's complement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Its records.
    pub records: u64,
    /// Strays among them.
    pub strays: u64,
}

impl FlowTable {
    /// Whether a listener may have one more record.
    #[inline(always)]
    pub const fn has_room(&self, own: Own, claim: Claim, now: u32) -> bool {
        let free = (self.room as u64).saturating_sub(connections(self.records) as u64);
        let records = connections(own.records) as u64;
        let strays = connections(own.strays) as u64;
        let fits = match claim {
            Claim::Opening => records < free,
            // What was let in is not turned away a packet later.
            Claim::Live => records < 2 * free,
            // Who sends each packet twice makes records of strays that are none any more.
            Claim::Stray => 4 * strays < free && records < 2 * free,
        };
        fits || !self.is_believed(now)
    }

    /// Whether the counts are those of a sweep not long ago.
    #[inline(always)]
    pub const fn is_believed(&self, now: u32) -> bool {
        now.saturating_sub(self.swept) <= BELIEVED
    }

    /// Whether a record may exist that is not in the table yet.
    #[inline(always)]
    pub const fn is_carried(&self, now: u32) -> bool {
        now < self.carried_until
    }
}

#[cfg(test)]
mod tests {
    use core::mem::{align_of, offset_of, size_of};

    use super::*;

    const NOW: u32 = 1000;

    fn table(records: u64) -> FlowTable {
        FlowTable { records, room: 1200, swept: NOW, ..FlowTable::default() }
    }

    /// Records of each of so many listeners that all claim what they can get; all are strays, or none.
    fn share(listeners: u64, claim: Claim, are_strays: bool) -> u64 {
        let mut own = Own::default();
        while table(own.records * listeners).has_room(own, claim, NOW) {
            own.records += 1;
            own.strays += u64::from(are_strays);
        }
        own.records
    }

    #[test]
    fn listeners_share_and_leave_room() {
        assert_eq!([1, 2, 3].map(|all| share(all, Claim::Opening, false)), [600, 400, 300]);
        assert_eq!([1, 2, 3].map(|all| share(all, Claim::Live, false)), [800, 480, 343]);
        assert_eq!([1, 2, 3].map(|all| share(all, Claim::Stray, true)), [240, 200, 172]);
        assert!(table(1199).has_room(Own::default(), Claim::Stray, NOW));
        assert!(!table(1200).has_room(Own::default(), Claim::Live, NOW));
    }

    #[test]
    fn strays_that_become_flows_fill_no_table() {
        assert_eq!([1, 2, 3].map(|all| share(all, Claim::Stray, false)), [800, 480, 343]);
    }

    #[test]
    fn without_sweeps_nothing_is_refused() {
        let full = table(1200);
        let own = Own { records: 9, strays: 0 };
        assert!(!full.has_room(own, Claim::Opening, NOW + BELIEVED));
        assert!(full.has_room(own, Claim::Opening, NOW + BELIEVED + 1));
    }

    #[test]
    fn carrying_over_ends_by_itself() {
        let carried = FlowTable { carried_until: NOW + 5, ..table(0) };
        assert_eq!([NOW, NOW + 4, NOW + 5].map(|now| carried.is_carried(now)), [true, true, false]);
        assert!(!table(0).is_carried(NOW));
    }

    #[test]
    fn layout() {
        assert_eq!((size_of::<FlowTable>(), align_of::<FlowTable>()), (24, 8));
        assert_eq!(offset_of!(FlowTable, room), 8);
        assert_eq!(offset_of!(FlowTable, swept), 12);
        assert_eq!(offset_of!(FlowTable, carried_until), 16);
    }
}
