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
    let socket = duty.socket.as_ref().filter(|socket| is_missing(socket))?;
    Some(Silence::NoSocket(socket.clone()))
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
    fn a_stopped_process_is_known() {
        assert!(is_stopped("7 (elb) T 1 7"));
        assert!(is_stopped("7 (a) S (b) T 1 7"));
        for other in ["7 (elb) S 1 7", "7 (elb) t 1 7", "7 (T) R 1", ""] {
            assert!(!is_stopped(other), "{other}");
        }
    }
}
