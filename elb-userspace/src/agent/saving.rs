//! Writing down what the next agent needs. What cannot be written is refused, or a problem that is tried again.

use std::path::Path;

use super::clock::now;
use super::core::Core;
use super::last_good::LastGood;
use super::state::trouble::Written;
use crate::agent::saved::{self, Numbers, boot_id};
use crate::source::file::Config;

impl Core {
    /// Writes down the numbers, for the next agent to make use of the maps. True if that succeeded.
    pub(super) fn save(&mut self) -> bool {
        self.save_for(None).is_ok()
    }

    /// As [`Self::save`], for an agent that finds these maps or those that they are carried over to; an error
    /// says why.
    pub(super) fn save_for(&mut self, carried_to: Option<u32>) -> Result<(), String> {
        let numbers = Numbers {
            generation: self.serving.maps.generation,
            boot: boot_id().to_owned(),
            carried_to,
            assignments: self.serving.reconciler.assignments.clone(),
            ..Numbers::default()
        };
        if self.serving.saved.as_ref() == Some(&numbers) && self.folder.numbers().exists() {
            return Ok(());
        }
        self.write_numbers(numbers, "the numbers in the maps")
    }

    fn write_numbers(&mut self, numbers: Numbers, called: &str) -> Result<(), String> {
        let result = write(&self.folder.numbers(), &numbers, called);
        self.serving.saved = result.is_ok().then_some(numbers);
        self.faults.trouble.note(Written::Numbers, result.clone(), now().time);
        result
    }

    /// Writes down which members are drained.
    pub(super) fn save_drained(&mut self) -> Result<(), String> {
        let drained = saved::Drained {
            drained: self.drains.drained.members().copied().collect(),
            known_pools: self.config.model.pools().iter().map(|pool| pool.id).collect(),
        };
        if self.drains.written == drained
            || drained.drained.is_empty() && self.drains.written.drained.is_empty()
        {
            return Ok(());
        }
        let result = write(&self.folder.drained(), &drained, "which members are drained");
        if result.is_ok() {
            self.drains.written = drained;
        }
        result
    }

    /// As [`Self::save_drained`], where a failure is a problem and not a refusal.
    pub(super) fn keep_drained(&mut self) {
        let result = self.save_drained();
        self.faults.trouble.note(Written::Drained, result, now().time);
    }

    /// Writes down the configuration that is served, which is right throughout.
    pub(super) fn keep_configuration(&mut self) {
        self.file.is_kept = true;
        let Some(good) = LastGood::of(&self.file) else { return };
        let result = good.keep(&self.folder);
        self.faults.trouble.note(Written::LastGood, result, now().time);
    }

    /// Tries again what could not be written, if it is time.
    pub(super) fn save_again(&mut self) {
        let is_due = self.faults.trouble.retry_in(now().time).is_some_and(|time| time.is_zero());
        if !is_due {
            return;
        }
        let _ = self.folder.make();
        if self.faults.trouble.is(Written::Numbers) {
            self.save();
        }
        if self.faults.trouble.is(Written::Drained) {
            self.keep_drained();
        }
        if self.faults.trouble.is(Written::LastGood) {
            self.keep_configuration();
        }
    }

    /// Whether the numbers that a configuration needs can be written down, which they are then.
    pub(super) fn reserve(&mut self, config: &Config) -> Result<(), String> {
        if self.serving.reconciler.assignments.suffice_for(&config.model) {
            return Ok(());
        }
        let mut trial = self.serving.reconciler.clone();
        trial.follow_names(&config.model);
        let known = trial.assignments.clone();
        trial.reconcile(&config.model, &self.view());
        if !trial.assignments.gives_more_than(&known) {
            return Ok(());
        }
        let numbers = Numbers {
            generation: self.serving.maps.generation,
            boot: boot_id().to_owned(),
            assignments: trial.assignments,
            ..Numbers::default()
        };
        self.write_numbers(numbers, "the numbers that the configuration needs")
    }
}

/// Replaces a file; an error says what is lost.
pub(super) fn write(path: &Path, what: &impl serde::Serialize, called: &str) -> Result<(), String> {
    saved::write(path, what).map_err(|error| {
        let why = crate::source::unreadable::why(path, &error);
        format!("cannot save {called} in {}: {why}", path.display())
    })
}
