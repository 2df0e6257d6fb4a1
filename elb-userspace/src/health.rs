//! Which members work: probes, what their results mean, and when the next one is due.
//!
//! Deciding ([`state`], [`schedule`]) is apart from probing ([`probe`]): the former take the time
//! as an argument and do no I/O.

pub mod reason;
pub mod state;

pub mod schedule;

pub mod probe;

mod http;
mod tcp;

pub use reason::Failure;
pub use state::{Change, MemberHealth, Status, Timing};
