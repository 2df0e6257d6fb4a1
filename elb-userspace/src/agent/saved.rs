//! What the agent remembers across its own restarts, in files of the state directory ([`Folder`]), each
//! written whole and atomically: the numbers that the maps know ([`Numbers`]), the members that are drained
//! by command ([`Drained`]), and what is known of the members' health ([`SavedHealth`]). The former two are
//! written before the maps know of them, the latter soon after something changed.

mod aside;
mod boot;
mod drained;
mod folder;
mod health;
mod panicked;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::net::SocketAddr;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::control::assign::Assignments;
use crate::kernel::replace::replace;

pub use self::aside::keep_aside;
pub use self::boot::boot_id;
pub use self::drained::{Drained, SavedDrain};
pub use self::folder::Folder;
pub use self::health::{SavedHealth, SavedMember};
pub(super) use self::panicked::{note_panic, take_panic};

/// What the maps' numbers mean.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Numbers {
    /// Kernel id of the maps that the numbers belong to: after a reboot or `elb detach` they mean
    /// nothing.
    pub generation: u32,
    /// The boot that it is an id of; empty: an earlier version did not write it down.
    #[serde(default)]
    pub boot: String,
    /// Kernel id of the maps that those are being carried over to, where they mean the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub carried_to: Option<u32>,
    /// The numbers.
    pub assignments: Assignments,
    /// Whether who wrote them down forgets the clients of members whose numbers become free.
    #[serde(default = "KnowsClients::of_earlier_versions")]
    pub knows_clients: KnowsClients,
    /// Members that are drained by command, by pool, as earlier versions wrote them down.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub drained: BTreeMap<String, Vec<SocketAddr>>,
}

/// Whether an agent knows the maps of clients. One that does not leaves them as they are, while the numbers in them
/// become those of other members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KnowsClients(pub bool);

impl KnowsClients {
    /// What was not written down.
    const fn of_earlier_versions() -> Self {
        Self(false)
    }
}

impl Default for KnowsClients {
    fn default() -> Self {
        Self(true)
    }
}

impl Numbers {
    /// Whether they were written down in this boot, if that is known.
    pub fn is_of_this_boot(&self) -> bool {
        self.boot.is_empty() || self.boot == boot_id()
    }
}

/// The largest file that is read, in bytes: 65,535 members with all that may be known of each need
/// less than half of it.
const MAX_FILE_SIZE: u64 = 128 << 20;

/// Reads a file; `None` where there is none or it is of no use, which is logged.
pub fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let text = match read_bounded(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        text => text,
    };
    let saved = text.and_then(|text| Ok(serde_json::from_slice(&text)?));
    saved
        .inspect_err(|error| {
            tracing::warn!(file = %path.display(), %error, "the saved state cannot be used; starting without it");
        })
        .ok()
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_FILE_SIZE + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_FILE_SIZE {
        return Err(io::Error::other(format!("it is larger than {MAX_FILE_SIZE} bytes")));
    }
    Ok(text)
}

/// Replaces a file.
///
/// # Errors
/// The folder cannot be written to; the file is as it was.
pub fn write(path: &Path, saved: &impl Serialize) -> io::Result<()> {
    replace(path, &serde_json::to_vec(saved)?)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::health::{Cause, Failure, History, OperatingStatus, Verdict};
    use crate::model::ResourceId;

    fn member() -> SocketAddr {
        SocketAddr::from(([10, 0, 0, 1], 80))
    }

    fn health() -> SavedHealth {
        let since = SystemTime::UNIX_EPOCH + Duration::from_secs(9);
        let refused = Failure::new(Cause::Refused { by: member().ip() });
        let reason = Some(refused.clone());
        let verdict = Some(Verdict {
            status: OperatingStatus::Offline,
            since,
            reason,
            streak: 1,
            decided: None,
        });
        let mut history = History::default();
        history.note(since, Duration::from_millis(3), Err(&refused));
        let known = SavedMember { member: member(), verdict, history };
        SavedHealth {
            boot: boot_id().to_owned(),
            pools: BTreeMap::from([(ResourceId::of_pool("web"), vec![known])]),
            bound_load_balancers: [ResourceId::of_load_balancer("lb")].into(),
            events: Vec::new(),
        }
    }

    #[test]
    fn comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (numbers_file, health_file) =
            (folder.path().join("numbers.json"), folder.path().join("health.json"));
        assert_eq!(read::<Numbers>(&numbers_file), None);
        let drained = BTreeMap::from([("web".to_owned(), vec![member()])]);
        let numbers = Numbers { generation: 7, drained, ..Numbers::default() };
        write(&numbers_file, &numbers).unwrap();
        write(&health_file, &health()).unwrap();
        assert_eq!(read(&numbers_file), Some(numbers));
        assert_eq!(read(&health_file), Some(health()));
    }

    /// Agents that do not know clients leave out what they do not know, and keep the rest.
    #[test]
    fn numbers_of_an_agent_that_knows_no_clients_are_told_apart() {
        let own = serde_json::to_value(Numbers::default()).unwrap();
        assert_eq!(own["knows_clients"], true);
        let mut earlier = own.clone();
        earlier.as_object_mut().unwrap().remove("knows_clients");
        let read = |value| serde_json::from_value::<Numbers>(value).unwrap().knows_clients;
        assert_eq!((read(own), read(earlier)), (KnowsClients(true), KnowsClients(false)));
    }

    #[test]
    fn state_of_another_boot_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("health.json");
        write(&file, &health()).unwrap();
        assert_eq!(SavedHealth::read(&file), health());
        write(&file, &SavedHealth { boot: "another".to_owned(), ..health() }).unwrap();
        let kept = SavedHealth::read(&file);
        assert!(kept.pools.is_empty());
        assert_eq!(kept.bound_load_balancers, health().bound_load_balancers);
        let numbers = |boot: &str| Numbers { boot: boot.to_owned(), ..Numbers::default() };
        assert!(numbers(boot_id()).is_of_this_boot() && numbers("").is_of_this_boot());
        assert!(!numbers("another").is_of_this_boot());
    }

    #[test]
    fn a_broken_file_is_no_state() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("elb.state.json");
        for text in ["", "{", "[]", r#"{"generation":-1}"#, "\u{0}"] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(read::<Numbers>(&file), None, "{text}");
        }
    }

    /// Every beginning of a file, and files with a wrong value.
    #[test]
    fn a_file_that_was_cut_or_made_up_is_no_state() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("elb.health.json");
        let text = serde_json::to_string(&health()).unwrap();
        for length in 0..text.len() {
            std::fs::write(&file, &text[..length]).unwrap();
            assert_eq!(read::<SavedHealth>(&file), None, "{}", &text[..length]);
        }
        for (right, wrong) in [
            ("\"OFFLINE\"", "\"SICK\""),
            ("\"streak\":1", "\"streak\":-1"),
            ("\"secs_since_epoch\":9", "\"secs_since_epoch\":18446744073709551615"),
            ("10.0.0.1:80", "10.0.0.1:65536"),
            ("\"probes_failed\":1", "\"probes_failed\":1e99"),
            ("\"pools\":{", "\"pools\":{\"dns\":7,"),
        ] {
            let wrong = text.replacen(right, wrong, 1);
            assert_ne!(wrong, text, "{right}");
            std::fs::write(&file, &wrong).unwrap();
            assert_eq!(read::<SavedHealth>(&file), None, "{wrong}");
        }
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("elb.health.json");
        File::create(&file).unwrap().set_len(MAX_FILE_SIZE + 1).unwrap();
        assert_eq!(read::<SavedHealth>(&file), None);
    }
}
