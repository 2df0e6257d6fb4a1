//! Deletions of more than one resource: with all that belongs to it, and of several at once.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::call::{Call, Reply};
use super::super::refusal::Refusal;
use super::super::resources::{self, Work};
use super::jobs;
use crate::model::ResourceId;
use crate::source::store::{Document, DocumentKind};

/// Listeners of one request.
const MOST_LISTENERS: usize = 10;

/// A load balancer with all that belongs to it.
pub(super) fn balancer(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let lb = work.get(DocumentKind::LoadBalancer, call.parameter("loadbalancer_id"))?;
    remove_balancer(work, &lb, true)?;
    Ok(Reply::nothing())
}

/// As [`balancer`]; its pools stay where that is asked for. There are no public addresses that could go, too.
pub(super) fn balancer_with(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let lb = work.get(DocumentKind::LoadBalancer, call.parameter("loadbalancer_id"))?;
    let given = call.object("loadbalancer");
    let pools = given.get("unbounded_pool").and_then(Value::as_bool).unwrap_or(true);
    remove_balancer(work, &lb, pools)?;
    Ok(Reply::nothing())
}

/// A listener; its pool stays.
pub(super) fn listener(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let listener = work.get(DocumentKind::Listener, call.parameter("listener_id"))?;
    resources::may_touch(&listener)?;
    work.touch(listener.reference("loadbalancer_id"));
    work.remove(&listener);
    Ok(Reply::nothing())
}

/// A pool with its members and its health monitor.
pub(super) fn pool(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let pool = work.plain_pool(call.parameter("pool_id"))?;
    remove_pool(work, &pool)?;
    Ok(Reply::nothing())
}

/// All of them or none; pools that are left without any stay unless they are to go, too.
pub(super) fn balancers(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let pools = call.body.get("unbounded_pool").and_then(Value::as_bool).unwrap_or(false);
    let kind = DocumentKind::LoadBalancer;
    let ids =
        each(call, work, kind, "loadbalancer_ids", |work, lb| remove_balancer(work, lb, pools))?;
    let job = jobs::done(work, "batchDeleteLoadbalancer", None, (kind, &ids))?;
    Ok(jobs::reply(job, "loadbalancer_ids", written(&ids)))
}

/// All of them or none, each as if it was deleted alone.
pub(super) fn listeners(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let count = call.texts("listener_ids").len();
    if count > MOST_LISTENERS {
        let why = format!("listener_ids has {count} entries, of at most {MOST_LISTENERS}");
        return Err(Refusal::invalid(why));
    }
    let kind = DocumentKind::Listener;
    let ids = each(call, work, kind, "listener_ids", |work, one| resources::delete(work, one))?;
    let job = jobs::done(work, "batchDeleteListener", None, (kind, &ids))?;
    Ok(jobs::reply(job, "listener_ids", written(&ids)))
}

/// Each as if it was deleted alone; the answer says what became of each.
pub(super) fn pools(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    one_by_one(call, work, "pools", |work, id| {
        let pool = work.plain_pool(id)?;
        resources::delete(work, &pool)
    })
}

/// Each as if it was deleted alone; the answer says what became of each.
pub(super) fn certificates(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    one_by_one(call, work, "certificates", |work, id| {
        let certificate = work.get(DocumentKind::Certificate, id)?;
        resources::delete(work, &certificate)
    })
}

/// Removes each resource of a list that can be removed.
fn one_by_one<'t>(
    call: &Call,
    work: &mut Work<'_, 't>,
    key: &str,
    remove: impl Fn(&mut Work<'_, 't>, &str) -> Result<(), Refusal>,
) -> Result<Reply, Refusal> {
    let mut results = Vec::new();
    for id in call.texts(key) {
        results.push(match remove(work, id) {
            Ok(()) => json!({"id": id, "ret_status": "successful"}),
            Err(why) if why.status == StatusCode::NOT_FOUND => {
                json!({"id": id, "ret_status": "not found", "ret_code": why.code})
            }
            Err(why) => json!({"id": id, "ret_status": "failed", "ret_code": why.code}),
        });
    }
    Ok(Reply::new(StatusCode::OK, key, Value::Array(results)))
}

/// Does something to each resource of a list: their ids.
fn each<'t>(
    call: &Call,
    work: &mut Work<'_, 't>,
    kind: DocumentKind,
    key: &str,
    deed: impl Fn(&mut Work<'_, 't>, &Document) -> Result<(), Refusal>,
) -> Result<Vec<ResourceId>, Refusal> {
    let mut ids = Vec::new();
    for text in call.texts(key) {
        let document = work.get(kind, text)?;
        deed(work, &document)?;
        ids.push(document.id);
    }
    if ids.is_empty() {
        return Err(Refusal::invalid(format!("{key} is empty")));
    }
    Ok(ids)
}

fn written(ids: &[ResourceId]) -> Value {
    ids.iter().map(ToString::to_string).collect()
}

/// Takes a load balancer away with its listeners; of its pools, those that others use stay.
fn remove_balancer(
    work: &mut Work<'_, '_>,
    lb: &Document,
    with_pools: bool,
) -> Result<(), Refusal> {
    let mut pools = work.referring(DocumentKind::Pool, "loadbalancer_id", lb.id);
    for listener in work.referring(DocumentKind::Listener, "loadbalancer_id", lb.id) {
        resources::may_touch(&listener)?;
        let pool = listener.reference("default_pool_id");
        let pool = pool.and_then(|id| work.documents().get(DocumentKind::Pool, id).cloned());
        pools.extend(pool);
        work.remove(&listener);
    }
    pools.sort_by_key(|pool| pool.id);
    pools.dedup_by_key(|pool| pool.id);
    for pool in pools {
        let is_shared =
            !work.referring(DocumentKind::Listener, "default_pool_id", pool.id).is_empty();
        if with_pools && !is_shared {
            remove_pool(work, &pool)?;
        } else if pool.reference("loadbalancer_id") == Some(lb.id) {
            work.set(&pool, "loadbalancer_id", Value::Null);
        }
    }
    resources::delete(work, lb)
}

/// Takes a pool away with its members and its health monitor; listeners let go of it.
pub(super) fn remove_pool(work: &mut Work<'_, '_>, pool: &Document) -> Result<(), Refusal> {
    if pool.is_set("member_deletion_protection_enable") {
        let why = format!("pool {} has member_deletion_protection_enable", pool.id);
        return Err(Refusal::conflict(why));
    }
    for listener in work.referring(DocumentKind::Listener, "default_pool_id", pool.id) {
        work.touch(listener.reference("loadbalancer_id"));
    }
    let members: Vec<Arc<Document>> = work.referring(DocumentKind::Member, "pool_id", pool.id);
    members.iter().for_each(|member| work.remove(member));
    resources::delete(work, pool)
}
