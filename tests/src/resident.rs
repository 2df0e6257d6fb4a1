//! What a process has in memory.

use std::fs;

use anyhow::{Context as _, Result};

/// A figure of `/proc/PID/status`, such as `VmRSS`, in bytes.
///
/// # Errors
/// There is no such process, or no such figure.
pub fn memory_of(process: u32, figure: &str) -> Result<u64> {
    let all = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = all.lines().find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
    let line = line.with_context(|| format!("no {figure} of {process}"))?;
    let kilobytes = line.trim().trim_end_matches(" kB");
    Ok(kilobytes.parse::<u64>().with_context(|| line.to_owned())? << 10)
}

/// From now on the most that a process has had (`VmHWM`) is counted anew.
///
/// # Errors
/// There is no such process.
pub fn forget_most(process: u32) -> Result<()> {
    let file = format!("/proc/{process}/clear_refs");
    fs::write(&file, "5").with_context(|| format!("cannot write {file}"))
}
