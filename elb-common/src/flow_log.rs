//! The flow log and the samples of sFlow: what is written down of connections, of what is refused and of
//! sampled packets, and how much of it.

use bytemuck::{Pod, Zeroable};

use crate::flow::Ports;

/// Value of `FLOW_LOG`, one element: how much is written down. The agent writes it while the log is on;
/// all zeroes: nothing is.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct FlowLog {
    /// Events in a second on each CPU, at most.
    pub budget: u32,
    /// Until when, in coarse monotonic seconds. The agent moves it on; without an agent it passes.
    pub until: u32,
    /// 1: opens, ends and refusals are for the flow log.
    pub logged: u32,
    /// 1: refusals are for sFlow, too, with the first bytes of their frames.
    pub discards: u32,
    /// One of so many packets is a sample; 0: none is.
    pub sampling: u32,
}

/// Bytes of a frame that follow a [`FlowEvent`] which carries them, at most; a power of two.
pub const HEADER: u32 = 128;

/// Bytes of `FLOW_EVENTS`, a power of two and a multiple of the page size of any machine: room for 23,000
/// events, or for 9,700 with the first bytes of a frame.
pub const FLOW_EVENT_BYTES: u32 = 1 << 21;

/// An element of `FLOW_EVENTS`; the first bytes of the frame may follow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct FlowEvent {
    /// When, in nanoseconds of the monotonic clock.
    pub time: u64,
    /// Sender, as in [`crate::path::peek::Ends`].
    pub source: [u64; 2],
    /// Receiver, as in [`crate::path::peek::Ends`].
    pub destination: [u64; 2],
    /// Ports, if [`known::PORTS`].
    pub ports: Ports,
    /// Sequence number, if [`known::SEGMENT`].
    pub sequence: u32,
    /// Bytes of data in the segment, if [`known::SEGMENT`]; how many packets it stands for, if
    /// [`known::SAMPLE`].
    pub data: u32,
    /// Which of the fields are known, bits of [`known`].
    pub known: u32,
    /// Protocol of the payload (IANA number), if [`known::PROTOCOL`].
    pub protocol: u32,
    /// Flags of TCP, if [`known::SEGMENT`].
    pub flags: u32,
    /// Number of the [`crate::reason::Reason`], or [`crate::trace::FORWARDED`].
    pub reason: u32,
    /// Id of the listener, or [`NO_LISTENER`].
    pub listener: u16,
    /// Id of the backend that was chosen; 0: none was.
    pub backend: u16,
    /// Length of the frame, if [`known::LENGTH`].
    pub length: u32,
    /// Interface that it came by.
    pub ingress: u32,
}

/// Bits of [`FlowEvent::known`].
pub mod known {
    /// The addresses.
    pub const ENDS: u32 = 1;
    /// The protocol.
    pub const PROTOCOL: u32 = 1 << 1;
    /// The ports.
    pub const PORTS: u32 = 1 << 2;
    /// What the TCP header says.
    pub const SEGMENT: u32 = 1 << 3;
    /// The length of the frame as it came.
    pub const LENGTH: u32 = 1 << 4;
    /// The addresses are those of an ARP message.
    pub const ARP: u32 = 1 << 5;
    /// It is a sample: any packet, of which only length and interface are known, and its first bytes.
    pub const SAMPLE: u32 = 1 << 6;
}

/// [`FlowEvent::listener`] of a packet for none. Ids are less.
pub const NO_LISTENER: u16 = u16::MAX;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// A TCP connection opens.
    Open = flow_counter::OPENS,
    /// A client ends a TCP connection.
    End = flow_counter::ENDS,
    /// A packet is dropped, or answered by an error or a reset.
    Refusal = flow_counter::REFUSALS,
}

impl FlowEvent {
    /// What happened to a packet with these flags of TCP that met this reason.
    #[inline(always)]
    pub const fn kind(reason: u32, flags: u32) -> Kind {
        const ENDS: u32 = 0x01 | 0x04;
        if reason != crate::trace::FORWARDED {
            Kind::Refusal
        } else if flags & ENDS != 0 {
            Kind::End
        } else {
            Kind::Open
        }
    }
}

/// Values of an index into `FLOW_COUNTERS`.
pub mod flow_counter {
    /// Connections that opened.
    pub const OPENS: u32 = 0;
    /// Ends of connections.
    pub const ENDS: u32 = 1;
    /// Packets that were refused.
    pub const REFUSALS: u32 = 2;
    /// Of all these, those beyond the budget.
    pub const RATE: u32 = 3;
    /// Of all these, those that `FLOW_EVENTS` had no room for.
    pub const RING: u32 = 4;
    /// Refusals for sFlow, beyond the budget or without room.
    pub const DISCARDS_LOST: u32 = 5;
    /// Samples, beyond the budget or without room.
    pub const SAMPLES_LOST: u32 = 6;
    /// How many counters there are.
    pub const COUNT: u32 = 7;
}

