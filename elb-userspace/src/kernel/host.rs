//! What the agent wants in its host, and keeps there though others take it away: the program on its
//! interfaces, the pins, and what hosts on the segment know of virtual addresses.
//!
//! [`follow`] looks when the kernel reports a change, and every second; [`programs`] and [`changes`]
//! compare what was found with what is wanted, without I/O; the agent does what they say
//! (`agent/keeping.rs`).

pub mod found;
pub mod kept;

pub mod changes;
pub mod groups;
pub mod joining;
pub mod programs;
pub mod segments;

pub mod follow;
pub mod links;
