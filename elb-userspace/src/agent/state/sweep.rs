//! Sweeps of the flow tables. One takes as long as the tables are full, so it runs on a thread of its own.

use std::sync::{Mutex, PoisonError};

use crate::control::census::{Census, Fill};
use crate::kernel::bpf::{MapError, Sweeper};

/// What packets note of flows.
pub(in crate::agent) struct Tracking(Mutex<Sweeper>);

impl Tracking {
    pub(in crate::agent) fn new(sweeper: Sweeper) -> Self {
        Self(Mutex::new(sweeper))
    }

    /// Sweeps the tables, after another sweep that may be under way.
    ///
    /// # Errors
    /// The kernel refuses to run the program.
    pub(in crate::agent) fn sweep(&self) -> Result<Census, MapError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).sweep()
    }

    /// Lets no sweep begin, after one that may be under way, for as long as this is kept.
    pub(in crate::agent) fn hold(&self) -> impl Sized + '_ {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the tables were last swept, in coarse monotonic seconds, and how full they are; none while
    /// they are being swept.
    pub(in crate::agent) fn swept(&self) -> Option<(u32, Fill)> {
        let sweeper = self.0.try_lock().ok()?;
        Some((sweeper.swept(), sweeper.fill()))
    }
}
