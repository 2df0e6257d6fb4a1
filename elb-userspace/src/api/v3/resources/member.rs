//! Members: backend servers of a pool.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::attributes::{Attributes, begin, object, references};
use super::{Quotas, ROLE, View, Work, protection};
use crate::health::{Failure, OperatingStatus};
use crate::model::ResourceId;
use crate::source::store::{Body, Document, DocumentKind};

const KIND: DocumentKind = DocumentKind::Member;
/// Members of a pool.
const MOST: usize = Quotas::MEMBERS_OF_POOL;

pub(super) fn attributes() -> Attributes {
    Attributes {
        kept: json!({
            "name": "", "address": "", "protocol_port": 0, "subnet_cidr_id": null, "weight": 1,
            "availability_zone": null, "pool_id": "",
        }),
        idle: json!({"admin_state_up": true}),
    }
}

pub(super) fn create(work: &mut Work<'_, '_>, given: &Body) -> Result<(), Refusal> {
    let mut body = attributes().accept(given)?;
    let pool = pool(work)?;
    protection::may_touch(&pool)?;
    body.insert("pool_id".to_owned(), pool.id.to_string().into());
    let others = work.referring(KIND, "pool_id", pool.id);
    if others.len() >= MOST {
        return Err(Refusal::quota(format!("pool {} has {MOST} members", pool.id)));
    }
    let text = body.get("address").and_then(Value::as_str).unwrap_or_default();
    let address: IpAddr =
        text.parse().map_err(|_| Refusal::invalid(format!("address {text:?} is no IP address")))?;
    body.insert("address".to_owned(), address.to_string().into());
    judge(&pool, &body, &others, work.id)?;
    work.make(KIND, body, std::collections::BTreeMap::new());
    Ok(())
}

pub(super) fn update(work: &mut Work<'_, '_>, old: &Document, given: &Body) -> Result<(), Refusal> {
    let pool = pool(work)?;
    let body = attributes().amend(old, given)?;
    let others = work.referring(KIND, "pool_id", pool.id);
    judge(&pool, &body, &others, old.id)?;
    work.change(old, body);
    Ok(())
}

/// A port where the pool wants one, and no other member with the same address and port.
fn judge(
    pool: &Document,
    body: &Body,
    others: &[std::sync::Arc<Document>],
    id: ResourceId,
) -> Result<(), Refusal> {
    let port = body.get("protocol_port").and_then(Value::as_i64).unwrap_or(0);
    if pool.is_set("any_port_enable") && port != 0 {
        let why = format!(
            "protocol_port is {port}, and members of a pool with any_port_enable have none"
        );
        return Err(Refusal::invalid(why));
    }
    if !pool.is_set("any_port_enable") && port == 0 {
        return Err(Refusal::invalid("protocol_port is missing, use 1 to 65535".to_owned()));
    }
    let address = body.get("address").and_then(Value::as_str).unwrap_or_default();
    let is_same = |other: &&std::sync::Arc<Document>| {
        other.id != id && other.text("address") == address && other.number("protocol_port") == port
    };
    match others.iter().find(is_same) {
        None => Ok(()),
        Some(other) => {
            let why = format!(
                "address {address} and protocol_port {port} are those of member {}",
                other.id
            );
            Err(Refusal::conflict(why))
        }
    }
}

pub(super) fn may_go(work: &mut Work<'_, '_>, _: &Document) -> Result<(), Refusal> {
    let pool = pool(work)?;
    if pool.is_set("member_deletion_protection_enable") {
        let why = format!("pool {} has member_deletion_protection_enable", pool.id);
        return Err(Refusal::conflict(why));
    }
    protection::may_touch(&pool)?;
    touch(work, &pool);
    Ok(())
}

/// The load balancers of a pool are not as they should be until the maps know.
pub(super) fn touch(work: &mut Work<'_, '_>, pool: &Document) {
    work.touch(pool.reference("loadbalancer_id"));
    for listener in work.referring(DocumentKind::Listener, "default_pool_id", pool.id) {
        work.touch(listener.reference("loadbalancer_id"));
    }
}

/// The pool in the path.
fn pool(work: &Work<'_, '_>) -> Result<std::sync::Arc<Document>, Refusal> {
    work.plain_pool(&work.pool.map(|id| id.to_string()).unwrap_or_default())
}

pub(super) fn show(view: &View<'_>, member: &Document) -> Value {
    let mut all = begin(member);
    all.remove("pool_id");
    all.remove(ROLE);
    let is_v4 = member.text("address").parse::<IpAddr>().is_ok_and(|address| address.is_ipv4());
    let has_subnet = !member.text("subnet_cidr_id").is_empty();
    let pool = member.reference("pool_id");
    let listeners = pool.map(|pool| view.listeners_of_pool(pool)).unwrap_or_default();
    let (status, reason) = health(view, member, pool, listeners.is_empty());
    let by_listener = listeners.iter().map(|listener| {
        json!({"listener_id": listener.id.to_string(), "operating_status": status, "reason": reason})
    });
    let more = json!({
        "admin_state_up": true,
        "ip_version": if is_v4 { "v4" } else { "v6" },
        "member_type": if has_subnet { "instance" } else { "ip" },
        "instance_id": null,
        "operating_status": status,
        "reason": reason,
        "status": by_listener.collect::<Value>(),
    });
    all.extend(object(&more));
    Value::Object(all)
}

pub(super) fn show_with_pool(view: &View<'_>, member: &Document) -> Value {
    let mut all = object(&show(view, member));
    let pool = member.reference("pool_id");
    let balancers = pool.map(|pool| view.balancers_of_pool(pool));
    all.insert("pool_id".to_owned(), member.text("pool_id").into());
    all.insert("loadbalancers".to_owned(), references(balancers.unwrap_or_default()));
    Value::Object(all)
}

/// Whether a member of a pool that is used failed its probes.
pub(in crate::api::v3) fn has_offline_member(view: &View<'_>, pool: &Document) -> bool {
    let is_offline = |member: &&Document| {
        view.host
            .health
            .get(member.id)
            .is_some_and(|(status, _)| status == OperatingStatus::Offline)
    };
    !view.listeners_of_pool(pool.id).is_empty()
        && view.members_of_pool(pool.id).iter().any(is_offline)
}

/// What is known of its health: nothing where no listener uses the pool, and no result yet where the agent does not
/// know it yet.
fn health(
    view: &View<'_>,
    member: &Document,
    pool: Option<ResourceId>,
    unused: bool,
) -> (String, Value) {
    if unused {
        return ("UNKNOWN".to_owned(), Value::Null);
    }
    if let Some((status, failure)) = view.host.health.get(member.id) {
        return (status.as_str().to_owned(), failure.as_ref().map_or(Value::Null, reason));
    }
    let monitor = pool.and_then(|pool| view.monitor_of_pool(pool));
    let status = if monitor.is_some_and(|monitor| monitor.is_on("admin_state_up")) {
        "INITIAL"
    } else {
        "NO_MONITOR"
    };
    (status.to_owned(), Value::Null)
}

fn reason(failure: &Failure) -> Value {
    let (expected, found) = failure.responses().unzip();
    json!({
        "reason_code": failure.code(),
        "expected_response": expected,
        "healthcheck_response": found,
    })
}
