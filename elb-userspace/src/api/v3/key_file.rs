//! The keys as they are at each moment: when a request comes, and when its change is made.

use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use anyhow::{Context as _, Result};

use super::keys::ClientKeys;
use super::refusal::Refusal;

/// The keys as they are now: the file is read again once it is another one.
pub(super) struct KeyFile {
    path: PathBuf,
    read: Option<(Stamp, ClientKeys)>,
}

/// What tells one state of a file from another.
type Stamp = Option<(u64, u64, SystemTime)>;

impl KeyFile {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path, read: None }
    }

    pub(super) fn now(&mut self) -> Result<&ClientKeys> {
        let stamp: Stamp = fs::metadata(&self.path)
            .ok()
            .and_then(|found| Some((found.ino(), found.len(), found.modified().ok()?)));
        if self.read.as_ref().is_none_or(|(of, _)| *of != stamp) {
            self.read = None;
            self.read = Some((stamp, ClientKeys::read(&self.path)?));
        }
        let (_, keys) = self.read.as_ref().context("the keys were read")?;
        Ok(keys)
    }
}

/// The key of a caller while a request is under way: a body may take seconds, and a change waits for others.
#[derive(Clone)]
pub(super) struct KeyInUse {
    file: Arc<Mutex<KeyFile>>,
    access: String,
}

impl fmt::Debug for KeyInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyInUse").field("access", &self.access).finish_non_exhaustive()
    }
}

impl KeyInUse {
    pub(super) const fn new(file: Arc<Mutex<KeyFile>>, access: String) -> Self {
        Self { file, access }
    }

    /// Whether it is a key still.
    pub(super) fn is_valid(&self) -> Result<(), Refusal> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = file.now().map_err(|error| {
            tracing::error!("a change is not made: {error:#}");
            let why = "the keys of this host cannot be used; its log says why".to_owned();
            Refusal::internal(why)
        })?;
        if keys.by_access(&self.access).is_some() {
            return Ok(());
        }
        let why = "the key was revoked while this request was under way; nothing was changed";
        Err(Refusal::unauthenticated(why.to_owned()))
    }
}
