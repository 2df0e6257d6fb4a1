//! Processor time that a process takes.

use std::{fs, time::Instant};

use anyhow::{Context as _, Result};
use nix::unistd::{SysconfVar, sysconf};

/// A process, from a moment on.
#[derive(Debug)]
pub struct Cpu {
    process: u32,
    since: Instant,
    ticks: u64,
}

impl Cpu {
    /// From now on.
    ///
    /// # Errors
    /// There is no such process.
    pub fn of(process: u32) -> Result<Self> {
        Ok(Self { process, since: Instant::now(), ticks: ticks(process)? })
    }

    /// Seconds of processor time for each second since: 1 is a whole core.
    ///
    /// # Errors
    /// The process has ended.
    pub fn used(&self) -> Result<f64> {
        let per_second = sysconf(SysconfVar::CLK_TCK)?.context("no clock ticks")? as f64;
        let used = ticks(self.process)? - self.ticks;
        Ok(used as f64 / per_second / self.since.elapsed().as_secs_f64())
    }
}

/// Of its threads, in user and in system mode: proc(5), utime and stime.
fn ticks(process: u32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let (_, fields) = stat.rsplit_once(')').context("no name of a process")?;
    let fields = fields.split_whitespace().skip(11).take(2);
    fields.map(|field| field.parse::<u64>().context(field.to_owned())).sum()
}
