//! Waiting: for what a probe finds, always with a limit, and for the user at the keyboard.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use tokio::signal::unix::{SignalKind, signal};

/// After this long, something that takes moments counts as stuck. It is a limit for hangs, which ends
/// nothing that works: not on one processor, not next to other load, not on a slow machine.
pub const STUCK: Duration = Duration::from_secs(120);

const PROBE_INTERVAL: Duration = Duration::from_millis(10);

/// Repeats `probe` until it answers `Some`, or fails with what was awaited.
pub fn wait_for<T>(
    what: &str,
    limit: Duration,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = probe().with_context(|| format!("while waiting for {what}"))? {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "{what}: not within {limit:?}");
        thread::sleep(PROBE_INTERVAL);
    }
}

/// Waits for SIGINT or SIGTERM.
pub fn wait_for_interrupt() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate())?;
        tokio::select! {
            interrupted = tokio::signal::ctrl_c() => interrupted?,
            _ = terminated.recv() => {}
        }
        Ok(())
    })
}
