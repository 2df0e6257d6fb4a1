//! The network of the kernel: what it knows of the way to members, and what it is told.

pub mod announce;
pub mod follow;
pub mod holders;
pub(crate) mod links;
pub mod probe_way;
