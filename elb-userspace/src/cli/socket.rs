//! Where the agent listens.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;

use super::ConfigArg;
use crate::source::file::{self, USUAL_FILE};

#[derive(Debug, Args)]
pub(super) struct SocketArg {
    #[command(flatten)]
    config: ConfigArg,
    /// The agent's socket; by default the one that the configuration file names.
    #[arg(short, long, value_name = "PATH", env = "ELB_SOCKET")]
    socket: Option<PathBuf>,
}

/// Where an agent listens, if its file does not say.
pub(super) const DEFAULT_SOCKET: &str = "/run/elb/elb.sock";

impl SocketArg {
    /// The configuration file.
    pub(super) fn file(&self) -> &Path {
        &self.config.config
    }

    /// The socket: the usual one where the usual configuration file cannot be read.
    ///
    /// # Errors
    /// Another file was named, and it cannot be read.
    pub(super) fn path(&self) -> Result<PathBuf> {
        if let Some(socket) = &self.socket {
            return Ok(socket.clone());
        }
        let file = &self.config.config;
        match file::load_lenient(file) {
            (Some(config), _) => Ok(config.agent.socket),
            (None, _) if file == Path::new(USUAL_FILE) => Ok(DEFAULT_SOCKET.into()),
            (None, errors) => bail!(
                "{errors}\nso {} does not say where its agent listens: correct it, or name the socket with \
                 --socket",
                file.display()
            ),
        }
    }
}
