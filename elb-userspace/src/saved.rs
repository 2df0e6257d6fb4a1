//! What the agent remembers across its own restarts, in a file beside its socket: the numbers that
//! the maps know, and the last verdicts on members. Written whole and atomically.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use crate::assign::Assignments;
use crate::health::Status;

/// What is saved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    /// Kernel id of the maps that the numbers belong to: after a reboot or `elb detach` they mean
    /// nothing.
    pub generation: u32,
    /// The numbers.
    pub assignments: Assignments,
    /// Members that are drained by command, by pool.
    #[serde(default)]
    pub drained: BTreeMap<String, Vec<SocketAddr>>,
    /// Verdicts by pool.
    pub verdicts: BTreeMap<String, Vec<Verdict>>,
}

/// The last verdict on a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The member.
    pub member: SocketAddr,
    /// Whether it was ONLINE; others are OFFLINE. Members without a verdict are not saved.
    pub online: bool,
    /// Since when.
    pub since: SystemTime,
}

impl Verdict {
    /// As the health engine has it.
    pub const fn status(&self) -> Status {
        if self.online { Status::Online } else { Status::Offline }
    }
}

/// The largest file that is read, in bytes: 65,535 members need about 16 MiB.
const MAX_FILE_SIZE: u64 = 64 << 20;

/// The file for an agent with this socket.
pub fn path(socket: &Path) -> PathBuf {
    socket.with_extension("state.json")
}

/// Reads the file; `None` where there is none or it is of no use, which is logged: the agent then
/// starts from what the maps say, and numbers everything anew.
pub fn read(path: &Path) -> Option<Saved> {
    let text = match std::fs::metadata(path) {
        Ok(metadata) if metadata.len() > MAX_FILE_SIZE => Err(io::Error::other("it is too large")),
        Ok(_) => std::fs::read(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => Err(error),
    };
    let saved = text.and_then(|text| Ok(serde_json::from_slice(&text)?));
    saved
        .inspect_err(|error| {
            tracing::warn!(file = %path.display(), %error, "the saved state is of no use, starting without");
        })
        .ok()
}

/// Replaces the file.
///
/// # Errors
/// The folder cannot be written to; the file is as it was.
pub fn write(path: &Path, saved: &Saved) -> io::Result<()> {
    let new = path.with_extension("json.new");
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec(saved)?)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = path(&folder.path().join("elb.sock"));
        assert_eq!(file.file_name().unwrap(), "elb.state.json");
        assert_eq!(read(&file), None);
        let member = SocketAddr::from(([10, 0, 0, 1], 80));
        let verdict = Verdict { member, online: true, since: SystemTime::UNIX_EPOCH };
        let verdicts = BTreeMap::from([("web".to_owned(), vec![verdict])]);
        let drained = BTreeMap::from([("web".to_owned(), vec![member])]);
        let saved = Saved { generation: 7, drained, verdicts, ..Saved::default() };
        write(&file, &saved).unwrap();
        assert_eq!(read(&file), Some(saved));
    }

    #[test]
    fn a_broken_file_is_no_state() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("elb.state.json");
        for text in ["", "{", "[]", r#"{"generation":-1}"#, "\u{0}"] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(read(&file), None, "{text}");
        }
    }
}
