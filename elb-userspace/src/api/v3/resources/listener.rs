//! Listeners: a protocol and ports of a load balancer, and the pool that serves them.

use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::attributes::{Attributes, begin, object, shown, tags, text};
use super::{Quotas, View, Work, pool, protection};
use crate::model::PortRange;
use crate::model::port_range::VXLAN_PORT;
use crate::source::store::{Body, Document, DocumentKind};

const KIND: DocumentKind = DocumentKind::Listener;
/// Listeners of a load balancer.
const MOST: usize = Quotas::LISTENERS_OF_BALANCER;

pub(super) fn attributes() -> Attributes {
    Attributes {
        kept: json!({
            "name": "", "description": "", "loadbalancer_id": "", "protocol": "", "protocol_port": 0,
            "port_ranges": [], "default_pool_id": null, "admin_state_up": true,
            "keepalive_timeout": 300, "cps": 0, "connection": 0, "ipgroup": null,
            "protection_status": "nonProtection", "protection_reason": "",
        }),
        idle: json!({"transparent_client_ip_enable": true}),
    }
}

pub(super) fn create(work: &mut Work<'_, '_>, given: &Body) -> Result<(), Refusal> {
    let mut body = attributes().accept(given)?;
    let balancer = work.get(DocumentKind::LoadBalancer, text(&body, "loadbalancer_id"))?;
    let others = work.referring(KIND, "loadbalancer_id", balancer.id);
    if others.len() >= MOST {
        return Err(Refusal::quota(format!("loadbalancer {} has {MOST} listeners", balancer.id)));
    }
    let ranges = ports(&body)?;
    if let Some(other) = others.iter().find(|other| takes(other, &body, &ranges)) {
        let (protocol, ports) = (text(&body, "protocol"), written(&ranges));
        let theirs = other.text("protocol");
        let why =
            format!("{protocol} port {ports} is that of listener {} (protocol {theirs})", other.id);
        return Err(Refusal::conflict(why));
    }
    protocol(&body)?;
    transparent(given, work.host.limits.hides_clients)?;
    access(work, &mut body)?;
    judge(&body)?;
    if let Some(pool) = work.referred(DocumentKind::Pool, &body, "default_pool_id")? {
        pool::may_serve(&pool, &body)?;
    }
    work.make(KIND, body, tags(given)?);
    Ok(())
}

pub(super) fn update(work: &mut Work<'_, '_>, old: &Document, given: &Body) -> Result<(), Refusal> {
    let mut given = given.clone();
    // Of access control, what is not given stays.
    if let (Some(Value::Object(new)), Some(Value::Object(before))) =
        (given.get("ipgroup"), old.body.get("ipgroup"))
    {
        let mut whole = before.clone();
        whole.extend(new.clone().into_iter().filter(|(_, value)| !value.is_null()));
        given.insert("ipgroup".to_owned(), Value::Object(whole));
    }
    let mut body = attributes().amend(old, &given)?;
    transparent(&given, work.host.limits.hides_clients)?;
    protection::may_change(old, &given)?;
    access(work, &mut body)?;
    judge(&body)?;
    if let Some(pool) = work.referred(DocumentKind::Pool, &body, "default_pool_id")? {
        pool::may_serve(&pool, &body)?;
    }
    work.change(old, body);
    Ok(())
}

/// Only what the packet path serves is made.
fn protocol(body: &Body) -> Result<(), Refusal> {
    let protocol = text(body, "protocol");
    if ["TCP", "UDP"].contains(&protocol) {
        return Ok(());
    }
    let why = format!("protocol {protocol}: this host serves listeners of TCP and UDP");
    Err(Refusal::not_supported(why))
}

fn judge(body: &Body) -> Result<(), Refusal> {
    let timeout = body.get("keepalive_timeout").and_then(Value::as_i64).unwrap_or(0);
    if !(10..=4000).contains(&timeout) {
        let why = format!("keepalive_timeout is {timeout}, use 10 to 4000 for TCP and UDP");
        return Err(Refusal::invalid(why));
    }
    Ok(())
}

/// The ports: one, or ranges that do not overlap.
fn ports(body: &Body) -> Result<Vec<PortRange>, Refusal> {
    let port = number(body.get("protocol_port"));
    let given = body.get("port_ranges").and_then(Value::as_array).cloned().unwrap_or_default();
    if port > 0 && !given.is_empty() {
        let why = format!("port_ranges are for protocol_port 0, and it is {port}");
        return Err(Refusal::invalid(why));
    }
    if port > 0 {
        let range = PortRange::new(port, port).map_err(|why| Refusal::invalid(why.to_string()))?;
        return without_vxlan(body, vec![range]);
    }
    if given.is_empty() {
        return Err(Refusal::invalid("set protocol_port to 1 to 65535, or port_ranges".to_owned()));
    }
    let mut ranges: Vec<PortRange> = Vec::new();
    for one in &given {
        let range = PortRange::new(number(one.get("start_port")), number(one.get("end_port")));
        let range = range.map_err(|why| Refusal::invalid(format!("port_ranges: {why}")))?;
        if let Some(other) = ranges.iter().find(|other| other.overlaps(range)) {
            return Err(Refusal::invalid(format!("port_ranges {other} and {range} overlap")));
        }
        ranges.push(range);
    }
    without_vxlan(body, ranges)
}

/// Refuses the port that the service keeps for itself, also where the listener has no pool yet.
fn without_vxlan(body: &Body, ranges: Vec<PortRange>) -> Result<Vec<PortRange>, Refusal> {
    let is_taken = ranges.iter().any(|range| range.contains(VXLAN_PORT));
    if text(body, "protocol") == "UDP" && is_taken {
        let why = format!("UDP port {VXLAN_PORT} is reserved for VXLAN, use another one");
        return Err(Refusal::invalid(why));
    }
    Ok(ranges)
}

