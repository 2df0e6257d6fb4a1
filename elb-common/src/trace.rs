//! Tracing: which packets are reported, and what about each.

use bytemuck::{Pod, Zeroable};

use crate::path::peek::Ends;

/// Value of `TRACE`, one element: which packets are reported. The agent writes it while packets
/// are traced; all zeroes: none are.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Trace {
    /// Bits of [`Trace::vip`] that count; none: any receiver.
    pub vip_mask: [u64; 2],
    /// The receiver, as in [`Ends`].
    pub vip: [u64; 2],
    /// Bits of [`Trace::client`] that count; none: any sender.
    pub client_mask: [u64; 2],
    /// The sender, as in [`Ends`].
    pub client: [u64; 2],
    /// The address of the backend, as in its record; zeroes: any or none.
    pub member: [u64; 2],
    /// The reasons to report, bit n for the reason with number n; zero: all, and what was
    /// forwarded.
    pub reasons: u64,
    /// Until when, in coarse monotonic seconds. The agent moves it on; without an agent it passes.
    pub until: u32,
    /// One of so many packets is reported, by chance; 0 and 1: each.
    pub sample: u32,
    /// Packets reported in a second on each CPU, at most.
    pub limit: u32,
    /// Bytes of a frame that are copied, at most [`MAX_SNAP`].
    pub snap: u32,
}

/// Bytes of a frame that an event can hold: a whole packet of 1,500 bytes, tagged and encapsulated.
pub const MAX_SNAP: u32 = 2048;

/// Bytes of `EVENTS`, a power of two and a multiple of the page size of any machine.
pub const EVENT_BYTES: u32 = 1 << 20;

impl Trace {
    /// Whether a frame as it came may be one of those asked for: by its sender and receiver, or because it may be a
    /// member's answer to the client, of which only shows afterwards whose virtual address it gets, see
    /// [`Trace::is_of_answer`].
    #[inline(always)]
    pub fn wants(&self, ends: Option<Ends>) -> bool {
        self.is_of(ends) || ends.is_some_and(|ends| self.is_to_client(ends))
    }

    /// Whether sender and receiver are those asked for. A frame without addresses is, if none were
    /// asked for.
    #[inline(always)]
    pub fn is_of(&self, ends: Option<Ends>) -> bool {
        match ends {
            Some(ends) => {
                differs(ends.destination, self.vip, self.vip_mask)
                    | differs(ends.source, self.client, self.client_mask)
                    == 0
            }
            None => {
                self.vip_mask[0] | self.vip_mask[1] | self.client_mask[0] | self.client_mask[1] == 0
            }
        }
    }

    /// The same of a member's answer as it goes: from the virtual address to the client.
    pub fn is_of_answer(&self, sent: Option<Ends>) -> bool {
        let Some(Ends { source, destination }) = sent else { return false };
        self.is_of(Some(Ends { source: destination, destination: source }))
    }

    /// Whether the receiver is the client asked for; not if none was.
    #[inline(always)]
    pub fn is_to_client(&self, ends: Ends) -> bool {
        self.client_mask[0] | self.client_mask[1] != 0
            && differs(ends.destination, self.client, self.client_mask) == 0
    }

    /// Whether what became of a frame is asked for.
    #[inline(always)]
    pub fn wants_reason(&self, reason: u32) -> bool {
        // Reasons are below 64; FORWARDED has no bit.
        self.reasons == 0 || (reason < 64 && self.reasons >> (reason & 63) & 1 != 0)
    }
}

#[inline(always)]
fn differs(one: [u64; 2], other: [u64; 2], mask: [u64; 2]) -> u64 {
    ((one[0] ^ other[0]) & mask[0]) | ((one[1] ^ other[1]) & mask[1])
}

/// What `EVENTS` holds for each packet: this record, then [`Event::received_bytes`] bytes of the
/// frame as it came, then [`Event::sent_bytes`] bytes of the frame as it went.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Event {
    /// When, in nanoseconds of the monotonic clock.
    pub time: u64,
    /// Interface it came by.
    pub ingress: u32,
    /// Interface it left by; 0: none.
    pub egress: u32,
    /// Number of the [`crate::reason::Reason`], or [`FORWARDED`].
    pub reason: u32,
    /// Id of the listener; [`NO_LISTENER`]: none was found.
    pub listener: u32,
    /// Id of the backend that was looked up last; 0: none.
    pub backend: u32,
    /// Length of the frame as it came.
    pub received: u32,
    /// Length of the frame as it went; 0: it did not.
    pub sent: u32,
    /// Bytes copied of the frame as it came.
    pub received_bytes: u32,
    /// Bytes copied of the frame as it went.
    pub sent_bytes: u32,
    /// Zero.
    pub reserved: u32,
}

