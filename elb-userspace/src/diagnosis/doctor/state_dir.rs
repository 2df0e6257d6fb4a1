//! Whether the agent can write down what the next one needs.

use super::facts::{DirectoryRoom, StateDir};
use crate::diagnosis::check::Check;
use crate::diagnosis::report::{Finding, Outcome};

/// Less than a small configuration's numbers, health and last good configuration need.
const LEAST: u64 = 64 << 10;
/// What a large one needs.
const AMPLE: u64 = 1 << 20;

pub(super) fn state_dir(state_dir: Option<&StateDir>) -> Finding {
    let found = |outcome, words: String| Finding::seen(Check::StateDir, outcome, words);
    let Some(StateDir { path, room }) = state_dir else {
        return found(Outcome::Pass, "it is not known without a configuration".to_owned());
    };
    let path = path.display();
    let fix = format!("df -h {path}; df -i {path}    # make room there, or set [agent] state_dir");
    match room {
        DirectoryRoom::Unknown(why) => {
            found(Outcome::Unknown, format!("{path}: {why}")).fix("sudo elb doctor")
        }
        DirectoryRoom::ReadOnly => {
            let words =
                format!("{path} is on a read-only file system: drains and new objects are refused");
            found(Outcome::Fail, words).fix(format!("findmnt -T {path}; set [agent] state_dir"))
        }
        DirectoryRoom::Free { bytes, files } if *bytes < LEAST || !files => {
            let words = format!(
                "{path} has no room ({bytes} bytes free{}): drains and new objects are refused",
                if *files { "" } else { ", no inode" }
            );
            found(Outcome::Fail, words).fix(fix)
        }
        DirectoryRoom::Free { bytes, .. } if *bytes < AMPLE => {
            found(Outcome::Warn, format!("{path} has room for {bytes} bytes only")).fix(fix)
        }
        DirectoryRoom::Free { .. } => found(Outcome::Pass, format!("{path} has room")),
    }
}
