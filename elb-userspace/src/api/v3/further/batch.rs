//! Several members of a pool at once, all or none.

use std::sync::Arc;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::call::{Call, Reply};
use super::super::refusal::Refusal;
use super::super::resources::{self, View, Work, object};
use crate::model::ResourceId;
use crate::source::store::{Body, Document, DocumentKind};

const KIND: DocumentKind = DocumentKind::Member;
/// Members of one request.
const MOST: usize = 200;

/// Members that are there already, by address and port, stay as they are.
pub(super) fn create(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let (pool, given) = begin(call, work)?;
    let mut made: Vec<(ResourceId, &str)> = Vec::new();
    for one in &given {
        match found(work, &pool, one) {
            Some(member) => made.push((member.id, "existed")),
            None => {
                let id = work.next_id()?;
                resources::create(work, KIND, one)?;
                made.push((id, "successful"));
            }
        }
    }
    let view = work.view();
    let members = made.iter().map(|(id, status)| {
        let mut member = shown(&view, *id);
        member.remove("availability_zone");
        member.insert("ret_status".to_owned(), (*status).into());
        Value::Object(member)
    });
    Ok(Reply::new(StatusCode::CREATED, "members", members.collect()))
}

pub(super) fn update(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let (pool, given) = begin(call, work)?;
    let mut changed = Vec::new();
    for mut one in given {
        let id = resources::text(&one, "id").to_owned();
        let member = of_pool(work, &pool, &id).ok_or_else(|| Refusal::not_found(KIND, &id))?;
        one.remove("id");
        resources::update(work, &member, &one)?;
        changed.push(member.id);
    }
    let view = work.view();
    let members = changed.iter().map(|id| Value::Object(shown(&view, *id)));
    Ok(Reply::new(StatusCode::OK, "members", members.collect()))
}

/// By id, or by address and port; the answer says which are there no longer.
pub(super) fn delete(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let (pool, given) = begin(call, work)?;
    let mut results = Vec::new();
    for one in &given {
        let id = resources::text(one, "id");
        if id.is_empty() && resources::text(one, "address").is_empty() {
            return Err(Refusal::invalid("members: set id, or address and port".to_owned()));
        }
        let member = if id.is_empty() { found(work, &pool, one) } else { of_pool(work, &pool, id) };
        let Some(member) = member else {
            results.push(json!({"id": id, "ret_status": "not found"}));
            continue;
        };
        resources::delete(work, &member)?;
        results.push(json!({"id": member.id.to_string(), "ret_status": "successful"}));
    }
    Ok(Reply::new(StatusCode::OK, "members", Value::Array(results)))
}

/// The pool, and what is given for each member.
fn begin(call: &Call, work: &mut Work<'_, '_>) -> Result<(Arc<Document>, Vec<Body>), Refusal> {
    let pool = work.plain_pool(call.parameter("pool_id"))?;
    work.pool = Some(pool.id);
    let given = call.objects("members");
    if !(1..=MOST).contains(&given.len()) {
        let why = format!("members has {} entries, use 1 to {MOST}", given.len());
        return Err(Refusal::invalid(why));
    }
    Ok((pool, given))
}

fn of_pool(work: &Work<'_, '_>, pool: &Document, id: &str) -> Option<Arc<Document>> {
    let member = work.get(KIND, id).ok()?;
    (member.reference("pool_id") == Some(pool.id)).then_some(member)
}

/// The member with the address and the port that are given.
fn found(work: &Work<'_, '_>, pool: &Document, given: &Body) -> Option<Arc<Document>> {
    let address: std::net::IpAddr = resources::text(given, "address").parse().ok()?;
    let port = given.get("protocol_port").and_then(Value::as_i64).unwrap_or(0);
    let members = work.referring(KIND, "pool_id", pool.id);
    members.into_iter().find(|member| {
        member.text("address") == address.to_string() && member.number("protocol_port") == port
    })
}

/// A member as these answers show it.
fn shown(view: &View<'_>, id: ResourceId) -> Body {
    let member = view.documents.get(KIND, id);
    let shown = member.map(|member| object(&resources::show(view, member)));
    let mut shown = shown.unwrap_or_default();
    shown.remove("ip_version");
    shown.insert("port_id".to_owned(), "".into());
    shown
}
