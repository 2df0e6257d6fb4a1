//! An event while it is put together.

use elb_common::flow_log::{Countdown, FlowEvent, HEADER, Spent};
use elb_common::trace::{Event, MAX_SNAP};

/// Value of `TRACE_BUFFER`: an event while it is put together, and what bounds their number.
#[repr(C)]
pub(crate) struct Draft {
    pub(crate) event: Event,
    /// Twice what two copies need, so that lengths under a mask suffice for the verifier.
    pub(crate) bytes: [u8; 4 * MAX_SNAP as usize],
    pub(crate) window: Window,
}

/// How many events this CPU reported in which coarse monotonic second.
#[repr(C)]
pub(crate) struct Window {
    pub(crate) second: u32,
    pub(crate) reported: u32,
}

/// Value of `LOG_BUFFER`: an event of the flow log while it is put together, and what bounds their number.
#[repr(C)]
pub(crate) struct LogDraft {
    pub(crate) event: FlowEvent,
    /// The first bytes of the frame. Twice as many as are kept, so that lengths under a mask suffice for the
    /// verifier.
    pub(crate) header: [u8; 2 * HEADER as usize],
    /// How many of them there are.
    pub(crate) kept: u32,
    pub(crate) spent: Spent,
    pub(crate) samples: Spent,
    pub(crate) countdown: Countdown,
}
