//! The way in for the command line: HTTP over a Unix socket, readable by the agent's group.

pub mod client;
pub mod server;

use tokio::sync::oneshot;

use crate::status::Status;

/// A question to the agent, with the way to answer.
#[derive(Debug)]
pub enum Query {
    /// The state of everything.
    Status(oneshot::Sender<Status>),
}
