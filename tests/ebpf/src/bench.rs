//! What the bench's programs and the bench agree on.
//!
//! BPF_PROG_TEST_RUN repeats a program on one buffer without restoring it: a program that
//! encapsulates runs out of headroom, or meets its own output. So a wrapper restores the frame, gives
//! it the next flow, and tail-calls the program under test; what the wrapper costs is known from
//! tail-calling one that does nothing.

use bytemuck::{Pod, Zeroable};

/// Program of the object `bench-wrapper`: restores the frame and calls on.
pub const WRAPPER: &str = "wrap";
/// Program of the object `bench-wrapper`: does nothing.
pub const NOTHING: &str = "nothing";
/// Program of the object `bench-floor`: look-ups and encapsulation, and nothing else.
pub const FLOOR: &str = "floor";

/// Object `bench-wrapper`, one element: the frame.
pub const TEMPLATE: &str = "TEMPLATE";
/// Object `bench-wrapper`, one element: the program under test.
pub const NEXT: &str = "NEXT";
/// Object `bench-floor`: as `LISTENERS_V4`, with keys of 20 bytes.
pub const FLOOR_LISTENERS: &str = "FLOOR_LISTENERS";
/// Object `bench-floor`: as `RINGS`.
pub const FLOOR_RINGS: &str = "FLOOR_RINGS";
/// Object `bench-floor`: as `BACKENDS`.
pub const FLOOR_BACKENDS: &str = "FLOOR_BACKENDS";

/// Bytes of every frame: headers of all kinds, and some payload.
pub const FRAME: usize = 128;

/// The frame and its flows.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Template {
    /// The frame, of flow 0.
    pub words: [u64; FRAME / 8],
    /// Flows, a power of two: flow numbers are masked with this less one.
    pub mask: u32,
    /// Offset of the last two bytes of the source address.
    pub address: u32,
    /// Offset of the source port.
    pub port: u32,
    /// Zero.
    pub reserved: u32,
}

/// The flow after `step` packets: odd multipliers make it a bijection over a power of two, in an
/// order that no prefetcher follows.
#[inline(always)]
pub const fn flow(step: u32, mask: u32) -> u32 {
    step.wrapping_mul(0x9e37_79b1) & mask
}
