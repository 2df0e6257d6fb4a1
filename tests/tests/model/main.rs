//! The promise of just-enough tracking, held against random histories: no flow that policy protects
//! ever moves.
//!
//! A script changes a pool, lets time pass, and sends packets of long-lived flows. The agent's own
//! rules turn the changes into writes; packets meet them in memory (`host`), or in the kernel's
//! program (`kernel`). The oracle knows the policy only, and judges every answer.
#![allow(clippy::unwrap_used, reason = "what goes wrong in a test may panic")]

mod oracle;
mod packet;
mod script;
mod trial;
mod world;

mod cases;
mod host;
mod kernel;
