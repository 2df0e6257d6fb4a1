//! Health monitors: how the members of a pool are probed.

use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::attributes::{Attributes, begin, object, text};
use super::{Work, member, protection};
use crate::source::store::{Body, Document, DocumentKind};

const KIND: DocumentKind = DocumentKind::HealthMonitor;

pub(super) fn attributes() -> Attributes {
    Attributes {
        kept: json!({
            "name": "", "pool_id": "", "type": "", "delay": 0, "timeout": 0, "max_retries": 0,
            "max_retries_down": 3, "monitor_port": null, "admin_state_up": true, "url_path": "/",
            "http_method": "GET", "domain_name": null, "expected_codes": "200",
        }),
        idle: json!({}),
    }
}

pub(super) fn create(work: &mut Work<'_, '_>, given: &Body) -> Result<(), Refusal> {
    let given = with_own_defaults(given);
    let mut body = attributes().accept(&given)?;
    let pool = work.get(DocumentKind::Pool, text(&body, "pool_id"))?;
    body.insert("pool_id".to_owned(), pool.id.to_string().into());
    protection::may_touch(&pool)?;
    if let Some(other) = work.referring(KIND, "pool_id", pool.id).first() {
        let why = format!("pool {} has the healthmonitor {}", pool.id, other.id);
        return Err(Refusal::conflict(why));
    }
    judge(&mut body, &pool)?;
    work.make(KIND, body, std::collections::BTreeMap::new());
    Ok(())
}

pub(super) fn update(work: &mut Work<'_, '_>, old: &Document, given: &Body) -> Result<(), Refusal> {
    let pool = work.get(DocumentKind::Pool, old.text("pool_id"))?;
    let mut body = attributes().amend(old, given)?;
    protection::may_touch(&pool)?;
    judge(&mut body, &pool)?;
    work.change(old, body);
    Ok(())
}

/// A check of gRPC is a POST, asks for the health of the server, and wants the status 0.
fn with_own_defaults(given: &Body) -> Body {
    let is_grpc = given.get("type").and_then(Value::as_str) == Some("GRPC");
    let mut all = Body::new();
    if is_grpc {
        let path = crate::model::monitor::UrlPath::GRPC_HEALTH;
        all.extend(object(
            &json!({"http_method": "POST", "url_path": path, "expected_codes": "0"}),
        ));
    }
    all.extend(given.clone().into_iter().filter(|(_, value)| !value.is_null()));
    all
}

/// The type is one of the pool's protocol. An empty host stands for the virtual address.
fn judge(body: &mut Body, pool: &Document) -> Result<(), Refusal> {
    if text(body, "domain_name").is_empty() {
        body.insert("domain_name".to_owned(), Value::Null);
    }
    let (of, protocol) = (text(body, "type"), pool.text("protocol"));
    let allowed: &[&str] = match protocol {
        "UDP" => &["UDP_CONNECT"],
        _ => &["TCP", "HTTP", "HTTPS", "TLS", "GRPC"],
    };
    if !allowed.contains(&of) {
        let allowed = allowed.join(", ");
        let why = format!("type {of} cannot probe a pool of protocol {protocol}, use {allowed}");
        return Err(Refusal::invalid(why));
    }
    if pool.is_set("any_port_enable") && body.get("monitor_port").is_none_or(Value::is_null) {
        let why = "monitor_port is missing: members of a pool with any_port_enable have no port";
        return Err(Refusal::invalid(why.to_owned()));
    }
    Ok(())
}

pub(super) fn may_go(work: &mut Work<'_, '_>, old: &Document) -> Result<(), Refusal> {
    let pool = work.get(DocumentKind::Pool, old.text("pool_id"))?;
    protection::may_touch(&pool)?;
    member::touch(work, &pool);
    Ok(())
}

pub(super) fn show(monitor: &Document) -> Value {
    let mut all = begin(monitor);
    all.remove("pool_id");
    all.insert("pools".to_owned(), json!([{"id": monitor.text("pool_id")}]));
    Value::Object(all)
}
