//! Where tests let a task panic, to see what becomes of the agent. Nothing does otherwise.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

static FAULT: OnceLock<(String, AtomicU32)> = OnceLock::new();

/// Lets a task panic so often: `probe`, `sweep`, `netlink`, `answer`. Once in a process.
pub fn set(task: &str, times: u32) {
    let _ = FAULT.set((task.to_owned(), AtomicU32::new(times)));
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
