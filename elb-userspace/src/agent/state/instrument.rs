//! What is known to be broken on the load balancer's own side, and when to look at it again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::diagnosis::instrument::Fault;
use crate::model::time::Time;

/// How often it is looked at while there is reason to.
const AGAIN: Duration = Duration::from_secs(5);
/// How soon after a look there may be another, for members that are silent since.
const SOON: Duration = Duration::from_secs(1);

/// Why it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::agent) enum LookReason {
    /// There is none.
    None,
    /// Single members are silent, and it was looked at since.
    Known,
    /// Many fail, still.
    Lasts,
    /// A member is silent since the last look.
    New,
}

/// What was found, and when it was looked at.
#[derive(Default)]
pub(in crate::agent) struct Looked {
    at: Option<Time>,
    pub(in crate::agent) found: Arc<Mutex<Option<Found>>>,
}

/// What a look found that began then.
#[derive(Clone)]
pub(in crate::agent) struct Found {
    pub(in crate::agent) begun: Time,
    pub(in crate::agent) faults: Vec<Fault>,
}

impl Looked {
    /// Whether it is time to look; while there is no reason, what was found is forgotten.
    pub(in crate::agent) fn is_due(&mut self, reason: LookReason, now: Time) -> bool {
        let after = match reason {
            LookReason::None => {
                *self = Self::default();
                return false;
            }
            LookReason::Known if self.found().is_some_and(|found| found.is_empty()) => {
                return false;
            }
            LookReason::Known | LookReason::Lasts => AGAIN,
            // One look at a time.
            LookReason::New if Arc::strong_count(&self.found) > 1 => AGAIN,
            LookReason::New => SOON,
        };
        let due = self.at.is_none_or(|at| now.since(at) >= after);
        if due {
            self.at = Some(now);
        }
        due
    }

    fn last(&self) -> Option<Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(in crate::agent) fn found(&self) -> Option<Vec<Fault>> {
        self.last().map(|found| found.faults)
    }

    /// When the last look began that is over.
    pub(in crate::agent) fn begun(&self) -> Option<Time> {
        self.last().map(|found| found.begun)
    }

    /// Faults that are proved to drop probes.
    pub(in crate::agent) fn drops(&self) -> Vec<Fault> {
        let mut found = self.found().unwrap_or_default();
        found.retain(|fault| !fault.drops.is_empty());
        found
    }
}
