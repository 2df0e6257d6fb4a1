//! Resources as version 2 shows them. A reply has the attributes of both dialects.

use serde_json::{Map, Value, json};

use super::dialect::Dialect;
use super::tags;
use crate::source::store::{Body, DocumentKind};

/// A resource that V3 shows, in a dialect of version 2.
pub(super) fn shown(kind: DocumentKind, dialect: Dialect, v3: &Body) -> Body {
    let own = match kind {
        DocumentKind::LoadBalancer => load_balancer(v3),
        DocumentKind::Listener => listener(v3),
        DocumentKind::Pool => pool(dialect, v3),
        DocumentKind::Member => member(v3),
        DocumentKind::HealthMonitor => health_monitor(dialect, v3),
        DocumentKind::IpGroup
        | DocumentKind::SecurityPolicy
        | DocumentKind::LogTank
        | DocumentKind::Certificate
        | DocumentKind::ProjectSettings
        | DocumentKind::Job => Value::Null,
    };
    let drained = kind == DocumentKind::Member && v3.get("weight") == Some(&json!(0));
    let mut all = object(json!({
        "id": v3.get("id"), "name": v3.get("name"),
        "project_id": v3.get("project_id"), "tenant_id": v3.get("project_id"),
        "admin_state_up": v3.get("admin_state_up"),
        "provisioning_status": v3.get("provisioning_status"),
        "operating_status": dialect.operating_status(text(v3, "operating_status"), drained),
        "created_at": moment(v3, "created_at"), "updated_at": moment(v3, "updated_at"),
        "tags": [],
    }));
    all.extend(object(own));
    all
}

fn load_balancer(v3: &Body) -> Value {
    let pair = |address: &str, subnet: &str| (nonempty(v3, address), nonempty(v3, subnet));
    let v4 = pair("vip_address", "vip_subnet_cidr_id");
    let v6 = pair("ipv6_vip_address", "ipv6_vip_virsubnet_id");
    let (main, more) = match (v4.0.is_null(), v6.0.is_null()) {
        (true, false) => (v6, None),
        (false, false) => (v4, Some(v6)),
        _ => (v4, None),
    };
    let more: Vec<Value> = more
        .into_iter()
        .map(|(address, subnet)| json!({"ip_address": address, "subnet_id": subnet}))
        .collect();
    let zones = v3.get("availability_zone_list").and_then(Value::as_array);
    json!({
        "description": v3.get("description"),
        "vip_address": main.0, "vip_subnet_id": main.1, "vip_network_id": nonempty(v3, "vpc_id"),
        "vip_port_id": null, "vip_qos_policy_id": null, "vip_vnic_type": "normal", "vip_sg_ids": [],
        "additional_vips": more,
        "listeners": list(v3, "listeners"), "pools": list(v3, "pools"),
        "provider": v3.get("provider"), "flavor_id": v3.get("l4_flavor_id"),
        "availability_zone": zones.and_then(|zones| zones.first()),
        "tags": tags::shown(v3.get("tags")),
        "enterprise_project_id": v3.get("enterprise_project_id"), "publicips": [],
        "billing_info": "", "protection_status": v3.get("protection_status"),
        "protection_reason": v3.get("protection_reason"),
    })
}

fn listener(v3: &Body) -> Value {
    let limit = v3.get("connection").and_then(Value::as_i64).filter(|limit| *limit > 0);
    json!({
        "description": v3.get("description"),
        "loadbalancers": list(v3, "loadbalancers"),
        "protocol": v3.get("protocol"), "protocol_port": v3.get("protocol_port"),
        "default_pool_id": nonempty(v3, "default_pool_id"),
        "connection_limit": limit.unwrap_or(-1),
        "tags": tags::shown(v3.get("tags")),
        "insert_headers": {}, "l7policies": [], "allowed_cidrs": v3.get("allowed_cidrs"), "http2_enable": false,
        "default_tls_container_ref": null, "sni_container_refs": [],
        "client_ca_tls_container_ref": null, "client_authentication": "NONE",
        "client_crl_container_ref": null, "tls_ciphers": null, "tls_versions": [],
        "tls_ciphers_policy": null, "alpn_protocols": [], "hsts_max_age": null,
        "hsts_include_subdomains": false, "hsts_preload": false, "timeout_client_data": null,
        "timeout_member_connect": null, "timeout_member_data": null, "timeout_tcp_inspect": null,
        "protection_status": v3.get("protection_status"),
        "protection_reason": v3.get("protection_reason"),
    })
}

fn pool(dialect: Dialect, v3: &Body) -> Value {
    json!({
        "description": v3.get("description"),
        "loadbalancers": list(v3, "loadbalancers"), "listeners": list(v3, "listeners"),
        "members": list(v3, "members"), "healthmonitor_id": nonempty(v3, "healthmonitor_id"),
        "protocol": v3.get("protocol"), "lb_algorithm": dialect.value(text(v3, "lb_algorithm")),
        "session_persistence": persistence(dialect, v3.get("session_persistence")),
        "tls_enabled": false, "tls_container_ref": null, "ca_tls_container_ref": null,
        "crl_container_ref": null, "tls_ciphers": null, "tls_versions": [], "alpn_protocols": [],
        "protection_status": v3.get("protection_status"),
        "protection_reason": v3.get("protection_reason"),
    })
}

