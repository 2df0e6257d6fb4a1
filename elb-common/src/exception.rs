//! Flows at a member's endpoint that its record does not say the truth of, see [`crate::reply`]: those of a listener
//! that shares the endpoint with another, which the record names; those of clients that reach the member itself by
//! this host; and the member's own connections from that port.
//!
//! There are few of them, so the table is small. Packets look into it only where a backend may have some.

use bytemuck::{Pod, Zeroable};

use crate::addr::{Be16, Be128};
use crate::limits::EXCEPTION_LIFETIME;

/// Value of `EXCEPTIONS_V4` and `EXCEPTIONS_V6`, by the flow as the member sees it: from the client to the member.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Exception {
    /// The virtual address that the client knows. IPv4 in the first four bytes; 0: the member's packets are left alone.
    pub vip: Be128,
    /// The port that the client knows.
    pub port: Be16,
    /// Id of the listener.
    pub listener: u16,
    /// Id of the backend.
    pub backend: u16,
    /// Zero.
    pub reserved: u16,
    /// When a packet from the client's side last came, in coarse monotonic seconds.
    pub seen: u32,
}

impl Exception {
    /// The member's packets are its own.
    pub const fn alone(backend: u16, seen: u32) -> Self {
        let vip = Be128::from_words([0; 2]);
        Self { vip, port: Be16::new(0), listener: 0, backend, reserved: 0, seen }
    }

    /// Whether the member's packets are left alone.
    #[inline(always)]
    pub const fn is_alone(&self) -> bool {
        self.port.raw() == 0
    }

    /// Whether it counts at this second.
    #[inline(always)]
    pub const fn is_live(&self, now: u32) -> bool {
        now.saturating_sub(self.seen) <= EXCEPTION_LIFETIME
    }

    /// Whether it says the same as another, whenever it was seen.
    #[inline(always)]
    pub const fn says(&self, other: &Self) -> bool {
        let ([a, b], [c, d]) = (self.vip.words(), other.vip.words());
        a == c && b == d && self.port.raw() == other.port.raw()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, offset_of, size_of};

    #[test]
    fn layout() {
        assert_eq!((size_of::<Exception>(), align_of::<Exception>()), (28, 4));
        assert_eq!((offset_of!(Exception, port), offset_of!(Exception, listener)), (16, 18));
        assert_eq!((offset_of!(Exception, backend), offset_of!(Exception, seen)), (20, 24));
    }

    #[test]
    fn it_lives_for_a_while_and_says_one_thing() {
        let alone = Exception::alone(3, 100);
        assert!(alone.is_alone() && alone.is_live(100 + EXCEPTION_LIFETIME));
        assert!(!alone.is_live(101 + EXCEPTION_LIFETIME) && alone.is_live(99));
        let other = Exception { port: Be16::new(80), ..alone };
        assert!(!other.is_alone() && !other.says(&alone));
        assert!(alone.says(&Exception { seen: 7, ..alone }));
    }
}
