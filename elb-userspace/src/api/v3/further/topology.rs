//! What of a load balancer leads to what, as a graph.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::call::{Call, Reply};
use super::super::refusal::Refusal;
use super::super::resources::{View, flavor_of};
use crate::source::store::{Document, DocumentKind};

pub(super) fn show(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    let id = call.parameter("loadbalancer_id");
    let lb = view.get(&call.caller.project, DocumentKind::LoadBalancer, id)?;
    let listeners: Vec<&Document> = view
        .listeners_of_balancer(lb.id)
        .into_iter()
        .filter(|listener| is_wanted(call, listener, &LISTENER))
        .collect();
    let pools: Vec<&Document> = view
        .pools_of_balancer(lb.id)
        .into_iter()
        .filter(|pool| is_wanted(call, pool, &POOL))
        .collect();
    let leads_to = |listener: &Document, pool: &Document| {
        listener.reference("default_pool_id") == Some(pool.id)
    };
    // Where listeners are chosen, so are their pools, and the other way round.
    let has =
        |filters: &[(&str, &str)]| filters.iter().any(|(key, _)| call.query.first(key).is_some());
    let (by_listener, by_pool) = (has(&LISTENER), has(&POOL));
    let kept_listeners: Vec<&Document> = listeners
        .iter()
        .copied()
        .filter(|one| !by_pool || pools.iter().any(|pool| leads_to(one, pool)))
        .collect();
    let kept_pools: Vec<&Document> = pools
        .iter()
        .copied()
        .filter(|pool| !by_listener || listeners.iter().any(|one| leads_to(one, pool)))
        .collect();
    let edge = |from: (&Document, &str), to: (&Document, &str)| {
        json!({
            "source": from.0.id.to_string(), "source_type": from.1,
            "target": to.0.id.to_string(), "target_type": to.1,
        })
    };
    let mut edges = Vec::new();
    for listener in &kept_listeners {
        edges.push(edge((&lb, "loadbalancer"), (listener, "listener")));
        for pool in kept_pools.iter().filter(|pool| leads_to(listener, pool)) {
            edges.push(edge((listener, "listener"), (pool, "pool")));
        }
    }
    let topology = json!({
        "nodes": {
            "loadbalancers": [balancer(&lb)], "eips": [],
            "listeners": kept_listeners.into_iter().map(listener).collect::<Value>(),
            "pools": kept_pools.into_iter().map(pool).collect::<Value>(),
        },
        "edges": edges, "labels": {"l7policies": []},
    });
    Ok(Reply::new(StatusCode::OK, "topology", topology))
}

/// Keys of the query, each with the attribute that it is compared with.
const LISTENER: [(&str, &str); 4] = [
    ("listener_id", "id"),
    ("listener_name", "name"),
    ("listener_protocol", "protocol"),
    ("listener_protocol_port", "protocol_port"),
];
const POOL: [(&str, &str); 2] = [("pool_id", "id"), ("pool_name", "name")];

fn is_wanted(call: &Call, document: &Document, filters: &[(&str, &str)]) -> bool {
    filters.iter().all(|(key, attribute)| {
        let Some(wanted) = call.query.first(key) else { return true };
        match *attribute {
            "id" => document.id.to_string() == wanted,
            "protocol_port" => document.number(attribute).to_string() == wanted,
            _ => document.text(attribute) == wanted,
        }
    })
}

fn copied(document: &Document, keys: &[&str]) -> Value {
    let mut shown: serde_json::Map<String, Value> = keys
        .iter()
        .map(|key| ((*key).to_owned(), document.body.get(*key).cloned().unwrap_or_default()))
        .collect();
    shown.insert("id".to_owned(), document.id.to_string().into());
    Value::Object(shown)
}

fn balancer(lb: &Document) -> Value {
    let keys = ["name", "vip_address", "ipv6_vip_address", "availability_zone_list"];
    let mut shown = copied(lb, &keys);
    shown["guaranteed"] = true.into();
    shown["l4_flavor_id"] = flavor_of(lb).into();
    shown["l7_flavor_id"] = Value::Null;
    shown
}

fn listener(listener: &Document) -> Value {
    copied(listener, &["name", "protocol", "protocol_port", "port_ranges"])
}

fn pool(pool: &Document) -> Value {
    copied(pool, &["name", "protocol", "type", "lb_algorithm"])
}
