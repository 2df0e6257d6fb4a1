//! Flows at a member's endpoint that its record does not say the truth of, see [`crate::reply`]: those of a listener
//! that shares the endpoint with another, which the record names; those of clients that reach the member itself by
//! this host; and the member's own connections from that port.
//!
//! There are few of them, so the table is small. Packets look into it only where a backend may have some.

use bytemuck::{Pod, Zeroable};

use crate::addr::{Be16, Be128};
use crate::limits::{EXCEPTION_LIFETIME, HALF_OPEN_TIMEOUT as CLOSED_LIFETIME};

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
    /// Bits of [`exception_flags`].
    pub flags: u16,
    /// When a packet from the client's side last came, in coarse monotonic seconds.
    pub seen: u32,
}

/// Bits of [`Exception::flags`].
pub mod exception_flags {
    /// The client has closed the connection: only its last segments are to come.
    pub const CLOSED: u16 = 1 << 0;
    /// Datagrams, which have no end.
    pub const UDP: u16 = 1 << 1;
}

impl Exception {
    /// The member's packets are its own.
    #[inline(always)]
    pub const fn alone(backend: u16, flags: u16, seen: u32) -> Self {
        let vip = Be128::from_words([0; 2]);
        Self { vip, port: Be16::new(0), listener: 0, backend, flags, seen }
    }

    /// Whether the member's packets are left alone.
    #[inline(always)]
    pub const fn is_alone(&self) -> bool {
        self.port.raw() == 0
    }

    /// Whether it counts at this second.
    #[inline(always)]
    pub const fn is_live(&self, now: u32) -> bool {
        let is_closed = self.flags & exception_flags::CLOSED != 0;
        let lifetime = if is_closed { CLOSED_LIFETIME } else { EXCEPTION_LIFETIME };
        now.saturating_sub(self.seen) <= lifetime
    }

    /// Whether another flow may have its place: it is closed, or, of datagrams, was silent for a while.
    #[inline(always)]
    pub const fn gives_way(&self, now: u32) -> bool {
        let is_silent = now.saturating_sub(self.seen) > CLOSED_LIFETIME;
        self.flags & exception_flags::CLOSED != 0
            || self.flags & exception_flags::UDP != 0 && is_silent
            || !self.is_live(now)
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
        let alone = Exception::alone(3, 0, 100);
        assert!(alone.is_alone() && alone.is_live(100 + EXCEPTION_LIFETIME));
        assert!(!alone.is_live(101 + EXCEPTION_LIFETIME) && alone.is_live(99));
        assert!(!alone.gives_way(100 + EXCEPTION_LIFETIME));
        let closed = Exception::alone(3, exception_flags::CLOSED, 100);
        assert!(closed.gives_way(100) && closed.is_live(160) && !closed.is_live(161));
        let datagrams = Exception::alone(3, exception_flags::UDP, 100);
        assert!(!datagrams.gives_way(160) && datagrams.gives_way(161) && datagrams.is_live(161));
        let other = Exception { port: Be16::new(80), ..alone };
        assert!(!other.is_alone() && !other.says(&alone));
        assert!(alone.says(&Exception { seen: 7, ..alone }));
    }
}
