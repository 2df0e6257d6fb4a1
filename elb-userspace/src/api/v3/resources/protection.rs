//! Modification protection: what has it is neither changed nor deleted before it is taken off.

use serde_json::{Value, json};

use super::super::refusal::Refusal;
use crate::source::store::{Body, Document};

const KEY: &str = "protection_status";
const ON: &str = "consoleProtection";
const OFF: &str = "nonProtection";

/// Whether a resource is to stay as it is.
pub(in crate::api::v3) fn is_protected(document: &Document) -> bool {
    document.text(KEY) == ON
}

/// Whether a resource may be changed by what is given: what takes its protection off may change the rest as well, and
/// what changes nothing may be asked for.
pub(super) fn may_change(old: &Document, given: &Body) -> Result<(), Refusal> {
    let is_other = |(key, value): (&String, &Value)| old.body.get(key) != Some(value);
    let takes_off = given.get(KEY) == Some(&json!(OFF));
    if !is_protected(old) || takes_off || !given.iter().any(is_other) {
        return Ok(());
    }
    Err(refusal(old))
}

/// Whether a resource may go, and whether anything that belongs to it may be added, changed or taken away.
pub(in crate::api::v3) fn may_touch(document: &Document) -> Result<(), Refusal> {
    if is_protected(document) { Err(refusal(document)) } else { Ok(()) }
}

fn refusal(document: &Document) -> Refusal {
    let (kind, id, reason) = (document.kind, document.id, document.text("protection_reason"));
    let why = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    Refusal::conflict(format!(
        "{kind} {id} has {KEY} {ON}{why}: set {KEY} to {OFF} first, or in the same request"
    ))
}
