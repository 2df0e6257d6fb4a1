//! Which members work: probes, what their results mean, and when the next one is due.
//!
//! Deciding ([`state`], [`schedule`]) and remembering ([`history`], [`lateness`]) are apart from
//! probing ([`probe`]): the former take the time as an argument and do no I/O. Why a probe failed is a
//! [`Failure`]: what was seen ([`Cause`]), and what the V3 API calls it.

pub mod cause;
pub mod reason;
pub mod stage;
pub mod state;

pub mod history;
pub mod lateness;
pub mod schedule;

pub mod path;
pub mod probe;

pub mod answering;
pub mod brake;
pub mod witness;

pub mod command;
pub(crate) mod echo;
mod grpc;
mod http;
mod talk;
mod tcp;
mod tls;
mod udp;

mod bounded;
mod connect;
mod datagram;
mod icmp;
mod search;
mod shown;
mod spec;

pub use cause::Cause;
pub use history::History;
pub(crate) use http::host_field;
pub use lateness::Lateness;
pub use reason::{Failure, ReasonCode};
pub use stage::Stage;
pub use state::{Change, MemberHealth, OperatingStatus, Timing, Verdict};
