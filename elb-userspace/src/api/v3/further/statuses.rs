//! The tree of statuses: only here, what has an OFFLINE member below it is DEGRADED, and what is turned off DISABLED.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::call::{Call, Reply};
use super::super::refusal::Refusal;
use super::super::resources::{self, View};
use crate::model::ResourceId;
use crate::source::store::{Document, DocumentKind};

pub(super) fn show(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    let id = call.parameter("loadbalancer_id");
    let lb = view.get(&call.caller.project, DocumentKind::LoadBalancer, id)?;
    let listeners: Vec<Branch> =
        all(view, DocumentKind::Listener, &view.listeners_of_balancer, &lb)
            .map(|listener| of_listener(view, listener))
            .collect();
    let pools: Vec<Branch> = all(view, DocumentKind::Pool, &view.pools_of_balancer, &lb)
        .map(|pool| of_pool(view, pool))
        .collect();
    let is_degraded = pools.iter().any(|pool| pool.is_degraded);
    let tree = json!({
        "id": lb.id.to_string(), "name": lb.text("name"),
        "provisioning_status": view.provisioning_status(&lb),
        "operating_status": status(&lb, is_degraded),
        "listeners": shown(listeners), "pools": shown(pools),
    });
    Ok(Reply::new(StatusCode::OK, "statuses", json!({"loadbalancer": tree})))
}

/// How a resource is that has others below it; others are ONLINE unless they are switched off.
pub(in crate::api::v3) fn operating_status(view: &View<'_>, document: &Document) -> &'static str {
    let mut is_degraded = false;
    let pools = match document.kind {
        DocumentKind::LoadBalancer => View::related(&view.pools_of_balancer, document.id),
        DocumentKind::Listener => document.reference("default_pool_id").into_iter().collect(),
        DocumentKind::Pool => vec![document.id],
        DocumentKind::Member
        | DocumentKind::HealthMonitor
        | DocumentKind::IpGroup
        | DocumentKind::SecurityPolicy
        | DocumentKind::LogTank
        | DocumentKind::Job => Vec::new(),
    };
    for pool in pools.into_iter().filter_map(|id| view.documents.get(DocumentKind::Pool, id)) {
        is_degraded |= of_pool(view, pool).is_degraded;
    }
    status(document, is_degraded)
}

/// A part of the tree, and whether a member in it is OFFLINE.
struct Branch {
    shown: Value,
    is_degraded: bool,
}

fn shown(branches: Vec<Branch>) -> Value {
    branches.into_iter().map(|branch| branch.shown).collect()
}

/// Documents that a relation has of another one.
fn all<'v>(
    view: &'v View<'_>,
    kind: DocumentKind,
    relation: &std::collections::BTreeMap<ResourceId, std::collections::BTreeSet<ResourceId>>,
    of: &Document,
) -> impl Iterator<Item = &'v Document> {
    let ids = View::related(relation, of.id).into_iter();
    ids.filter_map(move |id| view.documents.get(kind, id)).map(AsRef::as_ref)
}

fn status(document: &Document, is_degraded: bool) -> &'static str {
    match (document.is_on("admin_state_up"), is_degraded) {
        (false, _) => "DISABLED",
        (true, true) => "DEGRADED",
        (true, false) => "ONLINE",
    }
}

fn of_listener(view: &View<'_>, listener: &Document) -> Branch {
    let pool = listener.reference("default_pool_id");
    let pool = pool.and_then(|id| view.documents.get(DocumentKind::Pool, id));
    let pools: Vec<Branch> = pool.into_iter().map(|pool| of_pool(view, pool)).collect();
    let is_degraded = pools.iter().any(|pool| pool.is_degraded);
    let shown = json!({
        "id": listener.id.to_string(), "name": listener.text("name"),
        "provisioning_status": view.own_status(listener),
        "operating_status": status(listener, is_degraded),
        "pools": shown(pools), "l7policies": [],
    });
    Branch { shown, is_degraded }
}

fn of_pool(view: &View<'_>, pool: &Document) -> Branch {
    let mut is_degraded = false;
    let mut members = Vec::new();
    for member in all(view, DocumentKind::Member, &view.members_of_pool, pool) {
        let whole = resources::show(view, member);
        is_degraded |= whole["operating_status"] == "OFFLINE";
        members.push(json!({
            "id": whole["id"], "address": whole["address"],
            "protocol_port": whole["protocol_port"],
            "operating_status": whole["operating_status"],
            "provisioning_status": view.own_status(member),
        }));
    }
    let mut monitors = all(view, DocumentKind::HealthMonitor, &view.monitors_of_pool, pool);
    let monitor = monitors.next().map(|monitor| {
        json!({
            "id": monitor.id.to_string(), "name": monitor.text("name"),
            "type": monitor.text("type"), "provisioning_status": view.own_status(monitor),
        })
    });
    let shown = json!({
        "id": pool.id.to_string(), "name": pool.text("name"),
        "provisioning_status": view.own_status(pool),
        "operating_status": status(pool, is_degraded),
        "members": members, "healthmonitor": monitor,
    });
    Branch { shown, is_degraded }
}
