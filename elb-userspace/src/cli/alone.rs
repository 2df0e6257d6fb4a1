//! What a command holds while no agent may run.

use std::path::Path;

use anyhow::{Result, anyhow};

use crate::agent::lock_path;
use crate::agent::saved::Folder;
use crate::kernel::lock::{Lock, LockError};
use crate::source::file::AgentSettings;

/// Keeps agents with these settings from starting; there is none that runs.
pub(super) fn alone(agent: &AgentSettings) -> Result<Vec<Lock>> {
    let folder = Folder::of(agent);
    let mut locks = Vec::new();
    let mut take = |lock: Result<Lock, LockError>| match lock {
        Ok(lock) => {
            locks.push(lock);
            Ok(())
        }
        Err(why @ LockError::Held { .. }) => {
            Err(anyhow!("{why}: stop the agent first (`systemctl stop elb`)"))
        }
        Err(why @ LockError::Io { .. }) => Err(why.into()),
    };
    if folder.path().exists() {
        take(Lock::directory(folder.path()))?;
    }
    if agent.socket.parent().is_some_and(Path::exists) {
        take(Lock::file(&lock_path(&agent.socket)))?;
    }
    Ok(locks)
}
