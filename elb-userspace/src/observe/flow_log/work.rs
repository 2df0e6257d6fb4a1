//! A log that is being written, and what becomes of an event.

use std::time::Instant;

use elb_common::flow_log::{FlowEvent, Kind, known};

use super::join::Connections;
use super::line::{FlowsMissed, Words};
use super::sink::{Batch, Sink};

/// What is being written.
pub(super) struct Work {
    pub(super) sink: Sink,
    pub(super) connections: Option<Connections>,
    /// When the next line about what is lost may be written, if one may have to be.
    pub(super) report: Option<Instant>,
    /// What was lost when the last such line was written.
    pub(super) said: FlowsMissed,
}

/// Whether an event is for sFlow: a sample, or what was refused.
pub(super) const fn is_sampled(event: &FlowEvent) -> bool {
    let is_refusal = matches!(FlowEvent::kind(event.reason, event.flags), Kind::Refusal);
    event.known & known::SAMPLE != 0 || is_refusal
}

/// Adds the lines that follow from an event.
pub(super) fn note(work: &mut Work, batch: &mut Batch, words: Words<'_>, event: &FlowEvent) {
    let is_refusal = FlowEvent::kind(event.reason, event.flags) == Kind::Refusal;
    match &mut work.connections {
        Some(connections) if !is_refusal => {
            connections.note(event, |one| batch.add(&words.connection(one)));
        }
        Some(_) | None => batch.add(&words.event(event)),
    }
}
