//! The API socket at its path: bound, and bound again once its file is gone or is another's.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use tokio::sync::watch;

/// What connections come in by.
pub type BoundSocket = watch::Receiver<Arc<UnixListener>>;

/// A bound socket.
#[derive(Debug)]
pub struct ApiSocket {
    path: PathBuf,
    /// Its file. The kernel keeps the inode as long as the socket is bound: no other file gets its number.
    place: Place,
    listener: watch::Sender<Arc<UnixListener>>,
    /// The group that may connect.
    group: Option<String>,
    /// Why it may not.
    problem: Option<String>,
}

/// Device and inode.
type Place = (u64, u64);

impl ApiSocket {
    /// Binds the socket; one that a dead agent left is replaced (the agent holds a lock).
    ///
    /// # Errors
    /// The folder cannot be written to.
    pub fn bind(path: &Path) -> anyhow::Result<Self> {
        Self::bind_for(path, None)
    }

    /// As [`Self::bind`], where a group may connect, too.
    ///
    /// # Errors
    /// As for [`Self::bind`]. That there is no such group is a problem, and no error.
    pub fn bind_for(path: &Path, group: Option<&str>) -> anyhow::Result<Self> {
        let (listener, place) = bound(path)?;
        let listener = watch::channel(Arc::new(listener)).0;
        let group = group.map(str::to_owned);
        let mut socket = Self { path: path.to_owned(), place, listener, group, problem: None };
        socket.give();
        Ok(socket)
    }

    /// Why the group may not connect, if so.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Gives the socket's file to the group.
    fn give(&mut self) {
        let given = self.group.as_ref().map_or(Ok(()), |group| give(&self.path, group));
        self.problem = given.err();
        if let Some(problem) = &self.problem {
            tracing::error!("{problem}");
        }
    }

    /// What connections come in by, now and after it was bound again.
    pub fn listening(&self) -> BoundSocket {
        self.listener.subscribe()
    }

    /// Binds it again where its file is gone or is another's; returns what was wrong. Connections that are
    /// open go on.
    ///
    /// # Errors
    /// It cannot be bound.
    pub fn look(&mut self) -> anyhow::Result<Option<&'static str>> {
        let what = match place_of(&self.path) {
            Ok(Some(place)) if place == self.place => return Ok(None),
            Ok(Some(_)) => "another file had its name",
            Ok(None) => "its file was removed",
            // What cannot be looked at is no other file.
            Err(_) => return Ok(None),
        };
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)
                .with_context(|| format!("{what}, and cannot make {}", folder.display()))?;
        }
        let (listener, place) = bound(&self.path).with_context(|| what)?;
        self.place = place;
        self.give();
        self.listener.send_replace(Arc::new(listener));
        Ok(Some(what))
    }

    /// Removes its file, unless another has its name.
    pub fn remove(&self) {
        if place_of(&self.path).is_ok_and(|place| place == Some(self.place)) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn bound(path: &Path) -> anyhow::Result<(UnixListener, Place)> {
    match fs::remove_file(path) {
        Err(error) if !is_absence(&error) => {
            return Err(error).with_context(|| format!("cannot replace {}", path.display()));
        }
        Ok(()) | Err(_) => {}
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    listener.set_nonblocking(true).context("cannot listen without blocking")?;
    fs::set_permissions(path, Permissions::from_mode(0o660))
        .with_context(|| format!("cannot set the mode of {}", path.display()))?;
    let place = place_of(path).with_context(|| format!("cannot look at {}", path.display()))?;
    Ok((listener, place.with_context(|| format!("{} is gone again", path.display()))?))
}

/// Gives a socket's file to a group; an error says what its members cannot do, and what to do about it.
fn give(path: &Path, group: &str) -> Result<(), String> {
    let why = |why: String| {
        format!("[agent] socket_group {group:?} may not ask by {}: {why}", path.display())
    };
    let found = group.parse().ok().map(Ok).or_else(|| {
        nix::unistd::Group::from_name(group).map(|one| one.map(|one| one.gid.as_raw())).transpose()
    });
    let gid = match found {
        Some(Ok(gid)) => gid,
        Some(Err(error)) => return Err(why(error.to_string())),
        None => {
            let fix = format!("there is no such group (`groupadd --system {group}`, then restart)");
            return Err(why(fix));
        }
    };
    std::os::unix::fs::chown(path, None, Some(gid)).map_err(|error| {
        why(format!(
            "{error}: the agent has to be in that group, or needs CAP_CHOWN (SupplementaryGroups={group} \
             in elb.service, then restart)"
        ))
    })
}

/// Where a file is; none: there is no such file.
fn place_of(path: &Path) -> io::Result<Option<Place>> {
    match fs::symlink_metadata(path) {
        Ok(file) => Ok(Some((file.dev(), file.ino()))),
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether there is no such file, be it that its folder is none.
fn is_absence(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn what_is_removed_or_replaced_is_bound_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run/elb.sock");
        fs::create_dir(folder.path().join("run")).unwrap();
        let mut socket = ApiSocket::bind(&path).unwrap();
        let mut listening = socket.listening();
        assert_eq!(socket.look().unwrap(), None);
        assert!(!listening.has_changed().unwrap());

        fs::remove_file(&path).unwrap();
        assert_eq!(socket.look().unwrap(), Some("its file was removed"));
        fs::remove_dir_all(folder.path().join("run")).unwrap();
        assert_eq!(socket.look().unwrap(), Some("its file was removed"), "its folder, too");
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(socket.look().unwrap(), Some("another file had its name"));
        assert_eq!(socket.look().unwrap(), None);

        let _client = UnixStream::connect(&path).unwrap();
        listening.borrow_and_update().accept().unwrap();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o660);
        socket.remove();
        assert!(!path.exists());
    }

    #[test]
    fn a_socket_is_given_to_its_group_and_a_problem_says_why_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("elb.sock");
        let own = rustix::process::getegid().as_raw();
        let mut socket = ApiSocket::bind_for(&path, Some(&own.to_string())).unwrap();
        assert_eq!(socket.problem(), None);
        assert_eq!(fs::metadata(&path).unwrap().gid(), own);
        socket.group = Some("no-such-group".to_owned());
        fs::remove_file(&path).unwrap();
        assert_eq!(socket.look().unwrap(), Some("its file was removed"));
        let problem = socket.problem().unwrap();
        assert!(problem.contains("\"no-such-group\" may not ask by "), "{problem}");
        assert!(problem.contains("there is no such group"), "{problem}");
        assert!(path.exists(), "root may");
    }

    #[test]
    fn what_is_in_the_way_is_named_and_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("elb.sock");
        let mut socket = ApiSocket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let why = format!("{:#}", socket.look().unwrap_err());
        assert!(why.starts_with("another file had its name: cannot replace "), "{why}");
        socket.remove();
        assert!(path.is_dir());

        let path = folder.path().join("run/elb.sock");
        fs::create_dir(folder.path().join("run")).unwrap();
        let mut socket = ApiSocket::bind(&path).unwrap();
        fs::remove_dir_all(folder.path().join("run")).unwrap();
        fs::write(folder.path().join("run"), "no folder").unwrap();
        let why = format!("{:#}", socket.look().unwrap_err());
        assert!(why.starts_with("its file was removed, and cannot make "), "{why}");
    }
}
