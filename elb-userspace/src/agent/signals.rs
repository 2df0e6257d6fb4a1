//! Signals: none of those that mean something to an agent ends it, from the first line of `main` on.

use anyhow::{Context as _, Result};
use nix::sys::signal::SigSet;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::kernel::signals::WAITING;

/// Lets signals wait until the agent listens. For the first line of `main`, before any thread is made.
pub fn hold_signals() {
    let _ = WAITING.into_iter().collect::<SigSet>().thread_block();
}

/// The signals that the agent hears.
pub(super) struct Signals {
    /// The configuration is to be read again.
    pub(super) hangup: Signal,
    /// The agent is to end.
    pub(super) terminate: Signal,
    /// The same, from a terminal.
    pub(super) interrupt: Signal,
    /// They mean nothing, and would end the process otherwise.
    _ignored: [Signal; 2],
}

impl Signals {
    /// Begins to hear them, those that waited included.
    pub(super) fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        let signals = Self {
            hangup: listen(SignalKind::hangup())?,
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
            _ignored: [listen(SignalKind::user_defined1())?, listen(SignalKind::user_defined2())?],
        };
        let waiting: SigSet = WAITING.into_iter().collect();
        waiting.thread_unblock().context("cannot let signals through")?;
        Ok(signals)
    }
}
