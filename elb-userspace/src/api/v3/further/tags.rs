//! Tags of load balancers and listeners.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::call::{Call, Reply};
use super::super::refusal::Refusal;
use super::super::resources::{self, View, Work};
use crate::source::store::{Document, DocumentKind};

/// Tags of a resource.
const MOST: usize = 20;

pub(super) fn of_balancers(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    Ok(list(call, view, DocumentKind::LoadBalancer))
}

pub(super) fn of_listeners(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    Ok(list(call, view, DocumentKind::Listener))
}

/// Every key that a resource of the project has, with all of its values.
fn list(call: &Call, view: &View<'_>, kind: DocumentKind) -> Reply {
    let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let own = view.documents.of(kind).filter(|one| one.project == call.caller.project);
    for (key, value) in own.flat_map(|one| &one.tags) {
        all.entry(key).or_default().insert(value);
    }
    let tags: Value =
        all.iter().map(|(key, values)| json!({"key": key, "values": values})).collect();
    Reply::new(StatusCode::OK, "tags", tags)
}

pub(super) fn show_balancer(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    let id = call.parameter("loadbalancer_id");
    let lb = view.get(&call.caller.project, DocumentKind::LoadBalancer, id)?;
    Ok(shown(&lb))
}

pub(super) fn show_listener(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    let id = call.parameter("listener_id");
    let listener = view.get(&call.caller.project, DocumentKind::Listener, id)?;
    Ok(shown(&listener))
}

fn shown(document: &Document) -> Reply {
    Reply::new(StatusCode::OK, "tags", resources::shown(&document.tags))
}

pub(super) fn change_balancer(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    change(call, work, DocumentKind::LoadBalancer, "loadbalancer_id")
}

pub(super) fn change_listener(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    change(call, work, DocumentKind::Listener, "listener_id")
}

/// Adds tags, whose values replace those of the same key, or takes tags away by their keys.
fn change(
    call: &Call,
    work: &mut Work<'_, '_>,
    kind: DocumentKind,
    id: &str,
) -> Result<Reply, Refusal> {
    let old = work.get(kind, call.parameter(id))?;
    let given = resources::tags(&call.body)?;
    let mut tags = old.tags.clone();
    if call.body.get("action").and_then(Value::as_str) == Some("delete") {
        tags.retain(|key, _| !given.contains_key(key));
    } else {
        tags.extend(given);
    }
    if tags.len() > MOST {
        let why = format!("{kind} {} would have {} tags, of at most {MOST}", old.id, tags.len());
        return Err(Refusal::quota(why));
    }
    work.tag(&old, tags);
    Ok(Reply::nothing())
}
