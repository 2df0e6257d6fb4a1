//! Signals that wait while the kernel is not to be interrupted.

use nix::sys::signal::{SigSet, SigmaskHow, Signal as Number};

/// Signals that come before there is a loop wait for it: hang-ups to reload, the others to be ignored.
pub const WAITING: [Number; 3] = [Number::SIGHUP, Number::SIGUSR1, Number::SIGUSR2];

/// While it lives, signals wait that the agent hears: one that comes while the kernel verifies a program
/// ends that with EAGAIN.
pub struct HeldSignals(SigSet);

impl HeldSignals {
    /// From now on, for this thread.
    pub fn now() -> Option<Self> {
        let heard = WAITING.into_iter().chain([Number::SIGTERM, Number::SIGINT]);
        let heard: SigSet = heard.collect();
        heard.thread_swap_mask(SigmaskHow::SIG_BLOCK).map(Self).ok()
    }
}

impl Drop for HeldSignals {
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
        let held = HeldSignals::now();
        assert!(blocked());
        drop(held);
        assert!(!blocked());
    }
}
