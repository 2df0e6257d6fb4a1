//! What happened is counted, sent to webhooks, logged and remembered.

use super::core::Core;
use crate::api::shape::events::AgentEvent;
use crate::model::time::Time;

impl Core {
    /// Something happened to a member or to a listener.
    pub(super) fn happened(&mut self, event: AgentEvent, now: Time) {
        self.metering.happened(event.kind());
        self.journal.webhooks.happened(&event);
        self.journal.events.happened(event, now);
    }
}
