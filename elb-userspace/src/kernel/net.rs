//! The network of the kernel: what it knows of the way to members, and what it reports.

pub mod announce;
pub mod follow;
mod frames;
pub mod holders;
pub mod ipv6;
pub(crate) mod links;
mod packet_socket;
pub mod probe_route;
