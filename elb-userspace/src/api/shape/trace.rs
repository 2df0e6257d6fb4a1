//! Packets while they pass: what is asked of the agent, and the lines of its answer, whose events
//! `elb trace -o json` prints. The kernel's records make them, so their parts are `observe`'s.

pub use crate::observe::trace::{Missed, PacketEvent, TraceLine, TraceRequest};
