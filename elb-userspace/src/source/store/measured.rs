//! What a store costs: how long commits take, how large its file is, and when it was copied last.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rusqlite::{Connection, OptionalExtension as _};

use super::copy::log_of;

/// Upper ends of the classes of commits by duration, in seconds.
pub const COMMIT_ENDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5];

/// What a store costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreCosts {
    /// Commits since the start, by duration: in the classes of [`COMMIT_ENDS`], and one more.
    pub commits: Vec<u64>,
    /// How long they took together.
    pub time: Duration,
    /// Bytes of the file and of its log.
    pub bytes: u64,
    /// When it was copied last; none: never.
    pub copied: Option<SystemTime>,
}

/// What was measured so far; shared by those who use a store.
#[derive(Debug, Default)]
pub(super) struct Measured(Mutex<StoreCosts>);

impl Measured {
    /// Of a store that was just opened.
    pub(super) fn of(connection: &Connection) -> rusqlite::Result<Self> {
        let sql = "SELECT value FROM meta WHERE key = 'copied'";
        let copied = connection.query_row(sql, [], |row| row.get::<_, String>(0)).optional()?;
        let copied = copied.and_then(|seconds| seconds.parse().ok());
        let copied =
            copied.and_then(|seconds| UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
        let commits = vec![0; COMMIT_ENDS.len() + 1];
        Ok(Self(Mutex::new(StoreCosts { commits, copied, ..StoreCosts::default() })))
    }

    pub(super) fn committed(&self, time: Duration) {
        let mut costs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let class = COMMIT_ENDS.partition_point(|end| *end < time.as_secs_f64());
        costs.commits.get_mut(class).into_iter().for_each(|count| *count += 1);
        costs.time += time;
    }

    /// Notes that a copy was made, also for later starts.
    pub(super) fn copied(&self, connection: &Connection, at: SystemTime) {
        let seconds = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let sql = "INSERT OR REPLACE INTO meta VALUES ('copied', ?1)";
        if let Err(error) = connection.execute(sql, [seconds.to_string()]) {
            tracing::warn!(%error, "when the store was copied cannot be written down");
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).copied = Some(at);
    }

    /// As they are now, of the store in this file.
    pub(super) fn costs(&self, path: &Path) -> StoreCosts {
        let size = |path: &Path| fs::metadata(path).map_or(0, |file| file.len());
        let bytes = size(path) + size(&log_of(path));
        StoreCosts { bytes, ..self.0.lock().unwrap_or_else(PoisonError::into_inner).clone() }
    }
}
