//! The tree of statuses: only here, what has an OFFLINE member below it is DEGRADED, and what is turned off DISABLED.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::call::{Call, Reply};
use super::super::refusal::Refusal;
use super::super::resources::{self, View};
use crate::source::store::{Document, DocumentKind};

pub(super) fn show(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    let id = call.parameter("loadbalancer_id");
    let lb = view.get(&call.caller.project, DocumentKind::LoadBalancer, id)?;
    let listeners = view.listeners_of_balancer(lb.id).into_iter();
    let listeners: Vec<Branch> = listeners.map(|listener| of_listener(view, listener)).collect();
    let pools = view.pools_of_balancer(lb.id).into_iter();
    let pools: Vec<Branch> = pools.map(|pool| of_pool(view, pool)).collect();
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
    let is_degraded = |pool: &Document| resources::has_offline_member(view, pool);
    let degraded = match document.kind {
        DocumentKind::LoadBalancer => {
            view.pools_of_balancer(document.id).into_iter().any(is_degraded)
        }
        DocumentKind::Listener => {
            let pool = document.reference("default_pool_id");
            let pool = pool.and_then(|id| view.documents.get(DocumentKind::Pool, id));
            pool.is_some_and(|pool| is_degraded(pool))
        }
        DocumentKind::Pool => is_degraded(document),
        DocumentKind::Member
        | DocumentKind::HealthMonitor
        | DocumentKind::IpGroup
        | DocumentKind::SecurityPolicy
        | DocumentKind::LogTank
        | DocumentKind::Certificate
        | DocumentKind::ProjectSettings
        | DocumentKind::Job => false,
    };
    status(document, degraded)
}

/// A part of the tree, and whether a member in it is OFFLINE.
struct Branch {
    shown: Value,
    is_degraded: bool,
}

fn shown(branches: Vec<Branch>) -> Value {
    branches.into_iter().map(|branch| branch.shown).collect()
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
    for member in view.members_of_pool(pool.id) {
        let whole = resources::show(view, member);
        is_degraded |= whole["operating_status"] == "OFFLINE";
        members.push(json!({
            "id": whole["id"], "address": whole["address"],
            "protocol_port": whole["protocol_port"],
            "operating_status": whole["operating_status"],
            "provisioning_status": view.own_status(member),
        }));
    }
    let monitor = view.monitor_of_pool(pool.id).map(|monitor| {
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
