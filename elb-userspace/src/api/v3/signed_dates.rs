//! When each key last signed a change that was taken, on the disk before the change is made: signatures are remembered
//! in memory, and an agent that starts knows by this which ones it may have forgotten.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex as Turn;
use tokio::task::spawn_blocking;

use super::refusal::Refusal;
use crate::kernel::replace::replace_private;

/// How far a client's clock may be from ours.
pub(super) const SKEW: Duration = Duration::from_secs(15 * 60);

/// The last date that each key signed something for, in seconds since 1970, by access key id.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct LastDates(BTreeMap<String, u64>);

impl LastDates {
    /// Keys that are known apart. Nothing is forgotten by the clock, which may be set.
    const MOST: usize = 1000;
    /// The place of all keys that have none of their own; no key is called so.
    const OTHERS: &str = "";

    /// The last date of a key, if it may have signed anything.
    pub(super) fn last(&self, access: &str) -> Option<u64> {
        [access, Self::OTHERS].iter().filter_map(|key| self.0.get(*key).copied()).max()
    }

    /// Notes a date of a key.
    pub(super) fn raise(&mut self, access: &str, date: u64) {
        let last = self.0.entry(access.to_owned()).or_insert(date);
        *last = date.max(*last);
        if self.0.len() <= Self::MOST {
            return;
        }
        let own = self.0.iter().filter(|(key, _)| key.as_str() != Self::OTHERS);
        if let Some((key, date)) = own.min_by_key(|(_, date)| **date) {
            let (key, date) = (key.clone(), *date);
            self.0.remove(&key);
            self.raise(Self::OTHERS, date);
        }
    }

    /// Notes all dates of others.
    pub(super) fn raise_all(&mut self, others: &Self) {
        others.0.iter().for_each(|(key, date)| self.raise(key, *date));
    }
}

/// What was taken before a start is not known: until when signed changes are refused, and why.
#[derive(Clone, Debug)]
pub struct SignedGap {
    until: SystemTime,
    what: String,
}

impl SignedGap {
    /// What to say of it, while it lasts.
    pub fn problem(&self, wall: SystemTime) -> Option<&str> {
        (wall <= self.until).then_some(&self.what)
    }
}

/// The file with the dates.
#[derive(Clone)]
pub(super) struct SignedDates(Arc<SignedFile>);

struct SignedFile {
    path: PathBuf,
    state: Mutex<SignedState>,
    /// One writes at a time, and for all who wait.
    turn: Arc<Turn<()>>,
}

/// What is to be in the file, and what is in it.
struct SignedState {
    wanted: LastDates,
    saved: LastDates,
}

impl SignedDates {
    /// The file, and what the agent before this one left in it. Where it cannot be read, nothing that may have been
    /// signed before now is taken again.
    pub(super) fn open(path: PathBuf, wall: SystemTime) -> (Self, LastDates, Option<SignedGap>) {
        let read = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(LastDates::default()),
            Err(error) => Err(error),
        };
        let (former, saved, gap) = match read {
            Ok(former) => (former.clone(), former, None),
            Err(error) => {
                let (until, file) = (wall + SKEW, path.display());
                let what = format!(
                    "{file} cannot be read ({error}), so that it is not known which signed requests were done before \
                     the agent started: signed changes are refused until {}, and tokens are taken",
                    written(seconds(until))
                );
                tracing::error!("{what}");
                let mut former = LastDates::default();
                former.raise(LastDates::OTHERS, seconds(until));
                (former, LastDates::default(), Some(SignedGap { until, what }))
            }
        };
        let state = Mutex::new(SignedState { wanted: former.clone(), saved });
        let file = SignedFile { path, state, turn: Arc::default() };
        (Self(Arc::new(file)), former, gap)
    }

    /// Returns when the file has that a key signed a change for this time. Who comes while it is written waits for the
    /// next writing together with others.
    pub(super) async fn keep(&self, access: &str, date: u64) -> Result<(), Refusal> {
        self.0.state().wanted.raise(access, date);
        if self.0.has(access, date) {
            return Ok(());
        }
        let turn = self.0.turn.clone().lock_owned().await;
        if self.0.has(access, date) {
            return Ok(());
        }
        let file = self.0.clone();
        // It goes on where the client does not wait any more: the next one must not write at the same time.
        let written = spawn_blocking(move || {
            let written = file.write();
            drop(turn);
            written
        });
        let written = written.await.map_err(io::Error::other).and_then(|written| written);
        written.map_err(|error| {
            let file = self.0.path.display();
            Refusal::internal(format!(
                "nothing was changed: {file} cannot be written, which keeps signed requests from being done twice: \
                 {error}"
            ))
        })
    }
}

