//! Probes, and what follows from their results: the maps are brought in step, and what is known of the
//! members' health is written down. Both are done once for many results.

use std::time::Duration;

use tokio::time::Instant;

use super::core::ToDo;
use super::saving::write;
use super::state::trouble::Written;
use super::{Agent, now};
use crate::health::probe;
use crate::model::time::Time;

/// How long what is remembered of probes may be written down later.
const SAVE: Duration = Duration::from_secs(30);
/// How often the members' health is written down at the most; more rarely if it takes more than a
/// twentieth of that.
const SAVE_REST: Duration = Duration::from_secs(1);
/// How long after a failure it is tried again.
const SAVE_AGAIN: Duration = Duration::from_secs(5);

/// How long a question may wait for verdicts to be published.
const EARLY: Duration = Duration::from_millis(50);

/// What came of a probe of a member, and how late it started.
pub(super) struct Probed {
    pub(super) member: u32,
    pub(super) late: Duration,
    /// When it was over.
    pub(super) ended: Time,
    /// What came of it; an error is what the probe said when it panicked.
    pub(super) outcome: Result<probe::ProbeOutcome, String>,
}

impl Agent {
    pub(super) fn start_probes(&mut self) {
        for probe in self.core.due_probes(now()) {
            self.probes.start(probe);
        }
    }

    pub(super) fn probed(&mut self, probed: Probed) {
        let Probed { member, late, ended, outcome } = probed;
        let outcome = match outcome {
            Ok(outcome) => outcome,
            Err(message) => {
                self.core.faults.panics.note("probe", message);
                return self.core.probe_abandoned(member, now());
            }
        };
        let ToDo { publish, save } = self.core.probed(member, late, outcome, now());
        if publish {
            self.core.metering.decided(ended);
            self.publishing.ask(Instant::now(), Duration::ZERO);
        }
        self.saving.ask(Instant::now(), if save { Duration::ZERO } else { SAVE });
        self.look_at_instrument();
    }

    /// An answer says what packets meet: verdicts are published before a question is answered. Where that
    /// takes long, since there are tens of thousands of members, an answer may be ahead of the maps by one
    /// publication, and questions do not hold the agent up.
    pub(super) fn publish_early(&mut self) {
        if self.publishing.may_be_early(EARLY) {
            self.publish();
        }
    }

    pub(super) fn publish(&mut self) {
        let begun = Instant::now();
        self.publishing.begin();
        self.core.publish();
        self.publishing.rest(Instant::now(), begun.elapsed());
        self.watch_flows();
    }

    pub(super) fn save_health(&mut self) {
        self.saving.begin();
        let path = self.core.folder.health();
        let health = self.core.health();
        self.saves.spawn_blocking(move || {
            let begun = Instant::now();
            let written = write(&path, &health, "the members' health");
            (begun.elapsed(), written)
        });
    }

    /// It took so long, and ended like this.
    pub(super) fn health_is_saved(&mut self, took: Duration, written: Result<(), String>) {
        if !self.core.faults.trouble.note(Written::Health, written, now().time) {
            self.saving.ask(Instant::now(), SAVE_AGAIN);
        }
        self.saving.rest(Instant::now(), SAVE_REST.max(20 * took));
    }

    /// The last time, when nothing else goes on.
    pub(super) async fn save_health_at_last(&mut self) {
        while self.saves.join_next().await.is_some() {}
        if let Err(why) = write(&self.core.folder.health(), &self.core.health(), "health") {
            tracing::error!("{why}");
        }
    }
}
