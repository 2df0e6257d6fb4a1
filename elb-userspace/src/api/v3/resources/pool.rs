//! Pools: the members that serve listeners, and how a connection gets one of them.

use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::attributes::{Attributes, begin, object, references, text};
use super::{MASTER_SLAVE, View, Work, protection};
use crate::source::store::{Body, Document, DocumentKind};

const KIND: DocumentKind = DocumentKind::Pool;

pub(super) fn attributes() -> Attributes {
    Attributes {
        kept: json!({
            "name": "", "description": "", "protocol": "", "lb_algorithm": "", "admin_state_up": true,
            "loadbalancer_id": null, "type": "", "vpc_id": "", "any_port_enable": false,
            "member_deletion_protection_enable": false, "connection_drain": null, "pool_health": null,
            "quic_cid_hash_strategy": null, "session_persistence": null, "enterprise_project_id": "0",
            "protection_status": "nonProtection", "protection_reason": "",
        }),
        idle: json!({"ip_version": "dualstack", "public_border_group": "center"}),
    }
}

pub(super) fn create(work: &mut Work<'_, '_>, given: &Body) -> Result<(), Refusal> {
    let mut given = given.clone();
    // Where it is served is kept by the listener.
    let listener = work.referred(DocumentKind::Listener, &given, "listener_id")?;
    given.remove("listener_id");
    let mut body = attributes().accept(&given)?;
    let balancer = work.referred(DocumentKind::LoadBalancer, &body, "loadbalancer_id")?;
    let has_type = !text(&body, "type").is_empty();
    if listener.is_none() && balancer.is_none() && !has_type {
        return Err(Refusal::invalid("set listener_id, loadbalancer_id or type".to_owned()));
    }
    if text(&body, "type") == "instance" && text(&body, "vpc_id").is_empty() {
        return Err(Refusal::invalid("type instance needs vpc_id".to_owned()));
    }
    judge(&mut body)?;
    if let Some(listener) = &listener {
        protection::may_touch(listener)?;
        if let Some(pool) = listener.reference("default_pool_id") {
            let why = format!("listener {} has the default pool {pool}", listener.id);
            return Err(Refusal::conflict(why));
        }
        let theirs = listener.text("loadbalancer_id");
        if let Some(other) = balancer.filter(|one| one.id.to_string() != theirs) {
            let why =
                format!("listener {} is of another loadbalancer than {}", listener.id, other.id);
            return Err(Refusal::invalid(why));
        }
        body.insert("loadbalancer_id".to_owned(), theirs.into());
        serves(&body, text(&body, "protocol"), &listener.body)?;
    }
    work.make(KIND, body, std::collections::BTreeMap::new());
    if let Some(listener) = listener {
        let id = work.id.to_string();
        work.set(&listener, "default_pool_id", id.into());
    }
    Ok(())
}

pub(super) fn update(work: &mut Work<'_, '_>, old: &Document, given: &Body) -> Result<(), Refusal> {
    for key in ["type", "vpc_id"] {
        let (before, now) = (old.text(key), given.get(key).and_then(Value::as_str));
        if now.is_some_and(|now| now != before) && !before.is_empty() {
            return Err(Refusal::invalid(format!("{key} is {before:?}, and cannot be changed")));
        }
    }
    let mut body = attributes().amend(old, given)?;
    protection::may_change(old, given)?;
    judge(&mut body)?;
    work.change(old, body);
    Ok(())
}

/// The algorithm, and what else the packet path has rules for.
fn judge(body: &mut Body) -> Result<(), Refusal> {
    let (protocol, algorithm) = (text(body, "protocol"), text(body, "lb_algorithm"));
    if !["TCP", "UDP"].contains(&protocol) {
        let why = format!("protocol {protocol}: this host serves pools of TCP and UDP");
        return Err(Refusal::not_supported(why));
    }
    if algorithm == "QUIC_CID" && protocol != "UDP" {
        return Err(Refusal::invalid("lb_algorithm QUIC_CID is for protocol UDP".to_owned()));
    }
    let drain = body.get("connection_drain").filter(|drain| !drain.is_null());
    if let Some(drain) = drain {
        let is_on = drain.get("enable").and_then(Value::as_bool).unwrap_or(false);
        let timeout = drain.get("timeout").and_then(Value::as_i64);
        if is_on && !timeout.is_some_and(|timeout| (10..=4000).contains(&timeout)) {
            let why =
                "connection_drain.timeout must be 10 to 4000 where connection_drain is enabled";
            return Err(Refusal::invalid(why.to_owned()));
        }
        if !is_on {
            // A timeout of what is off says nothing.
            body.insert("connection_drain".to_owned(), json!({"enable": false}));
        }
    }
    persistence(body)?;
    let (offset, len) = (1, 3);
    if text(body, "lb_algorithm") == "QUIC_CID" {
        let mut strategy = object(&json!({"offset": offset, "len": len}));
        let given = body.get("quic_cid_hash_strategy").map(object).unwrap_or_default();
        strategy.extend(given.into_iter().filter(|(_, value)| !value.is_null()));
        body.insert("quic_cid_hash_strategy".to_owned(), Value::Object(strategy));
    }
    Ok(())
}

