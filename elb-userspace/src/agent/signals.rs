//! Signals: none of those that mean something to an agent ends it, from the first line of `main` on.

use anyhow::{Context as _, Result};
use nix::sys::signal::{SigSet, SigmaskHow, Signal as Number};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that come before there is a loop wait for it: hang-ups to reload, the others to be ignored.
const WAITING: [Number; 3] = [Number::SIGHUP, Number::SIGUSR1, Number::SIGUSR2];

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

/// While it lives, signals wait that the agent hears: one that comes while the kernel verifies a program
/// ends that with EAGAIN.
pub(crate) struct Held(SigSet);

impl Held {
    /// From now on, for this thread.
    pub(crate) fn now() -> Option<Self> {
        let heard = WAITING.into_iter().chain([Number::SIGTERM, Number::SIGINT]);
        let heard: SigSet = heard.collect();
        heard.thread_swap_mask(SigmaskHow::SIG_BLOCK).map(Self).ok()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.0.thread_set_mask();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_wait_and_come_afterwards() {
        let blocked = || SigSet::thread_get_mask().unwrap().contains(Number::SIGHUP);
        assert!(!blocked());
        let held = Held::now();
        assert!(blocked());
        drop(held);
        assert!(!blocked());
    }
}
