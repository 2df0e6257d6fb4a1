//! What this agent alone may use: the pin directory, its folder of the state directory, and the socket.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};

use crate::agent::saved::Folder;
use crate::kernel::lock::{Lock, LockError};
use crate::source::file::AgentSettings;
use crate::source::unreadable;

/// What this agent alone may use. Dropped, it is free for another one.
#[derive(Default)]
pub(super) struct Owned(Vec<One>);

/// One object with its lock.
struct One {
    key: &'static str,
    path: PathBuf,
    lock: Lock,
    make: fn(&Path) -> std::result::Result<Lock, LockError>,
    /// Who locked what has taken the object's place.
    taken: Option<String>,
}

/// Locks everything, until the process ends.
pub(super) fn locks(agent: &AgentSettings, folder: &Folder) -> Result<Owned> {
    let directory = |key, path: &Path, lock| One {
        key,
        path: path.to_owned(),
        lock,
        make: Lock::directory,
        taken: None,
    };
    let pins = lock_pins(&agent.pin_dir)?;
    let pins = pins.map(|lock| directory("pin_dir", &agent.pin_dir, lock));
    let mut owned: Vec<One> = pins.into_iter().collect();
    match folder.make() {
        Ok(()) => {
            let lock = Lock::directory(folder.path()).map_err(|why| refused("state_dir", &why))?;
            owned.push(directory("state_dir", folder.path(), lock));
            folder.tidy();
        }
        Err(error) => {
            let why = unreadable::why(folder.path(), &error);
            tracing::error!("cannot make state_dir {}: {why}", folder.path().display());
        }
    }
    let lock = lock_socket(&agent.socket)?;
    let path = lock_path(&agent.socket);
    owned.push(One { key: "socket", path, lock, make: Lock::file, taken: None });
    Ok(Owned(owned))
}

impl Owned {
    /// Looks whether the locks are still of what has these names: what was removed and made again, by this
    /// agent too, is locked anew, unless another process was first.
    pub(super) fn look(&mut self) {
        self.0.iter_mut().for_each(One::look);
    }

    /// What another process has, and which.
    pub(super) fn taken(&self) -> Vec<String> {
        self.0.iter().filter_map(|one| one.taken.clone()).collect()
    }

    /// Whether another process has the object of this key.
    pub(super) fn is_taken(&self, key: &str) -> bool {
        self.0.iter().any(|one| one.key == key && one.taken.is_some())
    }
}

impl One {
    fn look(&mut self) {
        if self.lock.is_at(&self.path) {
            self.taken = None;
            return;
        }
        match (self.make)(&self.path) {
            Ok(lock) => {
                tracing::warn!(key = self.key, path = %self.path.display(), "locked anew");
                (self.lock, self.taken) = (lock, None);
            }
            Err(why @ LockError::Held { .. }) => {
                let what = format!(
                    "{} was removed and made again, and {why}: this agent goes on with what it has, and \
                     what both write contradicts the other",
                    self.key
                );
                if self.taken.as_ref() != Some(&what) {
                    tracing::error!("{what}");
                }
                self.taken = Some(what);
            }
            // It is not there: this agent makes it again if anything needs it.
            Err(LockError::Io { .. }) => self.taken = None,
        }
    }
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
pub fn lock_path(socket: &Path) -> PathBuf {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(path: &Path) -> Owned {
        let lock = Lock::directory(path).unwrap();
        let path = path.to_owned();
        Owned(vec![One { key: "pin_dir", path, lock, make: Lock::directory, taken: None }])
    }

    #[test]
    fn what_is_made_again_is_locked_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("elb");
        fs::create_dir(&path).unwrap();
        let mut owned = owned(&path);
        owned.look();
        fs::rename(&path, folder.path().join("old")).unwrap();
        owned.look();
        assert_eq!(owned.taken(), Vec::<String>::new(), "it is not there");
        fs::create_dir(&path).unwrap();
        assert!(Lock::directory(&path).is_ok(), "no agent holds it");
        owned.look();
        assert!(Lock::directory(&path).is_err(), "this agent has it again");
    }

    #[test]
    fn who_was_first_is_named_until_it_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("elb");
        fs::create_dir(&path).unwrap();
        let mut owned = owned(&path);
        fs::rename(&path, folder.path().join("old")).unwrap();
        fs::create_dir(&path).unwrap();
        let other = Lock::directory(&path).unwrap();
        owned.look();
        let taken = owned.taken().join("");
        assert!(taken.contains(&format!("process {} (", std::process::id())), "{taken}");
        drop(other);
        owned.look();
        assert_eq!(owned.taken(), Vec::<String>::new());
    }
}