/// For how many minutes clients are remembered: 1 if it is not given. An object with nothing in it takes it away,
/// as null does.
fn persistence(body: &mut Body) -> Result<(), Refusal> {
    const KEY: &str = "session_persistence";
    let algorithm = text(body, "lb_algorithm");
    let Some(given) = body.get(KEY).and_then(Value::as_object) else { return Ok(()) };
    let said = |key: &str| given.get(key).filter(|value| !value.is_null());
    if given.values().all(Value::is_null) {
        body.insert(KEY.to_owned(), Value::Null);
        return Ok(());
    }
    // Pools of TCP and UDP know no other.
    let kind = said("type").and_then(Value::as_str).unwrap_or("SOURCE_IP");
    if kind != "SOURCE_IP" {
        let why = format!(
            "session_persistence.type {kind}: this host serves pools of TCP and UDP, which have SOURCE_IP"
        );
        return Err(Refusal::not_supported(why));
    }
    if said("cookie_name").is_some_and(|name| name != "") {
        let why = "session_persistence.cookie_name is for the type APP_COOKIE";
        return Err(Refusal::invalid(why.to_owned()));
    }
    let minutes = said("persistence_timeout").map_or(Some(1), Value::as_i64);
    let Some(minutes) = minutes.filter(|minutes| (1..=60).contains(minutes)) else {
        let why = "session_persistence.persistence_timeout must be 1 to 60 minutes";
        return Err(Refusal::invalid(why.to_owned()));
    };
    if !["ROUND_ROBIN", "LEAST_CONNECTIONS"].contains(&algorithm) {
        let why = format!(
            "session_persistence is for lb_algorithm ROUND_ROBIN and LEAST_CONNECTIONS, not {algorithm}"
        );
        return Err(Refusal::invalid(why));
    }
    let whole = json!({"type": kind, "persistence_timeout": minutes, "cookie_name": ""});
    body.insert(KEY.to_owned(), whole);
    Ok(())
}

/// Whether a pool may be the default pool of a listener.
pub(super) fn may_serve(pool: &Document, listener: &Body) -> Result<(), Refusal> {
    let balancer = pool.text("loadbalancer_id");
    if !balancer.is_empty() && balancer != text(listener, "loadbalancer_id") {
        let why = format!("pool {} is of loadbalancer {balancer}, not of the listener's", pool.id);
        return Err(Refusal::conflict(why));
    }
    serves(&pool.body, pool.text("protocol"), listener)
}

fn serves(_: &Body, protocol: &str, listener: &Body) -> Result<(), Refusal> {
    let theirs = text(listener, "protocol");
    if protocol == theirs {
        return Ok(());
    }
    let why = format!("a pool of protocol {protocol} cannot serve a listener of protocol {theirs}");
    Err(Refusal::invalid(why))
}

/// Members go before it does; listeners and its monitor let go of it.
pub(super) fn leave(work: &mut Work<'_, '_>, old: &Document) -> Result<(), Refusal> {
    protection::may_touch(old)?;
    if let Some(member) = work.referring(DocumentKind::Member, "pool_id", old.id).first() {
        let why = format!("member {} is in this pool: delete it first", member.id);
        return Err(Refusal::conflict(why));
    }
    for listener in work.referring(DocumentKind::Listener, "default_pool_id", old.id) {
        protection::may_touch(&listener)?;
        work.set(&listener, "default_pool_id", Value::Null);
    }
    for monitor in work.referring(DocumentKind::HealthMonitor, "pool_id", old.id) {
        work.remove(&monitor);
    }
    work.touch(old.reference("loadbalancer_id"));
    Ok(())
}

pub(super) fn show(view: &View<'_>, pool: &Document) -> Value {
    let mut all = begin(pool);
    all.remove("loadbalancer_id");
    all.remove(MASTER_SLAVE);
    let monitor = view.monitor_of_pool(pool.id).map(|monitor| monitor.id.to_string());
    let more = json!({
        "healthmonitor_id": monitor.unwrap_or_default(),
        "listeners": references(view.listeners_of_pool(pool.id)),
        "loadbalancers": references(view.balancers_of_pool(pool.id)),
        "members": references(view.members_of_pool(pool.id)),
        "slow_start": {"enable": false, "duration": 30},
        "ip_version": "dualstack",
        "public_border_group": "center",
    });
    all.extend(object(&more));
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pools here are of TCP and UDP: slow start is for HTTP and HTTPS.
    #[test]
    fn slow_start_is_refused() {
        let accepts = |slow_start: Value| {
            let given = json!({"protocol": "TCP", "name": "web", "slow_start": slow_start});
            attributes().accept(&object(&given)).map(drop).map_err(|refusal| format!("{refusal:?}"))
        };
        let refused = accepts(json!({"enable": true, "duration": 30})).unwrap_err();
        assert!(refused.contains("does not support slow_start"), "{refused}");
        assert_eq!(accepts(json!({"enable": false, "duration": 30})), Ok(()));
    }
}
