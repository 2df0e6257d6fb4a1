//! `elb status --ready`: whether this host forwards new connections, for VRRP and BIRD checks.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;

use super::block_on;
use crate::agent::logging::say;
use crate::api::client;

/// Nothing is printed, so that a check every second costs no more than an exchange over the socket.
pub(super) fn run(socket: &Path) -> Result<ExitCode> {
    let missing = block_on(client::ready(socket))?.missing;
    missing.iter().for_each(|why| say(&format!("not ready: {why}")));
    Ok(if missing.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
