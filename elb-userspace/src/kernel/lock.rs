//! What several processes could share has one owner: it holds a lock, which ends with the process.
//!
//! The lock is flock(2) on the shared object itself. Another name of a directory, another configuration
//! file or another state directory uses the same lock.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct Lock(File);

/// A process that holds a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockHolder {
    /// Its id.
    pub pid: u32,
    /// Its command line.
    pub command: String,
}

/// Why there is no lock.
#[derive(Debug, Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{} is in use by {}", path.display(), of(holder.as_ref()))]
    Held {
        /// What is shared.
        path: PathBuf,
        /// Who has it, if that can be seen from here.
        holder: Option<LockHolder>,
    },
    /// The object cannot be opened or locked.
    #[error("cannot lock {}: {error}", path.display())]
    Io {
        /// What is shared.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}

fn of(holder: Option<&LockHolder>) -> String {
    match holder {
        Some(LockHolder { pid, command }) => format!("process {pid} ({command})"),
        None => "a process that is not visible here (another PID namespace?)".to_owned(),
    }
}

impl Lock {
    /// Locks a directory that is there.
    ///
    /// # Errors
    /// Another process has it, or it cannot be opened.
    pub fn directory(path: &Path) -> Result<Self, LockError> {
        Self::of(path, || File::open(path))
    }

    /// Locks a file, which is made if there is none.
    ///
    /// # Errors
    /// Another process has it, or it cannot be opened.
    pub fn file(path: &Path) -> Result<Self, LockError> {
        Self::of(path, || File::options().create(true).append(true).open(path))
    }

    /// Whether it is of what has this name now: not, once that was removed or replaced.
    pub fn is_at(&self, path: &Path) -> bool {
        // What cannot be looked at is no other object.
        is_at(&self.0, path).unwrap_or(true)
    }

    fn of(path: &Path, open: impl Fn() -> io::Result<File>) -> Result<Self, LockError> {
        let failed = |error| LockError::Io { path: path.to_owned(), error };
        loop {
            let file = open().map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let holder = holder(&file);
                    return Err(LockError::Held { path: path.to_owned(), holder });
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // The former owner may have removed it meanwhile: then another object has this name.
            if is_at(&file, path).map_err(failed)? {
                return Ok(Self(file));
            }
        }
    }
}

fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (held, named) = (
        file.metadata()?,
        match fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            named => named?,
        },
    );
    Ok((held.dev(), held.ino()) == (named.dev(), named.ino()))
}

/// Who holds the lock on something, if it is locked; it is not locked for that.
pub fn holder_of(path: &Path) -> Option<LockHolder> {
    holder(&File::open(path).ok()?)
}

/// Who holds the lock on a file, as `/proc/locks` says.
fn holder(file: &File) -> Option<LockHolder> {
    let held = file.metadata().ok()?;
    let device = (rustix::fs::major(held.dev()), rustix::fs::minor(held.dev()));
    let pid = pid_in(&fs::read_to_string("/proc/locks").ok()?, device, held.ino())?;
    Some(LockHolder { pid, command: command(pid) })
}

/// The process that `/proc/locks` names for an inode: `7: FLOCK  ADVISORY  WRITE 30974 00:27:9418141 0 EOF`.
fn pid_in(locks: &str, (major, minor): (u32, u32), inode: u64) -> Option<u32> {
    let place = format!("{major:02x}:{minor:02x}:{inode}");
    let lines = locks.lines().filter(|line| !line.contains("->"));
    let mut fields = lines.map(|line| line.split_whitespace().collect::<Vec<_>>());
    let line =
        fields.find(|fields| fields.get(1) == Some(&"FLOCK") && fields.get(5) == Some(&&*place))?;
    line[4].parse().ok().filter(|pid| *pid != 0)
}

fn command(pid: u32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&words).trim_end_matches('\0').replace('\0', " ");
    if words.is_empty() { "it has ended, a child of it has the lock".to_owned() } else { words }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let lock = Lock::directory(folder.path()).unwrap();
        let refused = Lock::directory(folder.path()).unwrap_err();
        let LockError::Held { holder: Some(holder), .. } = &refused else { panic!("{refused}") };
        assert_eq!(holder.pid, std::process::id());
        assert!(refused.to_string().contains(&format!("process {} (", holder.pid)), "{refused}");
        drop(lock);
        drop(Lock::directory(folder.path()).unwrap());
    }

    #[test]
    fn another_name_is_the_same_lock() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let _lock = Lock::directory(&real).unwrap();
        assert!(matches!(Lock::directory(&link), Err(LockError::Held { .. })));
    }

    #[test]
    fn files_are_made_and_do_not_share() {
        let folder = tempfile::tempdir().unwrap();
        let _blue = Lock::file(&folder.path().join("elb.blue.lock")).unwrap();
        let _green = Lock::file(&folder.path().join("elb.green.lock")).unwrap();
        assert!(Lock::file(&folder.path().join("elb.blue.lock")).is_err());
    }

    #[test]
    fn the_table_of_locks_is_read() {
        let locks = "1: FLOCK  ADVISORY  WRITE 30932 fe:00:6160692 0 EOF\n\
                     2: -> FLOCK  ADVISORY  WRITE 11 00:27:9418141 0 EOF\n\
                     3: POSIX  ADVISORY  WRITE 12 00:27:9418141 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 30974 00:27:9418141 0 EOF\n\
                     5: FLOCK  ADVISORY  WRITE 0 00:28:1 0 EOF\n";
        assert_eq!(pid_in(locks, (0, 0x27), 9_418_141), Some(30_974));
        assert_eq!(pid_in(locks, (0, 0x27), 9), None);
        assert_eq!(pid_in(locks, (0, 0x28), 1), None, "in another PID namespace");
        assert_eq!(pid_in("what\n\n1: FLOCK", (0, 1), 1), None);
    }
}
