//! When each key last signed a change that was taken, also before the agent started: signatures are remembered in
//! memory, and an agent that starts knows by this which ones it may have forgotten.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::refusal::Refusal;
use crate::kernel::replace::replace_private;

/// The dates, in seconds since 1970, by access key id. They are in a file before a change is made.
pub(super) struct SignedDates {
    path: PathBuf,
    /// As the agent found them.
    former: BTreeMap<String, u64>,
    latest: BTreeMap<String, u64>,
}

impl SignedDates {
    /// What the agent before this one left.
    pub(super) fn open(path: PathBuf) -> Self {
        let former = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(io::Error::from),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(error),
        };
        let former: BTreeMap<String, u64> = former.unwrap_or_else(|error| {
            let file = path.display();
            tracing::error!(%file, %error, "cannot read when changes were signed last");
            BTreeMap::new()
        });
        Self { path, latest: former.clone(), former }
    }

    /// Whether the agent before this one may have taken a change that was signed then.
    pub(super) fn may_be_known(&self, access: &str, signed: SystemTime) -> bool {
        self.former.get(access).is_some_and(|last| seconds(signed) <= *last)
    }

    /// Notes that a change was signed then. Those of before `since` need not be known any more.
    pub(super) fn note(
        &mut self,
        access: &str,
        signed: SystemTime,
        since: SystemTime,
    ) -> Result<(), Refusal> {
        let signed = seconds(signed);
        if self.latest.get(access).is_some_and(|last| signed <= *last) {
            return Ok(());
        }
        let mut latest = self.latest.clone();
        latest.insert(access.to_owned(), signed);
        latest.retain(|_, last| *last >= seconds(since));
        let text = serde_json::to_vec(&latest).unwrap_or_default();
        replace_private(&self.path, &text).map_err(|error| {
            let file = self.path.display();
            Refusal::internal(format!(
                "nothing was changed: {file} cannot be written, which keeps signed requests from being done twice: \
                 {error}"
            ))
        })?;
        self.latest = latest;
        Ok(())
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO).as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_agent_knows_until_when_changes_were_signed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signed");
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let mut dates = SignedDates::open(path.clone());
        for (access, signed) in [("a", 1000), ("b", 1500), ("a", 1200), ("a", 1100)] {
            dates.note(access, at(signed), at(0)).unwrap();
        }
        assert!(!dates.may_be_known("a", at(1000)), "its own are remembered one by one");
        let mut next = SignedDates::open(path.clone());
        let known = |next: &SignedDates, access: &str| {
            [1199, 1200, 1201].map(|signed| next.may_be_known(access, at(signed)))
        };
        assert_eq!(known(&next, "a"), [true, true, false]);
        assert_eq!(known(&next, "b"), [true, true, true]);
        assert_eq!(known(&next, "c"), [false, false, false]);
        // What is too old to be taken again is forgotten, at the next agent.
        next.note("a", at(3000), at(2000)).unwrap();
        let third = SignedDates::open(path);
        assert_eq!(third.former, BTreeMap::from([("a".to_owned(), 3000)]));
    }

    #[test]
    fn a_disk_that_takes_nothing_refuses_the_change() {
        let folder = tempfile::tempdir().unwrap();
        let mut dates = SignedDates::open(folder.path().join("none/signed"));
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let refused = dates.note("a", now, now).unwrap_err();
        assert!(refused.message.contains("nothing was changed"), "{}", refused.message);
        assert!(dates.latest.is_empty(), "it is tried again with the next one");
    }
}