impl SignedFile {
    fn state(&self) -> MutexGuard<'_, SignedState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, access: &str, date: u64) -> bool {
        self.state().saved.last(access).is_some_and(|last| date <= last)
    }

    fn write(&self) -> io::Result<()> {
        let wanted = self.state().wanted.clone();
        replace_private(&self.path, &serde_json::to_vec(&wanted)?)?;
        self.state().saved = wanted;
        Ok(())
    }
}

/// Seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

/// A date as clients sign it.
pub(super) fn written(date: u64) -> String {
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(date));
    let text = time.map(crate::api::shape::status::timestamp).unwrap_or_default();
    text.chars().filter(|c| !"-:".contains(*c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: SystemTime = SystemTime::UNIX_EPOCH;

    #[tokio::test]
    async fn the_next_agent_knows_until_when_changes_were_signed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signed");
        let (dates, former, gap) = SignedDates::open(path.clone(), WALL);
        assert!(former == LastDates::default() && gap.is_none());
        for (access, signed) in [("a", 1000), ("b", 1500), ("a", 1200), ("a", 1100)] {
            dates.keep(access, signed).await.unwrap();
        }
        let (_, former, _) = SignedDates::open(path, WALL);
        let last = ["a", "b", "c"].map(|access| former.last(access));
        assert_eq!(last, [Some(1200), Some(1500), None]);
    }

    /// Those who wait for the disk are served together.
    #[tokio::test]
    async fn many_changes_at_once_are_written_in_few_steps() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signed");
        let (dates, ..) = SignedDates::open(path.clone(), WALL);
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..200_u64 {
            let dates = dates.clone();
            tasks.spawn(async move { dates.keep(&format!("k{}", n % 20), 1000 + n).await });
        }
        while let Some(kept) = tasks.join_next().await {
            kept.unwrap().unwrap();
        }
        let (_, former, _) = SignedDates::open(path, WALL);
        assert_eq!((former.last("k0"), former.last("k19")), (Some(1180), Some(1199)));
    }

    #[tokio::test]
    async fn a_disk_that_takes_nothing_refuses_the_change() {
        let folder = tempfile::tempdir().unwrap();
        let (dates, ..) = SignedDates::open(folder.path().join("none/signed"), WALL);
        for _ in 0..2 {
            let refused = dates.keep("a", 1000).await.unwrap_err();
            assert!(refused.message.contains("nothing was changed"), "{}", refused.message);
        }
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_taken_for_the_worst() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signed");
        fs::write(&path, "no JSON").unwrap();
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
        let (dates, former, gap) = SignedDates::open(path.clone(), start);
        let until = seconds(start + SKEW);
        assert_eq!((former.last("a"), former.last("b")), (Some(until), Some(until)));
        let gap = gap.unwrap();
        let said = gap.problem(start).unwrap();
        assert!(said.contains("until 20260101T001500Z"), "{said}");
        assert_eq!(gap.problem(start + 2 * SKEW), None);
        // Also of the agent after the next one.
        dates.keep("a", until + 5).await.unwrap();
        let (_, former, gap) = SignedDates::open(path, start);
        assert!(gap.is_none());
        assert_eq!((former.last("a"), former.last("b")), (Some(until + 5), Some(until)));
    }

    #[test]
    fn many_keys_take_bounded_memory_and_none_is_taken_for_new() {
        let mut dates = LastDates::default();
        for n in 0..5000_u64 {
            dates.raise(&n.to_string(), n);
        }
        assert!(dates.0.len() <= LastDates::MOST);
        assert!((0..5000_u64).all(|n| dates.last(&n.to_string()).is_some_and(|last| last >= n)));
        assert!(dates.last("new").is_some_and(|last| last < 4500));
    }
}
