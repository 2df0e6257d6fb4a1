//! What the kernel knows of the agent's process, under the names that all exporters use.

use std::time::Duration;

use procfs::process::{LimitValue, Process};
use procfs::{ProcResult, WithCurrentSystemInfo as _};

/// The process, as it is now.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessFigures {
    pub(super) cpu_seconds: f64,
    pub(super) resident_bytes: u64,
    pub(super) open_files: usize,
    /// None: no limit.
    pub(super) most_files: Option<u64>,
    pub(super) started: Duration,
}

/// Asks the kernel.
pub(super) fn figures() -> ProcResult<ProcessFigures> {
    let process = Process::myself()?;
    let stat = process.stat()?;
    let ticks = procfs::ticks_per_second();
    let started = procfs::boot_time_secs()? * ticks + stat.starttime;
    let most_files = match process.limits()?.max_open_files.soft_limit {
        LimitValue::Value(most) => Some(most),
        LimitValue::Unlimited => None,
    };
    Ok(ProcessFigures {
        cpu_seconds: (stat.utime + stat.stime) as f64 / ticks as f64,
        resident_bytes: stat.rss_bytes().get(),
        open_files: process.fd_count()?,
        most_files,
        started: Duration::from_secs_f64(started as f64 / ticks as f64),
    })
}
