//! What the process must be allowed to do.

use std::fs;

use super::{BackendError, Mode};

pub(crate) const NET_ADMIN: (u32, &str) = (12, "CAP_NET_ADMIN");
pub(crate) const PERFMON: (u32, &str) = (38, "CAP_PERFMON");
pub(crate) const BPF: (u32, &str) = (39, "CAP_BPF");
/// Older and wider than `PERFMON` and `BPF`: the kernel takes it for both.
pub(crate) const SYS_ADMIN: u32 = 21;

/// Fails with what is missing, before anything is changed.
pub(super) fn check(mode: Mode) -> Result<(), BackendError> {
    let Some(effective) = effective() else {
        // Without /proc nothing works, and what comes next says so better.
        return Ok(());
    };
    let missing = missing(mode, effective);
    if missing.is_empty() { Ok(()) } else { Err(BackendError::Capabilities(missing)) }
}

/// The capabilities of this thread that count, a bit for each.
pub(crate) fn effective() -> Option<u64> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let hexadecimal = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(hexadecimal.trim(), 16).ok()
}

pub(super) fn missing(mode: Mode, effective: u64) -> Vec<&'static str> {
    let has = |bit: u32| effective >> bit & 1 == 1;
    let mut missing = Vec::new();
    if !has(NET_ADMIN.0) {
        missing.push(NET_ADMIN.1);
    }
    if mode.is_tunnel() && !has(SYS_ADMIN) {
        missing.extend([BPF, PERFMON].iter().filter(|(bit, _)| !has(*bit)).map(|(_, name)| name));
    }
    missing
}
