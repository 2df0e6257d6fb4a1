//! Since when all of a configuration is in force: first probes over, next hops known, maps written.

use super::core::Core;
use super::state::LoadedFile;
use super::state::trouble::Written;
use super::{Agent, now};
use crate::api::shape::reload::InForce;
use crate::api::shape::status::timestamp_millis;
use crate::model::time::Now;

/// What an answer waits for where the maps are not written yet.
const MAPS: &str = "the maps: they are written";

impl LoadedFile {
    /// Another text is served from now on, or the same again.
    pub(super) fn take(&mut self, text: String) {
        self.generation += u64::from(self.text != text);
        (self.text, self.published) = (text, None);
    }
}

impl Core {
    /// The maps were written: from now on all is in force, if nothing is waited for.
    pub(super) fn note_in_force(&mut self, now: Now) {
        self.note_reached();
        if self.file.published.is_none()
            && !self.is_unwritten()
            && self.in_force(now.time).waiting.is_empty()
        {
            self.file.published = Some(now.wall);
        }
    }

    pub(super) fn is_unwritten(&self) -> bool {
        let trouble = &self.faults.trouble;
        trouble.is(Written::Maps) || trouble.is(Written::Reading)
    }
}

impl Agent {
    /// How far the last reload is. A verdict that changes nothing for packets is followed by no publication, and
    /// is in force all the same.
    pub(super) fn how_far(&mut self) -> InForce {
        if self.publishing.due().is_none() {
            self.core.note_in_force(now());
        }
        let mut in_force = self.core.in_force(now().time);
        if in_force.waiting.is_empty() && self.core.file.published.is_none() {
            in_force.waiting.push(MAPS.to_owned());
        }
        let LoadedFile { generation, published, .. } = self.core.file;
        InForce { generation, published: published.map(timestamp_millis), ..in_force }
    }
}
