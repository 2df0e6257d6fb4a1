//! What was changed, in a file, so that it can be restored.

use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::AttachedMode;
use super::mss::Advertised;
use super::sysctl::{Sysctl, SysctlKey};
use super::wanted_answers::Answers;
use crate::kernel::replace::replace;

/// Why the state file cannot be used.
#[derive(Debug, Error)]
pub enum StateError {
    /// It cannot be read or written.
    #[error("state file {path}: {error}; name a directory that can be written with --state-dir")]
    Io {
        /// The file, or its directory.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is not one.
    #[error(
        "state file {path} cannot be understood: {error}; it says what to restore: correct it, or \
         undo by hand what it names and remove it; nothing was changed"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: serde_json::Error,
    },
    /// Another version wrote it.
    #[error(
        "state file {path} has version {found}, this elb writes version {VERSION}; use the elb that \
         wrote it to undo the set-up; nothing was changed"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It is not about this host.
    #[error(
        "state file {path} is of another network namespace; set that one down there, or name another \
         --pin-dir here; if it does not exist any more, remove the file and {pin_dir}; nothing was \
         changed"
    )]
    Elsewhere {
        /// The file.
        path: PathBuf,
        /// The pins that it belongs to.
        pin_dir: PathBuf,
    },
}

const VERSION: u32 = 1;

/// Everything that a set-up changed, and what was there before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub(super) version: u32,
    pub(super) pin_dir: PathBuf,
    /// The inode of the network namespace.
    pub(super) network_namespace: u64,
    pub(super) vips: Vec<Vip>,
    pub(super) sysctls: Vec<Changed>,
    pub(super) interfaces: Vec<Interface>,
    /// Routes that say another size of segments.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) routes: Vec<Advertised>,
    /// The size of segments that clients are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) mss: Option<u32>,
    /// Answers that go through a load balancer (`--mode nat`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) answers: Option<Answers>,
}

/// A virtual address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Vip {
    pub(super) address: IpAddr,
    /// Whether it was put on `lo` here, and so is to be removed.
    pub(super) added: bool,
}

/// A kernel setting that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Changed {
    pub(super) interface: String,
    pub(super) key: SysctlKey,
    pub(super) was: i32,
    pub(super) set: i32,
}

/// An interface that carries the program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Interface {
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) mode: AttachedMode,
}

impl State {
    pub(super) fn new(pin_dir: &Path, network_namespace: u64) -> Self {
        Self {
            version: VERSION,
            pin_dir: pin_dir.to_owned(),
            network_namespace,
            vips: Vec::new(),
            sysctls: Vec::new(),
            interfaces: Vec::new(),
            routes: Vec::new(),
            mss: None,
            answers: None,
        }
    }
}

impl Changed {
    pub(super) fn sysctl(&self) -> Sysctl {
        Sysctl { interface: self.interface.clone(), key: self.key }
    }
}

/// The state file of a pin directory. While this lives, no other process uses the directory of
/// state files.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
    pin_dir: PathBuf,
    _lock: File,
}

impl StateFile {
    /// Waits for its turn.
    pub(super) fn lock(state_dir: &Path, pin_dir: &Path) -> Result<Self, StateError> {
        let error = |error| StateError::Io { path: state_dir.to_owned(), error };
        fs::create_dir_all(state_dir).map_err(error)?;
        let lock = File::open(state_dir).map_err(error)?;
        lock.lock().map_err(error)?;
        let path = state_dir.join(file_name(pin_dir));
        Ok(Self { path, pin_dir: pin_dir.to_owned(), _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The state of this network namespace; `None`: nothing is set up.
    pub(super) fn load(&self, network_namespace: u64) -> Result<Option<State>, StateError> {
        read(&self.path, &self.pin_dir, network_namespace)
    }

    /// The states of other pin directories in this network namespace that can be read.
    pub(super) fn others(&self, network_namespace: u64) -> Vec<State> {
        let Some(Ok(entries)) = self.path.parent().map(fs::read_dir) else { return Vec::new() };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths
            .filter(|path| *path != self.path && path.extension() == Some("json".as_ref()))
            .filter_map(|path| serde_json::from_slice(&fs::read(path).ok()?).ok())
            .filter(|state: &State| state.network_namespace == network_namespace)
            .collect()
    }

    /// Replaces what is there: a reader finds the one or the other, never a part.
    pub(super) fn save(&self, state: &State) -> Result<(), StateError> {
        let mut text =
            serde_json::to_vec_pretty(state).map_err(|error| self.error(error.into()))?;
        text.push(b'\n');
        replace(&self.path, &text).map_err(|error| self.error(error))
    }

    /// Nothing is set up any more.
    pub(super) fn remove(&self) -> Result<(), StateError> {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.error(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn error(&self, error: io::Error) -> StateError {
        StateError::Io { path: self.path.clone(), error }
    }
}

/// As [`StateFile::load`], for who only looks: what is there is always whole.
pub(super) fn peek(
    state_dir: &Path,
    pin_dir: &Path,
    network_namespace: u64,
) -> Result<Option<State>, StateError> {
    read(&state_dir.join(file_name(pin_dir)), pin_dir, network_namespace)
}

fn read(path: &Path, pin_dir: &Path, network_namespace: u64) -> Result<Option<State>, StateError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StateError::Io { path: path.to_owned(), error }),
    };
    let corrupt = |error| StateError::Corrupt { path: path.to_owned(), error };
    let Versioned { version } = serde_json::from_slice(&text).map_err(corrupt)?;
    if version != VERSION {
        return Err(StateError::Version { path: path.to_owned(), found: version });
    }
    let state: State = serde_json::from_slice(&text).map_err(corrupt)?;
    if state.network_namespace != network_namespace {
        return Err(StateError::Elsewhere { path: path.to_owned(), pin_dir: pin_dir.to_owned() });
    }
    Ok(Some(state))
}

/// A name per pin directory, readable and never the same for two: `sys+fs+bpf+elb-backend.json`.
fn file_name(pin_dir: &Path) -> String {
    let path = pin_dir.strip_prefix("/").unwrap_or(pin_dir);
    let mut name = String::new();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' => name.push('+'),
            b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                name.push(char::from(*byte));
            }
            _ => name.push_str(&format!("%{byte:02x}")),
        }
    }
    name + ".json"
}

/// The inode of the network namespace of this thread.
pub(super) fn network_namespace() -> Result<u64, StateError> {
    let path = Path::new("/proc/thread-self/ns/net");
    let metadata =
        fs::metadata(path).map_err(|error| StateError::Io { path: path.to_owned(), error })?;
    Ok(metadata.ino())
}
