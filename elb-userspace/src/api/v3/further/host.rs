//! What a cloud has many of and a host of one's own has one of, or none: flavors, zones, features, addresses.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::call::{Call, Reply};
use super::super::list;
use super::super::refusal::Refusal;
use super::super::resources::{FLAVOR, View};
use crate::source::store::{DocumentKind, FLAVORS, Flavor};

/// What clients may ask whether it is there: the name, and what it is.
const FEATURES: &[(&str, &str, &str, &str)] = &[
    ("tcp_listener", "BOOL", "true", "listeners of protocol TCP"),
    ("udp_listener", "BOOL", "true", "listeners of protocol UDP"),
    ("http_listener", "BOOL", "false", "listeners of protocol HTTP and HTTPS"),
    ("tls_listener", "BOOL", "false", "listeners of protocol TLS"),
    ("ipv6", "BOOL", "true", "IPv6 addresses of load balancers and members"),
    ("port_ranges", "BOOL", "true", "listeners of ranges of ports"),
    ("connection_drain", "BOOL", "true", "members that are drained"),
    ("master_slave_pool", "BOOL", "true", "pools of a master and a slave"),
    ("share_pool", "BOOL", "true", "pools of several listeners"),
    ("transparent_client_ip", "BOOL", "true", "members see the addresses of clients"),
    ("ip_as_backend_server", "BOOL", "true", "members without a subnet"),
    ("eip", "BOOL", "false", "public addresses that are bound and taken off"),
    ("recycle_bin", "BOOL", "false", "load balancers that are kept after they are deleted"),
];

pub(super) fn flavors(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    let own = own_flavor(call, view);
    let items = [own].into_iter().chain(FLAVORS.iter().map(|one| fixed_flavor(call, one)));
    let query = call.query.without(&["list_all"]);
    list::reply("flavors", list::shown(items.collect()), &query)
}

pub(super) fn flavor(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    let id = call.parameter("flavor_id");
    let found = match Flavor::find(id) {
        Some(flavor) => fixed_flavor(call, &flavor),
        None if id == FLAVOR => own_flavor(call, view),
        None => return Err(Refusal::no_such(format!("flavor {id} could not be found."))),
    };
    Ok(Reply::new(StatusCode::OK, "flavor", found))
}

/// All that this host can do: only the table of connections has a size.
fn own_flavor(call: &Call, view: &View<'_>) -> Value {
    let info = json!({"connection": view.host.limits.connections, "cps": -1});
    shown_flavor(call, (FLAVOR, "L4_flavor.elb.host", "L4_elastic_max"), &info)
}

/// One with figures that listeners keep to. A bandwidth is none of them: members answer clients directly.
fn fixed_flavor(call: &Call, flavor: &Flavor) -> Value {
    let info = json!({"connection": flavor.connection, "cps": flavor.cps});
    shown_flavor(call, (flavor.id, flavor.name, "L4"), &info)
}

fn shown_flavor(call: &Call, (id, name, of): (&str, &str, &str), info: &Value) -> Value {
    json!({
        "id": id, "name": name, "type": of, "shared": true,
        "project_id": call.caller.project, "flavor_sold_out": false,
        "public_border_group": "center", "category": 0, "info": info,
    })
}

/// One, which every load balancer is in.
pub(super) fn zones(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    if let Some(id) = call.query.first("loadbalancer_id") {
        view.get(&call.caller.project, DocumentKind::LoadBalancer, id)?;
    }
    let is_here = call.query.first("public_border_group").is_none_or(|group| group == "center");
    let zone = json!({
        "code": "host", "state": "ACTIVE", "protocol": ["L4"], "public_border_group": "center",
        "category": 0,
    });
    let zones = if is_here { json!([[zone]]) } else { json!([]) };
    Ok(Reply::new(StatusCode::OK, "availability_zones", zones))
}

/// The features of this host.
fn features<'a>(
    view: &View<'_>,
) -> impl Iterator<Item = (&'a str, &'a str, &'a str, &'a str)> + use<'a> {
    let hides_clients = view.host.limits.hides_clients;
    FEATURES.iter().map(move |(feature, of, value, description)| {
        let value =
            if *feature == "transparent_client_ip" && hides_clients { "false" } else { value };
        (*feature, *of, value, *description)
    })
}

pub(super) fn feature_configs(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    let all: Vec<Value> = features(view)
        .map(|(feature, of, value, description)| {
            json!({
                "id": feature, "feature": feature, "type": of, "value": value,
                "description": description, "switch": true, "service": "ELB", "caller": "elb",
                "tenant_id": call.caller.project, "created_at": "", "updated_at": "",
            })
        })
        .collect();
    list::reply("configs", list::shown(all), &call.query)
}

pub(super) fn features_of_balancer(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    balancer(call, view)?;
    let all = features(view)
        .map(|(feature, of, value, _)| json!({"feature": feature, "type": of, "value": value}));
    Ok(Reply::new(StatusCode::OK, "features", all.collect()))
}

/// None: packets go to members from the client's address, and probes from the host's own.
pub(super) fn ports(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    balancer(call, view)?;
    Ok(Reply::new(StatusCode::OK, "ports", json!([])))
}

/// None: a load balancer has its own address alone.
pub(super) fn addresses_needed(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    if let Some(id) = call.query.first("loadbalancer_id") {
        view.get(&call.caller.project, DocumentKind::LoadBalancer, id)?;
    }
    Ok(Reply::new(StatusCode::OK, "preoccupy_ip", json!({"total": 0})))
}

fn balancer(call: &Call, view: &View<'_>) -> Result<(), Refusal> {
    let id = call.parameter("loadbalancer_id");
    view.get(&call.caller.project, DocumentKind::LoadBalancer, id).map(drop)
}
