//! BPF programs that tests use, and what they and the tests agree on.
//!
//! - `xdp-pass` is the program that the far end of a load balancer's device needs;
//! - `generator` sends [`traffic`]: a sequence of packets that follows from a number alone, so that
//!   a test can say afterwards what was sent, packet by packet;
//! - `bench-wrapper`, `bench-floor`, `bench-uncounted` and `bench-arrivals` are what the [`mod@bench`] measures
//!   with and against;
//! - `sink` stands where backends would and [`inspect`]s what arrives.
//!
//! What the programs do with a packet is here, generic over where its bytes live; on the host the
//! programs themselves are empty.
#![no_std]
#![allow(
    clippy::cast_possible_truncation,
    reason = "lengths of frames are far below 2^16; flows, kinds and CPUs are cut on purpose"
)]
#![allow(clippy::wildcard_enum_match_arm, reason = "in most respects most kinds are alike")]

pub mod bench;
pub mod frame;
pub mod inspect;
pub mod kind;
pub mod traffic;

/// Program of the object `generator`.
pub const GENERATOR: &str = "generate";
/// Program of the object `sink`.
pub const SINK: &str = "sink";

/// Both objects, one [`traffic::Traffic`]: what is sent.
pub const TRAFFIC: &str = "TRAFFIC";
/// `generator`, one number per CPU: how many packets this CPU sent.
pub const STEPS: &str = "STEPS";
/// `generator`, per CPU: packets sent, by the number of their kind.
pub const SENT: &str = "SENT";
/// `generator`, one device: where packets leave.
pub const DEVICE: &str = "DEVICE";
/// `sink`, by id: the backends that frames may be for.
pub const TARGETS: &str = "TARGETS";
/// `sink`, by kind and flow, see [`inspect::Arrival`]: intact packets of each backend.
pub const ARRIVALS: &str = "ARRIVALS";
/// `sink`, per CPU: frames by what was wrong with them, see [`inspect::Fault`]; first those with
/// which nothing was.
pub const FAULTS: &str = "FAULTS";

/// Queues of each device, and CPUs that send.
pub const QUEUES: u32 = 2;
/// Ids of backends are below this number.
pub const BACKENDS: u32 = 8;
