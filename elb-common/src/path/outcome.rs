//! What becomes of a frame.

use core::hint::black_box;

use crate::reason::{Fate, Reason};

/// A packet is not forwarded: the error type of the stages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop(pub Reason);

impl Stop {
    /// A packet is not forwarded for this reason, which the compiler must not know: it would let every
    /// packet, before each check, note the reason that it might fail for.
    #[inline(always)]
    pub(super) fn because(reason: Reason) -> Self {
        Self(black_box(reason))
    }
}

/// What becomes of a frame.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The kernel's network stack gets the frame, unchanged.
    Pass(Reason),
    /// The frame is dropped.
    Drop(Reason),
    /// The frame became an answer and leaves by the interface it came by.
    Answer(Reason),
    /// The frame is forwarded by the interface it came by.
    Transmit,
    /// The frame is forwarded by the interface with this index.
    Redirect(u32),
    /// The frame was translated, and the kernel's network stack gets it: to find the way to its receiver, or
    /// because it is the receiver.
    HandOver,
}

impl Outcome {
    /// Why the frame was not forwarded; `None` if it was.
    #[inline(always)]
    pub const fn reason(self) -> Option<Reason> {
        match self {
            Self::Pass(reason) | Self::Drop(reason) | Self::Answer(reason) => Some(reason),
            Self::Transmit | Self::Redirect(_) | Self::HandOver => None,
        }
    }
}

impl From<Stop> for Outcome {
    #[inline(always)]
    fn from(Stop(reason): Stop) -> Self {
        match reason.fate() {
            Fate::Passed => Self::Pass(reason),
            Fate::Dropped => Self::Drop(reason),
            Fate::Answered => Self::Answer(reason),
        }
    }
}
