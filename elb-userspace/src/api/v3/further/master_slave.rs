//! Pools of a master and a slave: the slave takes new connections only while the master is not healthy. They are made
//! and deleted as a whole.

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::super::call::{Call, Reply};
use super::super::list;
use super::super::refusal::Refusal;
use super::super::resources::{self, MASTER_SLAVE, ROLE, View, Work, object};
use super::removal;
use crate::source::store::{Body, Document, DocumentKind};

const KIND: DocumentKind = DocumentKind::Pool;

pub(super) fn create(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let mut given = call.object("pool");
    let members = given.remove("members");
    let members: Vec<Body> =
        members.as_ref().and_then(Value::as_array).into_iter().flatten().map(object).collect();
    let mut roles: Vec<&str> = members.iter().map(|one| resources::text(one, ROLE)).collect();
    roles.sort_unstable();
    if roles != ["master", "slave"] {
        let why =
            format!("members have the roles {}, use one master and one slave", roles.join(", "));
        return Err(Refusal::invalid(why));
    }
    let mut monitor = given.remove("healthmonitor").as_ref().map(object).unwrap_or_default();
    let id = work.next_id()?;
    resources::create(work, KIND, &given)?;
    work.pool = Some(id);
    for mut member in members {
        let role = member.remove(ROLE).unwrap_or_default();
        let id = work.next_id()?;
        resources::create(work, DocumentKind::Member, &member)?;
        let made = work.get(DocumentKind::Member, &id.to_string())?;
        work.set(&made, ROLE, role);
    }
    monitor.insert("pool_id".to_owned(), id.to_string().into());
    work.next_id()?;
    resources::create(work, DocumentKind::HealthMonitor, &monitor)?;
    // From now on, its parts cannot be changed by themselves.
    let pool = work.get(KIND, &id.to_string())?;
    work.set(&pool, MASTER_SLAVE, true.into());
    let pool = work.get(KIND, &id.to_string())?;
    let shown = shown(&work.view(), &pool);
    Ok(Reply::new(StatusCode::CREATED, "pool", Value::Object(shown)))
}

pub(super) fn delete(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let id = call.parameter("pool_id");
    let pool = work.get(KIND, id)?;
    if !pool.is_set(MASTER_SLAVE) {
        return Err(Refusal::not_found(KIND, id));
    }
    removal::remove_pool(work, &pool)?;
    Ok(Reply::nothing())
}

pub(super) fn show(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    let id = call.parameter("pool_id");
    let pool = view.get(&call.caller.project, KIND, id)?;
    if !pool.is_set(MASTER_SLAVE) {
        return Err(Refusal::not_found(KIND, id));
    }
    Ok(Reply::new(StatusCode::OK, "pool", Value::Object(shown(view, &pool))))
}

pub(super) fn list(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    let own = view
        .documents
        .of(KIND)
        .filter(|pool| pool.project == call.caller.project && pool.is_set(MASTER_SLAVE));
    let show = |pool: &Document| {
        let mut item = shown(view, pool);
        item.insert(list::HIDDEN.to_owned(), resources::hidden(view, pool));
        Value::Object(item)
    };
    let items = own.map(|pool| list::Item::new(pool.id, || show(pool)));
    list::reply("pools", items, &call.query)
}

fn shown(view: &View<'_>, pool: &Document) -> Map<String, Value> {
    let mut all = object(&resources::show(view, pool));
    let monitor = view.monitor_of_pool(pool.id);
    let members = view.members_of_pool(pool.id).into_iter();
    let members: Value = members.map(|one| member(view, one)).collect();
    for key in [
        "admin_state_up",
        "healthmonitor_id",
        "member_deletion_protection_enable",
        "pool_health",
        "protection_status",
        "protection_reason",
        "slow_start",
    ] {
        all.remove(key);
    }
    all.insert("members".to_owned(), members);
    all.insert(
        "healthmonitor".to_owned(),
        monitor.map_or(Value::Null, |one| health_monitor(view, one)),
    );
    all
}

fn member(view: &View<'_>, member: &Document) -> Value {
    let mut all = object(&resources::show(view, member));
    for key in ["project_id", "weight", "availability_zone", "created_at", "updated_at"] {
        all.remove(key);
    }
    for listener in all.get_mut("status").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(listener) = listener.as_object_mut() {
            listener.remove("reason");
        }
    }
    let more =
        json!({"role": member.text(ROLE), "device_owner": "", "device_id": "", "instance_id": ""});
    all.extend(object(&more));
    Value::Object(all)
}

fn health_monitor(view: &View<'_>, monitor: &Document) -> Value {
    let mut all = object(&resources::show(view, monitor));
    for key in ["pools", "project_id", "created_at", "updated_at"] {
        all.remove(key);
    }
    Value::Object(all)
}
