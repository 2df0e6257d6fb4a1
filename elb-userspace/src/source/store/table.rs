//! A resource of a store as a table of the configuration file.

use serde_json::Value;
use toml::{Table, Value as Toml};

use super::ingredients::{Ingredients, Referred};
use super::{Document, DocumentKind, Flavor};
use crate::source::api::ApiSettings;

/// The TOML of a load balancer, a pool or an IP group.
pub(super) fn text(made_of: &Ingredients, settings: &ApiSettings) -> String {
    let mut all = made_of.documents.iter().map(|one| &**one).zip(&made_of.names);
    let Some((one, names)) = all.next() else { return String::new() };
    let (key, table) = if one.kind == DocumentKind::LoadBalancer {
        ("load_balancer", load_balancer((one, names), all, settings))
    } else if one.kind == DocumentKind::Pool {
        ("pool", pool((one, names), all.map(|(part, _)| part), settings))
    } else {
        ("ipgroup", ip_group((one, names)))
    };
    let mut file = Table::new();
    set(&mut file, key, Toml::Array(vec![Toml::Table(table)]));
    toml::to_string(&file).unwrap_or_default()
}

/// A document, and what it and those that it refers to are called.
type Named<'a> = (&'a Document, &'a Referred);

fn named((document, names): Named<'_>) -> Table {
    let mut table = Table::new();
    set(&mut table, "name", names.own.as_str());
    set(&mut table, "id", document.id.to_string());
    table
}

fn load_balancer<'a>(
    (lb, names): Named<'_>,
    listeners: impl Iterator<Item = Named<'a>>,
    settings: &ApiSettings,
) -> Table {
    let mut table = named((lb, names));
    set(&mut table, "admin_state_up", lb.is_on("admin_state_up"));
    for key in ["vip_address", "ipv6_vip_address"] {
        copy(&mut table, lb, key);
    }
    set(&mut table, "announce", settings.announce.as_str());
    let listeners = listeners.map(|one| Toml::Table(listener(lb, one))).collect();
    set(&mut table, "listener", Toml::Array(listeners));
    table
}

/// A listener that has a pool.
fn listener(lb: &Document, (listener, names): Named<'_>) -> Table {
    let (cps, connection) = Flavor::limits(lb, listener, names.is_tracked);
    let mut table = named((listener, names));
    set(&mut table, "default_pool", names.pool.as_str());
    for key in ["protocol", "admin_state_up", "keepalive_timeout"] {
        copy(&mut table, listener, key);
    }
    set(&mut table, "cps", cps);
    set(&mut table, "max_connection", connection);
    let ranges = listener.body.get("port_ranges").and_then(toml_of);
    match ranges.filter(|ranges| ranges.as_array().is_some_and(|all| !all.is_empty())) {
        Some(ranges) => set(&mut table, "port_ranges", ranges),
        None => copy(&mut table, listener, "protocol_port"),
    }
    if let Some(group) = access((listener, names)) {
        set(&mut table, "ipgroup", group);
    }
    table
}

/// Whom a listener lets in; none: everyone.
fn access((listener, names): Named<'_>) -> Option<Table> {
    let access = listener.body.get("ipgroup").filter(|access| !access.is_null())?;
    let mut table = Table::new();
    set(&mut table, "ipgroup", names.ip_group.as_str());
    for key in ["type", "enable_ipgroup"] {
        table.extend(access.get(key).and_then(toml_of).map(|value| (key.to_owned(), value)));
    }
    Some(table)
}

/// A pool with its health monitor and its members.
fn pool<'a>(
    (pool, names): Named<'_>,
    parts: impl Iterator<Item = &'a Document>,
    settings: &ApiSettings,
) -> Table {
    let mut table = named((pool, names));
    set(&mut table, "forwarding", settings.forwarding.as_str());
    let keys = ["protocol", "lb_algorithm", "any_port_enable", "pool_health"];
    for key in keys.into_iter().chain(["connection_drain", "quic_cid_hash_strategy"]) {
        copy(&mut table, pool, key);
    }
    if let Some(minutes) = minutes_of_persistence(pool) {
        let mut persistence = Table::new();
        set(&mut persistence, "timeout", minutes * 60);
        set(&mut table, "session_persistence", persistence);
    }
    let (members, monitors): (Vec<_>, Vec<_>) =
        parts.partition(|one| one.kind == DocumentKind::Member);
    for monitor in monitors {
        set(&mut table, "healthmonitor", health_monitor(monitor));
    }
    let is_up = pool.is_on("admin_state_up");
    let members = members.into_iter().map(|one| Toml::Table(member(one, is_up))).collect();
    set(&mut table, "member", Toml::Array(members));
    table
}

fn ip_group((group, names): Named<'_>) -> Table {
    let mut table = named((group, names));
    copy(&mut table, group, "ip_list");
    table.entry("ip_list".to_owned()).or_insert_with(|| Toml::Array(Vec::new()));
    table
}

/// For how many minutes a pool remembers its clients, if it does.
fn minutes_of_persistence(pool: &Document) -> Option<i64> {
    pool.body.get("session_persistence")?.get("persistence_timeout")?.as_i64()
}

/// A member. Its name is a label of the API alone: there, two of a pool may have the same.
fn member(member: &Document, is_up: bool) -> Table {
    let mut table = Table::new();
    set(&mut table, "id", member.id.to_string());
    for key in ["address", "weight"] {
        copy(&mut table, member, key);
    }
    if member.number("protocol_port") > 0 {
        copy(&mut table, member, "protocol_port");
    }
    if !is_up {
        set(&mut table, "weight", 0);
    }
    if member.text("role") == "slave" {
        set(&mut table, "backup", true);
    }
    table
}

/// A health monitor: of its attributes, those that its type has.
fn health_monitor(monitor: &Document) -> Table {
    let mut table = Table::new();
    set(&mut table, "id", monitor.id.to_string());
    let always = ["type", "admin_state_up", "delay", "timeout", "max_retries", "max_retries_down"];
    let of_type: &[&str] = match monitor.text("type") {
        "HTTP" | "HTTPS" | "GRPC" => &["http_method", "url_path", "domain_name", "expected_codes"],
        "TLS" => &["domain_name"],
        _ => &[],
    };
    for key in always.iter().chain(of_type).chain(&["monitor_port"]) {
        copy(&mut table, monitor, key);
    }
    table
}

fn set(table: &mut Table, key: &str, value: impl Into<Toml>) {
    table.insert(key.to_owned(), value.into());
}

/// Copies an attribute that has a value.
fn copy(table: &mut Table, document: &Document, key: &str) {
    if let Some(value) = document.body.get(key).and_then(toml_of) {
        set(table, key, value);
    }
}

/// TOML has no null: what has none is left out.
fn toml_of(value: &Value) -> Option<Toml> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => Toml::Boolean(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Toml::Integer(whole),
            None => Toml::Float(number.as_f64()?),
        },
        Value::String(text) => Toml::String(text.clone()),
        Value::Array(all) => Toml::Array(all.iter().filter_map(toml_of).collect()),
        Value::Object(all) => {
            let one = |(key, value): (&String, &Value)| Some((key.clone(), toml_of(value)?));
            Toml::Table(all.iter().filter_map(one).collect())
        }
    })
}
