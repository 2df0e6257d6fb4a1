//! The processor that measures: one of them, used by us before anyone else, and what it gave us.

use std::panic::resume_unwind;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::libc;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

/// Runs `task` on a thread of its own that stays on one CPU and, where that is allowed, goes before
/// every ordinary process there. What the task starts inherits that.
pub fn alone<T: Send>(task: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let inside = || -> Result<T> {
        stay_on_one()?;
        go_first();
        task()
    };
    thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| resume_unwind(panic))
}

/// The last allowed CPU: the first serves most interrupts.
fn stay_on_one() -> Result<()> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).context("cannot ask for allowed CPUs")?;
    let last = (0..CpuSet::count()).rev().find(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    let mut one = CpuSet::new();
    one.set(last.context("no CPU is allowed")?)?;
    sched_setaffinity(Pid::from_raw(0), &one).context("cannot stay on one CPU")
}

/// The calling thread goes before every ordinary process. Without this, other processes' turns leave caches and branch predictors cold. The kernel keeps
/// a share of the CPU for others (`kernel.sched_rt_runtime_us`).
pub fn go_first() {
    let first = libc::sched_param { sched_priority: 1 };
    // SAFETY: the kernel reads the structure, which lives until the call returns; 0 is the calling
    // thread.
    let refused = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const first) };
    if refused != 0 {
        eprintln!("bench: no real-time priority, other processes will disturb");
    }
}

/// Does a piece of work and says how much CPU time of the calling thread it took.
pub fn time<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let before = cpu_time()?;
    let done = work()?;
    Ok((done, cpu_time()? - before))
}

fn cpu_time() -> Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)?.into())
}
