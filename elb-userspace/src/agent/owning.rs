//! What this agent alone may use: the pin directory, its folder of the state directory, and the socket.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

use crate::agent::saved::Folder;
use crate::kernel::lock::{Lock, LockError};
use crate::source::file::AgentSettings;
use crate::source::unreadable;

/// Locks everything, until the process ends.
pub(super) fn locks(agent: &AgentSettings, folder: &Folder) -> Result<Vec<Lock>> {
    let pins = lock_pins(&agent.pin_dir)?;
    let mut locks: Vec<Lock> = pins.into_iter().collect();
    match folder.make() {
        Ok(()) => {
            let lock = Lock::directory(folder.path());
            locks.push(lock.map_err(|why| refused("state_dir", &why))?);
            folder.tidy();
        }
        Err(error) => {
            let why = unreadable::why(folder.path(), &error);
            tracing::error!("cannot make state_dir {}: {why}", folder.path().display());
        }
    }
    locks.push(lock_socket(&agent.socket)?);
    Ok(locks)
}

/// Locks the pin directory, for an agent or for `elb detach`. None where it cannot be made: what needs it says
/// why.
///
/// # Errors
/// Another process has it.
pub fn lock_pins(pin_dir: &Path) -> Result<Option<Lock>> {
    if fs::create_dir_all(pin_dir).is_err() {
        return Ok(None);
    }
    Lock::directory(pin_dir).map(Some).map_err(|why| refused("pin_dir", &why))
}

fn lock_socket(socket: &Path) -> Result<Lock> {
    let folder = socket.parent().context("[agent] socket has no folder")?;
    fs::create_dir_all(folder).map_err(|error| {
        let why = unreadable::why(folder, &error);
        anyhow!("cannot make {} for the socket: {why}", folder.display())
    })?;
    Lock::file(&lock_path(socket)).map_err(|why| refused("socket", &why))
}

/// `elb.sock.lock`: sockets that differ have locks that differ.
fn lock_path(socket: &Path) -> PathBuf {
    let mut name = socket.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

fn refused(key: &str, why: &LockError) -> anyhow::Error {
    match why {
        LockError::Held { .. } => anyhow!(
            "{key} {why}: stop it first (`systemctl stop elb`), or use another [agent] socket and pin_dir"
        ),
        LockError::Io { path, error } => {
            anyhow!("cannot lock {key} {}: {}", path.display(), unreadable::why(path, error))
        }
    }
}