/// [`Event::reason`] of a packet that was forwarded.
pub const FORWARDED: u32 = u32::MAX;
/// [`Event::listener`] of a packet for none.
pub const NO_LISTENER: u32 = u32::MAX;

/// Values of an index into `TRACE_COUNTERS`.
pub mod trace_counter {
    /// Packets that were asked for.
    pub const MATCHED: u32 = 0;
    /// Of those, packets beyond the limit per second.
    pub const LIMITED: u32 = 1;
    /// Of those, packets that `EVENTS` had no room for.
    pub const FULL: u32 = 2;
    /// How many counters there are.
    pub const COUNT: u32 = 3;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::peek::mapped;
    use core::mem::{align_of, offset_of, size_of};

    #[test]
    fn layout() {
        assert_eq!((size_of::<Trace>(), align_of::<Trace>()), (104, 8));
        assert_eq!(offset_of!(Trace, member), 64);
        assert_eq!(offset_of!(Trace, reasons), 80);
        assert_eq!(offset_of!(Trace, until), 88);
        assert_eq!(offset_of!(Trace, snap), 100);
        assert_eq!((size_of::<Event>(), align_of::<Event>()), (48, 8));
        assert_eq!(offset_of!(Event, reason), 16);
        assert_eq!(offset_of!(Event, received_bytes), 36);
        assert_eq!(offset_of!(Event, reserved), 44);
    }

    #[test]
    fn a_trace_wants_what_lies_under_its_masks() {
        let address = |n: u8| mapped(bytemuck::cast([10u8, 0, 0, n]));
        let whole = [u64::MAX; 2];
        let ends = |from, to| Some(Ends { source: address(from), destination: address(to) });
        let any = Trace::default();
        assert!(any.wants(ends(1, 2)) && any.wants(None));
        let vip = Trace { vip: address(2), vip_mask: whole, ..any };
        assert!(vip.wants(ends(1, 2)) && !vip.wants(ends(2, 1)) && !vip.wants(None));
        let [first, second]: [u64; 2] =
            bytemuck::cast([[255u8; 8], [255, 255, 255, 255, 255, 255, 255, 0]]);
        let net = Trace { client: address(0), client_mask: [first, second], ..any };
        assert!(net.wants(ends(77, 2)) && !net.wants(None));
        assert!(!net.wants(Some(Ends { source: [0; 2], destination: [0; 2] })));
    }

    #[test]
    fn an_answer_to_the_client_may_be_wanted_and_shows_afterwards() {
        let address = |n: u8| mapped(bytemuck::cast([10u8, 0, 0, n]));
        let whole = [u64::MAX; 2];
        let ends = |from, to| Some(Ends { source: address(from), destination: address(to) });
        let any = Trace::default();
        let vip = Trace { vip: address(2), vip_mask: whole, ..any };
        let both = Trace { client: address(1), client_mask: whole, ..vip };
        // From a member, 9, as it comes.
        assert!(both.wants(ends(9, 1)) && !both.is_of(ends(9, 1)) && !both.wants(ends(9, 3)));
        assert!(!vip.wants(ends(9, 1)), "it would be any packet");
        assert!(both.is_of_answer(ends(2, 1)) && vip.is_of_answer(ends(2, 1)));
        assert!(!both.is_of_answer(ends(4, 1)) && !both.is_of_answer(ends(2, 3)));
        assert!(!both.is_of_answer(None));
    }

    #[test]
    fn reasons_are_bits() {
        let some = Trace { reasons: 1 << 14 | 1 << 63, ..Trace::default() };
        assert!(some.wants_reason(14) && some.wants_reason(63) && !some.wants_reason(13));
        assert!(!some.wants_reason(FORWARDED) && Trace::default().wants_reason(FORWARDED));
    }
}
