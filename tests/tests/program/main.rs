//! Program runs: the object that the agent loads, one packet at a time through BPF_PROG_TEST_RUN.
//!
//! Nothing is faked: the verifier, the maps and the helpers are the kernel's. Each case asserts the
//! action, every byte that leaves, and the counters that moved.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "test packets are small, and what goes wrong in a test may panic"
)]

mod action;
mod both;
mod cases;
mod frame;
mod kernel;
mod oracle;
mod scene;
mod steps;
mod world;

mod admission;
mod answers;
mod binding;
mod budget;
mod connections;
mod cutting;
mod decap;
mod errors;
mod excepting;
mod flood;
mod forwarding;
mod fragments;
mod fuzz;
mod listener_events;
mod logging;
mod malformed;
mod moved;
mod moving;
mod persisting;
mod probing;
mod recording;
mod refusing;
mod sampling;
mod sweep;
mod tracing;
mod translating;
mod tunnels;
mod versions;