fn persistence(dialect: Dialect, v3: Option<&Value>) -> Value {
    let Some(given) = v3.and_then(Value::as_object) else { return Value::Null };
    let minutes = given.get("persistence_timeout").and_then(Value::as_i64).unwrap_or(0);
    let timeout = if dialect == Dialect::OpenStack { minutes * 60 } else { minutes };
    json!({"type": given.get("type"), "cookie_name": null, "persistence_timeout": timeout})
}

fn member(v3: &Body) -> Value {
    json!({
        "address": v3.get("address"), "protocol_port": v3.get("protocol_port"),
        "subnet_id": nonempty(v3, "subnet_cidr_id"), "weight": v3.get("weight"),
        "pool_id": v3.get("pool_id"), "backup": false, "monitor_address": null,
        "monitor_port": null, "vnic_type": "normal",
    })
}

fn health_monitor(dialect: Dialect, v3: &Body) -> Value {
    json!({
        "pools": list(v3, "pools"), "type": dialect.value(text(v3, "type")),
        "delay": v3.get("delay"), "timeout": v3.get("timeout"),
        "max_retries": v3.get("max_retries"), "max_retries_down": v3.get("max_retries_down"),
        "monitor_port": v3.get("monitor_port"), "http_method": v3.get("http_method"),
        "url_path": v3.get("url_path"), "expected_codes": v3.get("expected_codes"),
        "domain_name": v3.get("domain_name"), "http_version": null,
    })
}

/// The tree of statuses, in a dialect.
pub(super) fn statuses(dialect: Dialect, tree: &mut Value) {
    match tree {
        Value::Object(node) => {
            let status = node.get("operating_status").and_then(Value::as_str);
            if let Some(own) = status.map(|v3| dialect.operating_status(v3, false)) {
                node.insert("operating_status".to_owned(), own.into());
            }
            if let Some(of) = node.get("type").and_then(Value::as_str) {
                let own = dialect.value(of).to_owned();
                node.insert("type".to_owned(), own.into());
            }
            node.values_mut().for_each(|inner| statuses(dialect, inner));
            // OpenStack's name of the same.
            if let Some(monitor) = node.get("healthmonitor").cloned() {
                node.insert("health_monitor".to_owned(), monitor);
            }
        }
        Value::Array(all) => all.iter_mut().for_each(|inner| statuses(dialect, inner)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn object(value: Value) -> Map<String, Value> {
    if let Value::Object(map) = value { map } else { Map::new() }
}

fn text<'b>(v3: &'b Body, key: &str) -> &'b str {
    v3.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A text, or null where it is empty.
fn nonempty(v3: &Body, key: &str) -> Value {
    let text = text(v3, key);
    if text.is_empty() { Value::Null } else { text.into() }
}

fn list(v3: &Body, key: &str) -> Value {
    v3.get(key).filter(|value| value.is_array()).cloned().unwrap_or_else(|| json!([]))
}

/// A time of version 2 says nothing of its zone, which is UTC.
fn moment(v3: &Body, key: &str) -> Value {
    text(v3, key).trim_end_matches('Z').into()
}

#[cfg(test)]
mod tests {
    use super::super::attributes::attributes;
    use super::*;

    #[test]
    fn what_may_be_given_is_shown() {
        for kind in [
            DocumentKind::LoadBalancer,
            DocumentKind::Listener,
            DocumentKind::Pool,
            DocumentKind::Member,
            DocumentKind::HealthMonitor,
        ] {
            let shown = shown(kind, Dialect::OpenStack, &Body::new());
            // Where a resource belongs is shown as a list of references.
            let others = [
                "loadbalancer_id",
                "listener_id",
                "pool_id",
                "default_pool",
                "healthmonitor",
                "prepaid_options",
                "request_sriov",
            ];
            for attribute in attributes(kind).filter(|one| !others.contains(&one.name)) {
                assert!(shown.contains_key(attribute.name), "{kind} {}", attribute.name);
            }
        }
    }

    #[test]
    fn addresses_of_both_families_are_shown() {
        let addresses = |v4: &str, v6: &str| {
            let v3 = object(json!({"vip_address": v4, "ipv6_vip_address": v6}));
            let lb = shown(DocumentKind::LoadBalancer, Dialect::OpenStack, &v3);
            (lb["vip_address"].clone(), lb["additional_vips"].clone())
        };
        assert_eq!(addresses("10.0.0.1", ""), (json!("10.0.0.1"), json!([])));
        assert_eq!(addresses("", "2001:db8::1"), (json!("2001:db8::1"), json!([])));
        let more = json!([{"ip_address": "2001:db8::1", "subnet_id": null}]);
        assert_eq!(addresses("10.0.0.1", "2001:db8::1"), (json!("10.0.0.1"), more));
    }

    #[test]
    fn statuses_have_the_words_of_the_dialect() {
        let tree = json!({"operating_status": "DISABLED", "pools": [{
            "members": [{"operating_status": "OFFLINE"}, {"operating_status": "INITIAL"}],
            "healthmonitor": {"type": "UDP_CONNECT"},
        }]});
        let of = |dialect| {
            let mut tree = tree.clone();
            statuses(dialect, &mut tree);
            let members = &tree["pools"][0]["members"];
            [&tree, &members[0], &members[1]].map(|node| node["operating_status"].clone())
        };
        assert_eq!(of(Dialect::OpenStack), ["OFFLINE", "ERROR", "OFFLINE"]);
        assert_eq!(of(Dialect::Cloud), ["DISABLED", "OFFLINE", "NO_MONITOR"]);
    }
}
