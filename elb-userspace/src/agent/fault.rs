//! Where tests let a task panic, or set the agent's wall clock, to see what becomes of it. Nothing does
//! otherwise.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

static FAULT: OnceLock<(String, AtomicU32)> = OnceLock::new();

/// Lets a task panic so often: `probe`, `sweep`, `netlink`, `answer`, `metrics`, `loop`. Once in a process.
pub fn set(task: &str, times: u32) {
    let _ = FAULT.set((task.to_owned(), AtomicU32::new(times)));
}

/// By how many seconds the agent's wall clock is wrong.
static WALL: AtomicI64 = AtomicI64::new(0);

/// Lets the agent's wall clock be wrong by so many seconds.
pub fn set_wall_clock(seconds: i64) {
    WALL.store(seconds, Ordering::Relaxed);
}

/// What the agent takes the wall clock to show.
pub(super) fn shown(wall: SystemTime) -> SystemTime {
    let seconds = WALL.load(Ordering::Relaxed);
    let by = Duration::from_secs(seconds.unsigned_abs());
    if seconds < 0 { wall - by } else { wall + by }
}

/// A task is here.
pub(super) fn reach(task: &str) {
    let Some((name, times)) = FAULT.get() else { return };
    if name != task {
        return;
    }
    let left =
        times.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |times| times.checked_sub(1));
    assert!(left.is_err(), "a test lets {task} panic");
}
