//! Processor time that a process takes.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::{
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

/// A process, from a moment on.
#[derive(Debug)]
pub struct Cpu {
    process: u32,
    since: Instant,
    before: Duration,
}

impl Cpu {
    /// From now on.
    ///
    /// # Errors
    /// There is no such process.
    pub fn of(process: u32) -> Result<Self> {
        Ok(Self { process, since: Instant::now(), before: all(process)? })
    }

    /// Seconds of processor time for each second since: 1 is a whole core.
    ///
    /// # Errors
    /// The process has ended.
    pub fn used(&self) -> Result<f64> {
        let (time, since) = self.time()?;
        Ok(time.as_secs_f64() / since.as_secs_f64())
    }

    /// Processor time since, and since when.
    ///
    /// # Errors
    /// The process has ended.
    pub fn time(&self) -> Result<(Duration, Duration)> {
        let time = all(self.process)?.saturating_sub(self.before);
        Ok((time, self.since.elapsed()))
    }
}

/// Of all its threads, in user and in system mode.
fn all(process: u32) -> Result<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(process)?));
    let time = clock.and_then(clock_gettime);
    Ok(time.with_context(|| format!("no processor time of {process}"))?.into())
}
