//! The attributes of version 2: what each is in V3, and which this host has nothing for.

use serde_json::Value;

use self::Fate::{Lacking, Named, Only, Same, Special};
use crate::source::store::DocumentKind;

/// What becomes of an attribute that is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It has the same name and values in V3.
    Same,
    /// It has another name there.
    Named(&'static str),
    /// It may say what is so anyway.
    Only(&'static str),
    /// There is nothing like it here: it may be empty.
    Lacking,
    /// It is read by its own rule.
    Special,
}

/// An attribute that may be given.
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) fate: Fate,
    /// Whether it cannot be changed later.
    pub(super) is_fixed: bool,
}

const fn any(name: &'static str, fate: Fate) -> Attribute {
    Attribute { name, fate, is_fixed: false }
}

const fn fixed(name: &'static str, fate: Fate) -> Attribute {
    Attribute { name, fate, is_fixed: true }
}

/// What every resource may have; the project is judged where it is read.
const OF_ALL: &[Attribute] = &[
    any("name", Same),
    any("tenant_id", Special),
    any("project_id", Special),
    any("tags", Special),
];

const LOAD_BALANCER: &[Attribute] = &[
    any("description", Same),
    any("admin_state_up", Same),
    fixed("vip_address", Special),
    fixed("vip_subnet_id", Special),
    fixed("additional_vips", Special),
    fixed("vip_network_id", Named("vpc_id")),
    fixed("vip_port_id", Lacking),
    any("vip_qos_policy_id", Lacking),
    any("vip_sg_ids", Lacking),
    fixed("vip_vnic_type", Only("normal")),
    fixed("provider", Only("vlb")),
    fixed("flavor_id", Named("l4_flavor_id")),
    fixed("availability_zone", Special),
    fixed("listeners", Lacking),
    fixed("pools", Lacking),
    fixed("enterprise_project_id", Same),
    any("protection_status", Same),
    any("protection_reason", Same),
    fixed("prepaid_options", Lacking),
];

const LISTENER: &[Attribute] = &[
    any("description", Same),
    any("admin_state_up", Same),
    fixed("loadbalancer_id", Same),
    fixed("protocol", Same),
    fixed("protocol_port", Same),
    any("default_pool_id", Same),
    any("connection_limit", Special),
    any("protection_status", Same),
    any("protection_reason", Same),
    any("allowed_cidrs", Lacking),
    any("timeout_client_data", Lacking),
    any("timeout_member_connect", Lacking),
    any("timeout_member_data", Lacking),
    any("timeout_tcp_inspect", Lacking),
    any("insert_headers", Lacking),
    any("http2_enable", Lacking),
    any("default_tls_container_ref", Lacking),
    any("client_ca_tls_container_ref", Lacking),
    any("client_crl_container_ref", Lacking),
    any("client_authentication", Only("NONE")),
    any("sni_container_refs", Lacking),
    any("tls_ciphers", Lacking),
    any("tls_versions", Lacking),
    any("tls_ciphers_policy", Lacking),
    any("alpn_protocols", Lacking),
    any("hsts_max_age", Lacking),
    any("hsts_include_subdomains", Lacking),
    any("hsts_preload", Lacking),
    fixed("default_pool", Lacking),
    fixed("l7policies", Lacking),
];

const POOL: &[Attribute] = &[
    any("description", Same),
    any("admin_state_up", Same),
    fixed("listener_id", Same),
    fixed("loadbalancer_id", Same),
    fixed("protocol", Same),
    any("lb_algorithm", Special),
    any("session_persistence", Special),
    any("protection_status", Same),
    any("protection_reason", Same),
    any("tls_enabled", Lacking),
    any("tls_container_ref", Lacking),
    any("ca_tls_container_ref", Lacking),
    any("crl_container_ref", Lacking),
    any("tls_ciphers", Lacking),
    any("tls_versions", Lacking),
    any("alpn_protocols", Lacking),
    fixed("healthmonitor", Lacking),
    fixed("members", Lacking),
];

const MEMBER: &[Attribute] = &[
    any("admin_state_up", Only("true")),
    fixed("address", Same),
    fixed("protocol_port", Same),
    fixed("subnet_id", Named("subnet_cidr_id")),
    any("weight", Same),
    any("backup", Lacking),
    any("monitor_address", Lacking),
    any("monitor_port", Lacking),
    fixed("request_sriov", Lacking),
    fixed("vnic_type", Only("normal")),
];

const HEALTH_MONITOR: &[Attribute] = &[
    any("admin_state_up", Same),
    fixed("pool_id", Same),
    any("type", Special),
    any("delay", Same),
    any("timeout", Same),
    any("max_retries", Same),
    any("max_retries_down", Same),
    any("monitor_port", Same),
    any("http_method", Same),
    any("url_path", Same),
    any("expected_codes", Same),
    any("domain_name", Same),
    any("http_version", Lacking),
];

/// The attributes of a kind of resource.
pub(super) fn attributes(kind: DocumentKind) -> impl Iterator<Item = &'static Attribute> {
    let own = match kind {
        DocumentKind::LoadBalancer => LOAD_BALANCER,
        DocumentKind::Listener => LISTENER,
        DocumentKind::Pool => POOL,
        DocumentKind::Member => MEMBER,
        DocumentKind::HealthMonitor => HEALTH_MONITOR,
        DocumentKind::IpGroup
        | DocumentKind::SecurityPolicy
        | DocumentKind::LogTank
        | DocumentKind::Certificate
        | DocumentKind::ProjectSettings
        | DocumentKind::Job => &[],
    };
    OF_ALL.iter().chain(own)
}

/// Whether a value asks for nothing.
pub(super) fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.values().all(is_nothing),
        Value::Bool(true) | Value::Number(_) => false,
    }
}