/// How many events a CPU wrote down in which coarse monotonic second.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Spent {
    second: u32,
    opens: u32,
    all: u32,
}

impl Spent {
    /// Whether one more event is within the budget; counts it. Opens get half of the budget, so that a
    /// flood of them hides neither ends nor refusals.
    #[inline(always)]
    pub fn takes(&mut self, now: u32, is_open: bool, budget: u32) -> bool {
        if self.second != now {
            *self = Self { second: now, opens: 0, all: 0 };
        }
        if self.all >= budget || (is_open && self.opens >= budget / 2) {
            return false;
        }
        self.all += 1;
        self.opens += u32::from(is_open);
        true
    }
}

/// Which packet of a CPU is the next sample.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Countdown {
    left: u32,
    all: u32,
}

impl Countdown {
    /// Counts a packet. Whether it is a sample: how many packets it stands for. As many lie between two samples
    /// as a random number says, `sampling` on average, so that nothing regular in traffic is in step with them.
    #[inline(always)]
    pub fn counts(&mut self, sampling: u32, random: impl FnOnce() -> u32) -> Option<u32> {
        let most = sampling.wrapping_mul(2).wrapping_sub(1);
        // Another rate is in force at once.
        if self.left > 1 && self.left <= most {
            self.left -= 1;
            return None;
        }
        let stands_for = Some(self.all).filter(|all| *all != 0 && self.left == 1);
        let next = ((u64::from(random()) * u64::from(most)) >> 32) as u32 + 1;
        (self.left, self.all) = (next, next);
        stands_for
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::FORWARDED;
    use core::mem::{align_of, offset_of, size_of};
    use proptest::prelude::*;

    #[test]
    fn layout() {
        assert_eq!((size_of::<FlowLog>(), align_of::<FlowLog>()), (20, 4));
        assert_eq!((size_of::<Countdown>(), align_of::<Countdown>()), (8, 4));
        assert_eq!((size_of::<FlowEvent>(), align_of::<FlowEvent>()), (80, 8));
        assert_eq!(offset_of!(FlowEvent, ports), 40);
        assert_eq!(offset_of!(FlowEvent, known), 52);
        assert_eq!(offset_of!(FlowEvent, listener), 68);
        assert_eq!(offset_of!(FlowEvent, ingress), 76);
        assert_eq!(size_of::<Spent>(), 12);
    }

    #[test]
    fn what_is_not_forwarded_is_refused_whatever_its_flags_say() {
        assert_eq!(FlowEvent::kind(FORWARDED, 0x02), Kind::Open);
        assert_eq!(FlowEvent::kind(FORWARDED, 0x11), Kind::End);
        assert_eq!(FlowEvent::kind(FORWARDED, 0x04), Kind::End);
        assert_eq!(FlowEvent::kind(14, 0x02), Kind::Refusal);
    }

    proptest! {
        #[test]
        fn samples_stand_for_all_packets(
            sampling in 1..300_u32,
            seed: u32,
        ) {
            let (mut countdown, mut state) = (Countdown::default(), seed);
            let mut random = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state
            };
            // The first packet only begins to count.
            prop_assert_eq!(countdown.counts(sampling, &mut random), None);
            let packets = 2_000 * sampling;
            let samples = (0..packets).filter_map(|_| countdown.counts(sampling, &mut random));
            let (count, sum) = samples.fold((0, 0), |(count, sum), all| (count + 1, sum + all));
            prop_assert!(packets - sum < 2 * sampling, "{sum} of {packets}");
            prop_assert!((1_800..2_200).contains(&count), "{count} samples");
            // A packet that comes while another rate begins is none.
            prop_assert_eq!(Countdown { left: 900, all: 900 }.counts(1, || 7), None);
        }

        #[test]
        fn opens_never_take_what_is_kept_for_the_others(
            budget in 0..50_u32,
            events in proptest::collection::vec(any::<bool>(), 0..200),
        ) {
            let mut spent = Spent::default();
            let taken: std::vec::Vec<bool> =
                events.iter().filter(|open| spent.takes(9, **open, budget)).copied().collect();
            let opens = taken.iter().filter(|open| **open).count() as u32;
            let others = events.iter().filter(|open| !**open).count() as u32;
            prop_assert!(taken.len() as u32 <= budget);
            prop_assert!(opens <= budget / 2);
            prop_assert!(taken.len() as u32 - opens >= others.min(budget - budget / 2));
            let again = Spent::default().takes(10, false, budget);
            prop_assert_eq!(spent.takes(10, false, budget), again);
        }
    }
}
