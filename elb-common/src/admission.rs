//! Admission: IP groups, limits, and what is counted for them.

use bytemuck::{Pod, Zeroable};

use crate::addr::{Be32, Be128, join};
use crate::room::Own;
pub use crate::room::connections;

/// Key of `GROUPS_V4` with all its bits: IP group (4 bytes), address (4).
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct GroupKeyV4(u64);

/// Key of `GROUPS_V6` with all its bits: IP group (4 bytes), address (16).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Pod, Zeroable)]
pub struct GroupKeyV6([u32; 5]);

/// Bits of a group key before the address.
pub const GROUP_FIXED_BITS: u32 = 32;

impl GroupKeyV4 {
    /// Key of an address in the group with this id.
    #[inline(always)]
    pub const fn new(group: u16, address: Be32) -> Self {
        Self(join(group as u32, address.raw()))
    }
}

impl GroupKeyV6 {
    /// Key of an address in the group with this id.
    #[inline(always)]
    pub const fn new(group: u16, address: Be128) -> Self {
        let [a, b, c, d] = address.raw();
        Self([group as u32, a, b, c, d])
    }

    /// The key as words, in memory order, and four bytes of zeroes.
    #[inline(always)]
    pub const fn words(&self) -> [u64; 3] {
        let [group, a, b, c, d] = self.0;
        [join(group, a), join(b, c), join(d, 0)]
    }
}

/// Value of `LISTENER_STATES`, by listener id. Packets write it, on any CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ListenerState {
    /// What opened in a second, see [`Opened`].
    pub opened: u64,
    /// Connections that are open, where they are tracked. The agent corrects it and what follows by
    /// what it finds in the flow tables; two's complement, since it may pass through less than none.
    pub connections: u64,
    /// Its records in `FLOWS_V4` and in `FLOWS_V6`.
    pub records: [u64; 2],
    /// Those of them of which one packet came that did not open a flow.
    pub strays: [u64; 2],
    /// Flows that found no room for a record.
    pub refused: u64,
    /// Zero.
    pub reserved: u64,
}

impl ListenerState {
    /// What it has in the flow table with this index.
    #[inline(always)]
    pub const fn own(&self, table: usize) -> Own {
        let index = if table == 0 { 0 } else { 1 };
        Own { records: self.records[index], strays: self.strays[index] }
    }
}

/// Connections that opened in one second: the second (coarse, monotonic) in the high half, their
/// number in the low half, so that one atomic addition counts and returns the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened(pub u64);

impl Opened {
    /// The first connection of a second.
    #[inline(always)]
    pub const fn first(second: u32) -> Self {
        Self((second as u64) << 32 | 1)
    }

    /// Whether it counts another second than this one.
    #[inline(always)]
    pub const fn is_over(self, now: u32) -> bool {
        (self.0 >> 32) as u32 != now
    }

    /// One less, if this second has any.
    #[inline(always)]
    pub const fn one_less(self, now: u32) -> Self {
        if self.is_over(now) || self.count() == 0 { self } else { Self(self.0 - 1) }
    }

    /// How many opened.
    #[inline(always)]
    pub const fn count(self) -> u32 {
        self.0 as u32
    }
}

/// Value of `BACKEND_STATES`, by backend id. Packets write it, on any CPU.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct BackendState {
    /// Connections that are open, as in [`ListenerState::connections`].
    pub connections: u64,
    /// What opened in a second, see [`Opened`], where that decides who gets the next one.
    pub opened: u64,
}

impl BackendState {
    /// Connections that count where the least loaded backend is chosen: those that are open, and
    /// those that opened in this second, which may not be known as open yet.
    #[inline(always)]
    pub const fn load(&self, now: u32) -> u32 {
        let opened = Opened(self.opened);
        let opening = if opened.is_over(now) { 0 } else { opened.count() };
        connections(self.connections).saturating_add(opening)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, offset_of, size_of};

    #[test]
    fn group_keys_end_with_the_address() {
        let key = GroupKeyV4::new(5, bytemuck::cast([10u8, 1, 2, 3]));
        assert_eq!(bytemuck::bytes_of(&key)[..4], 5u32.to_ne_bytes());
        assert_eq!(bytemuck::bytes_of(&key)[4..], [10, 1, 2, 3]);
        let address: [u8; 16] = core::array::from_fn(|i| 0xa0 + i as u8);
        let key = GroupKeyV6::new(5, bytemuck::cast(address));
        assert_eq!(bytemuck::bytes_of(&key)[4..], address);
    }

    #[test]
    fn layout() {
        assert_eq!((size_of::<GroupKeyV4>(), align_of::<GroupKeyV4>()), (8, 8));
        assert_eq!((size_of::<GroupKeyV6>(), align_of::<GroupKeyV6>()), (20, 4));
        assert_eq!((size_of::<ListenerState>(), align_of::<ListenerState>()), (64, 8));
        assert_eq!(offset_of!(ListenerState, connections), 8);
        assert_eq!(offset_of!(ListenerState, records), 16);
        assert_eq!(offset_of!(ListenerState, strays), 32);
        assert_eq!(offset_of!(ListenerState, refused), 48);
        assert_eq!((size_of::<BackendState>(), align_of::<BackendState>()), (16, 8));
        assert_eq!(offset_of!(BackendState, opened), 8);
    }

    #[test]
    fn what_opened_is_counted_by_the_second() {
        let opened = Opened(Opened::first(7).0 + 2);
        assert_eq!((opened.count(), opened.is_over(7), opened.is_over(8)), (3, false, true));
        assert_eq!([opened.one_less(7).count(), opened.one_less(8).count()], [2, 3]);
        let none = opened.one_less(7).one_less(7).one_less(7);
        assert_eq!(none.one_less(7), none);
    }

    #[test]
    fn less_than_none_is_none() {
        assert_eq!([connections(0), connections(7), connections(u64::MAX)], [0, 7, 0]);
    }
}
