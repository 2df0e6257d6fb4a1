//! An event while it is put together.

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
