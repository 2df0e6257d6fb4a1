//! Why the agent's process does not answer, where that can be seen.

use std::fs;
use std::io;
use std::path::Path;

use crate::diagnosis::doctor::Duty;
use crate::diagnosis::doctor::facts::Silence;
use crate::kernel::lock::{LockHolder, holder_of};

/// Why the process that has what only one agent may use does not answer.
pub(super) fn silence(duty: &Duty) -> Option<Silence> {
    let LockHolder { pid, .. } = holder(duty)?;
    if is_stopped(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?) {
        return Some(Silence::Stopped(pid));
    }
    if let Some((open, limit)) = files(pid).filter(|(open, limit)| open + FEW >= *limit) {
        return Some(Silence::NoFile { pid, open, limit });
    }
    let socket = duty.socket.as_ref().filter(|socket| is_missing(socket))?;
    Some(Silence::NoSocket(socket.clone()))
}

/// Descriptors with which an agent can hardly answer.
const FEW: u64 = 8;

/// How many files a process has open, and how many it may.
fn files(pid: u32) -> Option<(u64, u64)> {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    Some((u64::try_from(open).ok()?, most_files(&limits)?))
}

/// The limit in force that `/proc/PID/limits` has: `Max open files  1024  4096  files`; none: there is none.
fn most_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The agent's process, whether it answers or not.
fn holder(duty: &Duty) -> Option<LockHolder> {
    duty.locked.iter().find_map(|(_, path)| holder_of(path))
}

fn is_missing(path: &Path) -> bool {
    let absent = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory];
    path.symlink_metadata().is_err_and(|error| absent.contains(&error.kind()))
}

/// Whether `/proc/PID/stat` is of a process that a signal stopped: `7 (elb) T 1 …`.
fn is_stopped(stat: &str) -> bool {
    let state = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().next());
    state == Some("T")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_is_read() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files  60   4096   files\n";
        assert_eq!(most_files(limits), Some(60));
        assert_eq!(most_files("Max open files  unlimited unlimited files"), None);
        let (open, limit) = files(std::process::id()).unwrap();
        assert!(0 < open && open < limit, "{open} {limit}");
    }

    #[test]
    fn a_stopped_process_is_known() {
        assert!(is_stopped("7 (elb) T 1 7"));
        assert!(is_stopped("7 (a) S (b) T 1 7"));
        for other in ["7 (elb) S 1 7", "7 (elb) t 1 7", "7 (T) R 1", ""] {
            assert!(!is_stopped(other), "{other}");
        }
    }
}
