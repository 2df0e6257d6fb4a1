//! The way in for the command line: HTTP over a Unix socket, readable by the agent's group.

pub mod client;
pub mod server;
