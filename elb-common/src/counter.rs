//! Counters, one per CPU and thing counted.

use bytemuck::{Pod, Zeroable};

use crate::reason::{Fate, Reason};

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

/// Value of `LISTENER_ANSWERS` and `BACKEND_ANSWERS`: what members' answers that are translated back say of their TCP
/// connections.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Answers {
    /// Segments that accept a connection. One that is repeated counts again.
    pub accepted: u64,
    /// Segments that reset a connection, or refuse one.
    pub resets: u64,
}

impl Answers {
    /// Counts a segment that does one of both.
    #[inline(always)]
    pub fn add(&mut self, resets: bool) {
        let counted = if resets { &mut self.resets } else { &mut self.accepted };
        *counted = counted.wrapping_add(1);
    }
}

/// Value of `LISTENER_EVENTS`: what seldom happens, apart from [`Counter`], so that packets of established
/// connections touch none of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ListenerEvents {
    /// TCP packets that open a connection and were given a backend. One that is repeated counts again.
    pub opened: u64,
    /// TCP packets that reset a connection and were given a backend.
    pub resets: u64,
    /// Packets dropped, each in the [place](drop_place) of its reason.
    pub dropped: [u64; DROP_PLACES],
}

/// Elements of [`ListenerEvents::dropped`]; room for reasons to come.
pub const DROP_PLACES: usize = 14;

/// Reasons that have a place of their own in [`ListenerEvents::dropped`], in its order: what the
/// listener's configuration, its clients or its members are the cause of.
pub const LISTENER_DROPS: [Reason; 11] = [
    Reason::Disabled,
    Reason::NoBackend,
    Reason::NoNextHop,
    Reason::TooBig,
    Reason::AccessDenied,
    Reason::RateLimited,
    Reason::ConnectionLimit,
    Reason::NoRecord,
    Reason::TtlExpired,
    Reason::Cut,
    Reason::MemberLimit,
];

/// Place of all other reasons: faults of this host, which `REASON_COUNTERS` distinguishes.
pub const OTHER_DROPS: usize = LISTENER_DROPS.len();

/// The place of a reason in [`ListenerEvents::dropped`]; none if the packet is not dropped.
#[inline(always)]
pub const fn drop_place(reason: Reason) -> Option<usize> {
    if !matches!(reason.fate(), Fate::Dropped) {
        return None;
    }
    let mut place = 0;
    while place < OTHER_DROPS {
        if LISTENER_DROPS[place] as u8 == reason as u8 {
            return Some(place);
        }
        place += 1;
    }
    Some(OTHER_DROPS)
}

impl ListenerEvents {
    /// Counts a packet that is not forwarded, if it is dropped.
    #[inline(always)]
    pub fn add_dropped(&mut self, reason: Reason) {
        if let Some(count) = drop_place(reason).and_then(|place| self.dropped.get_mut(place)) {
            *count = count.wrapping_add(1);
        }
    }
}

impl core::iter::Sum for ListenerEvents {
    fn sum<I: Iterator<Item = Self>>(events: I) -> Self {
        events.fold(Self::default(), |a, b| Self {
            opened: a.opened.wrapping_add(b.opened),
            resets: a.resets.wrapping_add(b.resets),
            dropped: core::array::from_fn(|place| a.dropped[place].wrapping_add(b.dropped[place])),
        })
    }
}

impl core::iter::Sum for Answers {
    fn sum<I: Iterator<Item = Self>>(answers: I) -> Self {
        answers.fold(Self::default(), |a, b| Self {
            accepted: a.accepted.wrapping_add(b.accepted),
            resets: a.resets.wrapping_add(b.resets),
        })
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

    #[test]
    fn events_fill_two_cache_lines_and_begin_with_what_is_opened() {
        assert_eq!((size_of::<ListenerEvents>(), align_of::<ListenerEvents>()), (128, 8));
        assert_eq!(offset_of!(ListenerEvents, resets), 8);
        assert_eq!(offset_of!(ListenerEvents, dropped), 16);
    }

    #[test]
    fn what_is_dropped_has_a_place_and_nothing_else() {
        for reason in Reason::ALL {
            let mut events = ListenerEvents::default();
            events.add_dropped(*reason);
            let counted: u64 =
                [events, events].into_iter().sum::<ListenerEvents>().dropped.iter().sum();
            assert_eq!(counted, if reason.fate() == Fate::Dropped { 2 } else { 0 });
        }
        assert_eq!(drop_place(Reason::Cut), Some(9));
        assert_eq!(drop_place(Reason::CarriedOver), Some(OTHER_DROPS));
        const { assert!(OTHER_DROPS < DROP_PLACES) };
    }
}
