//! The service manager's watchdog: it hears from the agent only while the loop turns, the maps can be read
//! and the network is followed.

use std::time::Duration;

use tokio::time::Instant;

use super::core::Core;
use super::notify::notify;

/// When the service manager is to hear that the agent works.
#[derive(Debug)]
pub(super) struct Watchdog {
    every: Option<Duration>,
    at: Instant,
}

impl Watchdog {
    /// As the service manager asked (`WatchdogSec=`), if it did: twice in that time.
    pub(super) fn new(now: Instant) -> Self {
        let every = sd_notify::watchdog_enabled().map(|time| time / 2);
        Self { every, at: now }
    }

    /// When to test.
    pub(super) fn due(&self) -> Option<Instant> {
        self.every.map(|_| self.at)
    }

    /// Notifies the service manager, unless the agent does not work; then returns why.
    pub(super) fn notify(&mut self, core: &Core, follows: bool, now: Instant) -> Option<String> {
        self.at = now + self.every.unwrap_or_default();
        let works = works(core, follows);
        if works.is_ok() {
            notify(&[sd_notify::NotifyState::Watchdog]);
        }
        works.err()
    }
}

fn works(core: &Core, follows: bool) -> Result<(), String> {
    if !follows {
        return Err("the network is not followed".to_owned());
    }
    core.serving.maps.test().map_err(|error| format!("a map cannot be read: {error}"))
}
