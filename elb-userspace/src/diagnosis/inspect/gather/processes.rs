//! Who holds a socket, and what that process may and does.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "the kernel reports more than is asked; what is of interest is picked out"
)]

use std::collections::{HashMap, HashSet};
use std::path::Path;

use procfs::process::{FDTarget, LimitValue, MMapPath, ProcState, all_processes};

use super::host::text;
use crate::diagnosis::inspect::facts::{Process, Socket};

/// The processes that hold these sockets, by inode, if this process may see them.
pub(super) fn of(sockets: &[Socket]) -> HashMap<u32, Process> {
    let mut wanted: HashSet<u32> = sockets.iter().map(|socket| socket.inode).collect();
    let mut found = HashMap::new();
    let Ok(processes) = all_processes() else { return found };
    for process in processes.flatten() {
        if wanted.is_empty() {
            break;
        }
        let inodes = held(&process, &wanted);
        if inodes.is_empty() {
            continue;
        }
        let described = describe(&process);
        for inode in inodes {
            wanted.remove(&inode);
            found.insert(inode, described.clone());
        }
    }
    found
}

fn held(process: &procfs::process::Process, wanted: &HashSet<u32>) -> Vec<u32> {
    let Ok(descriptors) = process.fd() else { return Vec::new() };
    let inode = |target: FDTarget| match target {
        FDTarget::Socket(inode) => u32::try_from(inode).ok().filter(|inode| wanted.contains(inode)),
        _ => None,
    };
    descriptors.flatten().filter_map(|descriptor| inode(descriptor.target)).collect()
}

fn describe(process: &procfs::process::Process) -> Process {
    let id = process.pid();
    let stat = process.stat().ok();
    let state = stat.as_ref().and_then(|stat| stat.state().ok());
    let most_files =
        process.limits().ok().and_then(|limits| match limits.max_open_files.soft_limit {
            LimitValue::Value(most) => Some(most),
            LimitValue::Unlimited => None,
        });
    let maps = process.maps().ok();
    let wrapped = maps.map(|maps| maps.iter().any(|map| is_libwrap(&map.pathname)));
    Process {
        id,
        name: name(process).or(stat.map(|stat| stat.comm)).unwrap_or_default(),
        stopped: matches!(state, Some(ProcState::Stopped | ProcState::Tracing)),
        unit: text(&format!("/proc/{id}/cgroup")).as_deref().and_then(unit),
        files: process.fd_count().ok().and_then(|count| u64::try_from(count).ok()),
        most_files,
        wrapped,
    }
}

/// The program as it was called: what tcp wrappers call a daemon.
fn name(process: &procfs::process::Process) -> Option<String> {
    let command = process.cmdline().ok()?;
    // `nginx: master process /usr/sbin/nginx` says what it does, not what it is called.
    let program = command.first()?.split([' ', ':']).next()?;
    let name = Path::new(program).file_name()?.to_string_lossy().into_owned();
    (!name.is_empty()).then_some(name)
}

fn is_libwrap(path: &MMapPath) -> bool {
    match path {
        MMapPath::Path(path) => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("libwrap.so")
        }
        _ => false,
    }
}

/// The unit of systemd that a control group belongs to.
fn unit(cgroup: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.@:\\".contains(c);
    let is_unit = |part: &&str| part.ends_with(".service") && part.chars().all(plain);
    let parts = cgroup.lines().flat_map(|line| line.rsplit('/'));
    parts.filter(is_unit).map(str::to_owned).next().filter(|unit| !unit.starts_with("user@"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_read_from_the_control_group() {
        assert_eq!(unit("0::/system.slice/nginx.service\n").as_deref(), Some("nginx.service"));
        assert_eq!(unit("0::/user.slice/user-0.slice/session-1.scope\n"), None);
        assert_eq!(unit("0::/a/$(reboot).service\n"), None);
    }
}