fn number(value: Option<&Value>) -> u16 {
    value.and_then(Value::as_u64).and_then(|number| number.try_into().ok()).unwrap_or(0)
}

/// Whether a listener has a port of another one.
pub(in crate::api::v3) fn takes_ports_of(one: &Document, other: &Document) -> bool {
    takes(one, &other.body, &ports(&other.body).unwrap_or_default())
}

/// Whether another listener has one of these ports.
fn takes(other: &Document, body: &Body, ranges: &[PortRange]) -> bool {
    let theirs = ports(&other.body).unwrap_or_default();
    is_udp(other.text("protocol")) == is_udp(text(body, "protocol"))
        && theirs.iter().any(|their| ranges.iter().any(|range| range.overlaps(*their)))
}

/// Ports of UDP and those of TCP, which all other protocols use, are apart.
fn is_udp(protocol: &str) -> bool {
    ["UDP", "QUIC"].contains(&protocol)
}

fn written(ranges: &[PortRange]) -> String {
    let one = |range: &PortRange| match range.start_port() == range.end_port() {
        true => range.start_port().to_string(),
        false => range.to_string(),
    };
    ranges.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// Access control names an IP group of the project, and has its defaults.
fn access(work: &Work<'_, '_>, body: &mut Body) -> Result<(), Refusal> {
    let Some(given) = body.get("ipgroup").and_then(Value::as_object) else { return Ok(()) };
    let id = given.get("ipgroup_id").and_then(Value::as_str).unwrap_or_default();
    if id.is_empty() {
        body.insert("ipgroup".to_owned(), Value::Null);
        return Ok(());
    }
    if id.contains(',') {
        let why = format!("ipgroup_id {id:?}: this host supports one IP group for a listener");
        return Err(Refusal::not_supported(why));
    }
    let group = work.get(DocumentKind::IpGroup, id)?;
    let mut whole = object(&json!({"enable_ipgroup": true, "type": "white"}));
    whole.extend(given.clone().into_iter().filter(|(_, value)| !value.is_null()));
    whole.insert("ipgroup_id".to_owned(), group.id.to_string().into());
    body.insert("ipgroup".to_owned(), Value::Object(whole));
    Ok(())
}

/// A pool with members keeps its listener.
pub(super) fn may_go(work: &mut Work<'_, '_>, old: &Document) -> Result<(), Refusal> {
    protection::may_touch(old)?;
    if let Some(pool) = old.reference("default_pool_id")
        && !work.referring(DocumentKind::Member, "pool_id", pool).is_empty()
    {
        let why = format!(
            "pool {pool} is using this listener: delete its members first, or set \
                           default_pool_id of the listener to null"
        );
        return Err(Refusal::conflict(why));
    }
    work.touch(old.reference("loadbalancer_id"));
    Ok(())
}

/// What members see as the client is the same for all pools of a host.
fn transparent(given: &Body, hides_clients: bool) -> Result<(), Refusal> {
    let why = match (given.get("transparent_client_ip_enable"), hides_clients) {
        (Some(Value::Bool(false)), false) => {
            "transparent_client_ip_enable is false: members always see the client's address, unless the file of this \
             host has forwarding = \"fullnat\" in [api], and [snat]"
        }
        (Some(Value::Bool(true)), true) => {
            "transparent_client_ip_enable is true: members see source addresses of this host, whose file has \
             forwarding = \"fullnat\" in [api]"
        }
        _ => return Ok(()),
    };
    Err(Refusal::not_supported(why.to_owned()))
}

pub(super) fn show(view: &View<'_>, listener: &Document) -> Value {
    let mut all = begin(listener);
    let balancer = listener.reference("loadbalancer_id");
    let balancer = balancer.and_then(|id| view.documents.get(DocumentKind::LoadBalancer, id));
    let project = balancer.map(|one| one.text("enterprise_project_id")).filter(|id| !id.is_empty());
    all.remove("loadbalancer_id");
    let more = json!({
        "loadbalancers": [{"id": listener.text("loadbalancer_id")}],
        "tags": shown(&listener.tags),
        "connection_limit": -1,
        "enterprise_project_id": project.unwrap_or("0"),
        "transparent_client_ip_enable": !view.host.limits.hides_clients,
        "client_ca_tls_container_ref": null, "default_tls_container_ref": null,
        "http2_enable": false, "insert_headers": null, "sni_container_refs": [],
        "sni_match_algo": null, "tls_ciphers_policy": null, "security_policy_id": null,
        "enable_member_retry": null, "client_timeout": null, "member_timeout": null,
        "proxy_protocol_enable": false, "enhance_l7policy_enable": false, "quic_config": null,
        "gzip_enable": false, "ssl_early_data_enable": false, "nat64_enable": false,
    });
    all.extend(object(&more));
    Value::Object(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_members_see_is_as_the_host_forwards() {
        let refused = |value: Value, hides_clients| {
            let given = object(&json!({"transparent_client_ip_enable": value}));
            transparent(&given, hides_clients).err().map(|refusal| refusal.message)
        };
        assert_eq!(refused(json!(true), false), None);
        assert_eq!(refused(json!(false), true), None);
        assert_eq!(refused(Value::Null, true), None);
        assert!(refused(json!(false), false).unwrap().contains("always see the client's address"));
        assert!(refused(json!(true), true).unwrap().contains("see source addresses of this host"));
    }
}
