//! What the bench's programs and the bench agree on.
//!
//! BPF_PROG_TEST_RUN repeats a program on one buffer without restoring it: a program that
//! encapsulates runs out of headroom, or meets its own output. So a wrapper restores the frame, gives
//! it the next flow, and tail-calls the program under test; what the wrapper costs is known from
//! tail-calling one that does nothing.
//!
//! A machine is not equally fast for long, and each call of BPF_PROG_TEST_RUN sleeps for
//! milliseconds before it starts (it waits for RCU), which leaves caches cold. So within one call
//! the wrapper lets the programs that are compared take turns of [`TURN`] packets, and notes when
//! each turn begins.

use bytemuck::{Pod, Zeroable};

/// Program of the object `bench-wrapper`: restores the frame and calls on.
pub const WRAPPER: &str = "wrap";
/// Program of the object `bench-wrapper`: calls on, for frames that come from elsewhere.
pub const TAKE_TURNS: &str = "take_turns";
/// Program of the object `bench-wrapper`: makes frames and sends them by the device in `DEVICE`.
pub const SEND: &str = "send";
/// Program of the object `bench-wrapper`: does nothing, and drops.
pub const NOTHING: &str = "nothing";
/// Program of the object `bench-wrapper`: does nothing, and transmits.
pub const BOUNCE: &str = "bounce";
/// Program of the object `bench-floor`: look-ups and encapsulation, and nothing else.
pub const FLOOR: &str = "floor";
/// Program of the object `bench-uncounted`: `elb` without what it counts of connections.
pub const UNCOUNTED: &str = "uncounted";

/// Object `bench-wrapper`, one element to each of [`ROLES`]: what is sent, and to whom.
pub const TEMPLATES: &str = "TEMPLATES";
/// Object `bench-wrapper`: the programs under test.
pub const NEXT: &str = "NEXT";
/// Object `bench-wrapper`, per CPU, two elements: packets made, and packets that took turns.
pub const STEPS: &str = "STEPS";
/// Object `bench-wrapper`: nanoseconds of the monotonic clock when each turn began.
pub const TIMES: &str = "TIMES";
/// Program and only one of the object `bench-arrivals`: notes packets for an address.
pub const ARRIVALS: &str = "arrive";
/// Object `bench-arrivals`, one element: the address, in network order.
pub const ADDRESS: &str = "ADDRESS";
/// Object `bench-arrivals`, one element: nanoseconds of the monotonic clock at the last packet.
pub const LAST: &str = "LAST";
/// Object `bench-floor`: as `LISTENERS_V4`, with keys of 20 bytes.
pub const FLOOR_LISTENERS: &str = "FLOOR_LISTENERS";
/// Object `bench-floor`: as `RINGS`.
pub const FLOOR_RINGS: &str = "FLOOR_RINGS";
/// Object `bench-floor`: as `BACKENDS`.
pub const FLOOR_BACKENDS: &str = "FLOOR_BACKENDS";

/// Who takes turns, in this order: a power of two.
pub const ROLES: u32 = 4;
/// Packets of a turn, a power of two: long enough that its first packets, which find the caches of
/// the turn before, do not count, and short enough that few turns are interrupted.
pub const TURN: u32 = 1024;
/// Turns whose begin can be noted.
pub const TURNS: u32 = 4096;
/// Programs that `NEXT` holds.
pub const PROGRAMS: u32 = 16;
/// Bytes of every frame: headers of all kinds, and some payload.
pub const FRAME: usize = 128;

/// Bits of a flow's number that go to the port; the others go to the address.
pub const PORT_BITS: u32 = 14;

/// Words that are stored after the first one, each where the one before ends.
pub const MIDDLE: usize = FRAME / 8 - 1;

/// The frame and its flows.
///
/// A processor that reads what it has just written waits, unless one store holds all that is read: until
/// all that was begun before is over, other packets' look-ups included. A network card's frames were
/// written long ago. So the frame is stored in words in which addresses and ports lie whole.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Template {
    /// The first eight bytes.
    pub first: u64,
    /// Those from `phase` on.
    pub middle: [u64; MIDDLE],
    /// The last eight bytes.
    pub last: u64,
    /// Where the flow's upper bits go: the last two bytes of the source address.
    pub address: Patch,
    /// Where its lower bits go: the source port.
    pub port: Patch,
    /// Offset of the first word of `middle`, below 8.
    pub phase: u32,
    /// Flows, a power of two: flow numbers are masked with this less one.
    pub mask: u32,
    /// Index of the program under test in `NEXT`.
    pub program: u32,
    /// 0.
    pub reserved: u32,
}

impl Template {
    /// A frame whose flow's number goes to the two bytes at `address` and the two at `port`; which flows
    /// there are, and the program, are left to be set. The words begin at `phase` modulo 8.
    ///
    /// # Panics
    /// Two such bytes are in two words.
    pub fn new(mut frame: [u8; FRAME], phase: usize, [address, port]: [usize; 2]) -> Self {
        let phase = phase % 8;
        for two in [address, port] {
            frame[two..two + 2].fill(0);
        }
        let word =
            |offset: usize| -> u64 { bytemuck::pod_read_unaligned(&frame[offset..offset + 8]) };
        let patch = |two: usize| {
            let within = (two - phase) % 8;
            assert!(within < 7, "the bytes at {two} are in two words");
            let offset = two - within;
            Patch { word: word(offset), offset: offset as u32, shift: 8 * within as u32 }
        };
        Self {
            first: word(0),
            middle: core::array::from_fn(|n| word(phase + 8 * n)),
            last: word(FRAME - 8),
            address: patch(address),
            port: patch(port),
            phase: phase as u32,
            mask: 0,
            program: 0,
            reserved: 0,
        }
    }

    /// Makes its flows the part of more flows with this number: of a frame that has four times as many,
    /// parts 0 to 3 are all. `None` where a part is too small, or the number too large.
    #[must_use]
    pub fn part(mut self, number: u32) -> Option<Self> {
        let flows = u64::from(self.mask) + 1;
        let first = u64::from(number) * flows;
        let address = u16::try_from(first >> PORT_BITS).ok()?;
        if first % (1 << PORT_BITS) != 0 {
            return None;
        }
        self.address.word |= u64::from(address) << (self.address.shift & 63);
        Some(self)
    }
}

/// Two bytes of a word of the frame that differ from flow to flow.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Patch {
    /// The word, in which they are 0.
    pub word: u64,
    /// Its offset in the frame.
    pub offset: u32,
    /// How far to the left they are.
    pub shift: u32,
}

impl Patch {
    /// The word with these two bytes.
    #[inline(always)]
    pub const fn with(&self, bytes: u16) -> u64 {
        self.word | (bytes as u64) << (self.shift & 63)
    }
}

/// The flow after `step` packets: odd multipliers make it a bijection over a power of two, in an
/// order that no prefetcher follows.
#[inline(always)]
pub const fn flow(step: u32, mask: u32) -> u32 {
    step.wrapping_mul(0x9e37_79b1) & mask
}
