//! Probes, and what follows from their results: the maps are brought in step, and what is known of the
//! members' health is written down. Both are done once for many results.

use std::time::Duration;

use tokio::time::Instant;

use super::core::ToDo;
use super::last_good::LastGood;
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

/// How writing down ended what may be written later, and how long it took.
pub(super) struct Saved {
    took: Duration,
    health: Result<(), String>,
    /// Which one it was, if it was another than before.
    configuration: Option<(u64, Result<(), String>)>,
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
        let folder = self.core.folder.clone();
        let health = self.core.health();
        let configuration = LastGood::of(&self.core.file).filter(|_| !self.core.file.is_kept);
        self.core.file.is_kept = true;
        self.saves.spawn_blocking(move || {
            let begun = Instant::now();
            let health = write(&folder.health(), &health, "the members' health");
            let configuration = configuration.map(|good| (good.generation(), good.keep(&folder)));
            Saved { took: begun.elapsed(), health, configuration }
        });
    }

    /// It ended like this.
    pub(super) fn is_saved(&mut self, Saved { took, health, configuration }: Saved) {
        let trouble = &mut self.core.faults.trouble;
        if !trouble.note(Written::Health, health, now().time) {
            self.saving.ask(Instant::now(), SAVE_AGAIN);
        }
        if let Some((generation, result)) = configuration {
            trouble.note(Written::LastGood, result, now().time);
            // Another one came meanwhile, which this may have been written over.
            if generation != self.core.file.generation {
                self.core.file.is_kept = false;
                self.saving.ask(Instant::now(), SAVE_AGAIN);
            }
        }
        self.saving.rest(Instant::now(), SAVE_REST.max(20 * took));
    }

    /// The last time, when nothing else goes on.
    pub(super) async fn save_health_at_last(&mut self) {
        while self.saves.join_next().await.is_some() {}
        if let Err(why) = write(&self.core.folder.health(), &self.core.health(), "health") {
            tracing::error!("{why}");
        }
        if !self.core.file.is_kept {
            self.core.keep_configuration();
        }
    }
}
