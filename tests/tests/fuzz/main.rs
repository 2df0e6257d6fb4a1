//! Hostile input, from a corpus that is mutated at random: nothing that a stranger or a damaged file
//! says makes elb panic or hang, and each target holds its own laws.
//!
//! Without a name all targets run, each for [`campaign::SECONDS`] from a fixed seed; `cargo xtask fuzz`
//! has both as options. What failed is written to `target/fuzz`; it belongs into `corpus/TARGET`, under a name
//! that says what it was, as soon as it is repaired.
//!
//! Plain Rust: engines that are guided by coverage (libFuzzer, AFL) need a nightly compiler, and bolero's
//! engine for the stable one draws bytes without a corpus, which no parser lets past its first line.
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "inputs are small, and what goes wrong in a test may panic"
)]

mod campaign;
mod mutation;

mod api;
mod configuration;
mod packets;
mod probes;
mod rulesets;
mod saved;
mod v3;

/// What program runs have, too: the world that packets meet, and what must become of them there.
#[path = "../program"]
#[allow(dead_code, reason = "program runs use more of it")]
mod program {
    pub mod action;
    pub mod frame;
    pub mod oracle;
    pub mod world;
}

use program::{action, frame, oracle, world};
