//! How many errors are sent to senders: no more than so many in a second, or a flood of packets would
//! make a flood of answers.

use bytemuck::{Pod, Zeroable};

use crate::limits::{ERRORS_PER_SECOND, RESETS_PER_SECOND};

/// Index into `ERRORS_SENT`: what is sent.
pub mod kind {
    /// An ICMP error.
    pub const ERROR: u32 = 0;
    /// A TCP reset.
    pub const RESET: u32 = 1;
}

/// Value of `ERRORS_SENT`, two elements for each CPU, by [`kind`].
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ErrorsSent {
    /// A second of the coarse monotonic clock.
    pub second: u32,
    /// Errors sent in it.
    pub count: u32,
}

impl ErrorsSent {
    /// Counts one more error, if there may be one more.
    #[inline(always)]
    pub fn one_more(&mut self, kind: u32, now: u32) -> bool {
        let most = if kind == kind::RESET { RESETS_PER_SECOND } else { ERRORS_PER_SECOND };
        if self.second != now {
            *self = Self { second: now, count: 0 };
        }
        let may = self.count < most;
        if may {
            self.count += 1;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::{align_of, offset_of, size_of};

    #[test]
    fn each_second_has_its_own_share() {
        for (kind, most) in [(kind::ERROR, ERRORS_PER_SECOND), (kind::RESET, RESETS_PER_SECOND)] {
            let mut errors_sent = ErrorsSent::default();
            for second in [0, 7, 8, u32::MAX] {
                let allowed = (0..20_000).filter(|_| errors_sent.one_more(kind, second)).count();
                assert_eq!(allowed, most as usize, "{second}");
            }
        }
    }

    #[test]
    fn layout() {
        assert_eq!((size_of::<ErrorsSent>(), align_of::<ErrorsSent>()), (8, 4));
        assert_eq!((offset_of!(ErrorsSent, second), offset_of!(ErrorsSent, count)), (0, 4));
    }
}
