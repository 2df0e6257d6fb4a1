//! Where the agent listens.

use std::path::PathBuf;

use clap::Args;

use super::ConfigArg;
use crate::config;

#[derive(Debug, Args)]
pub(super) struct SocketArg {
    #[command(flatten)]
    config: ConfigArg,
    /// The agent's socket; by default the one that the configuration file names.
    #[arg(short, long, value_name = "PATH", env = "ELB_SOCKET")]
    socket: Option<PathBuf>,
}

const DEFAULT_SOCKET: &str = "/run/elb/elb.sock";

impl SocketArg {
    /// The socket.
    pub(super) fn path(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| {
            let (config, _) = config::load_lenient(&self.config.config);
            config.map_or_else(|| DEFAULT_SOCKET.into(), |config| config.agent.socket)
        })
    }
}
