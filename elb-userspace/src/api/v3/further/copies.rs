//! Copies of listeners and load balancers, with pools of their own or with the same ones.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::call::{Call, Reply};
use super::super::refusal::Refusal;
use super::super::resources::{self, Work, object};
use super::jobs;
use crate::model::ResourceId;
use crate::source::store::{Body, Document, DocumentKind};

/// Load balancers of one request.
const MOST: u64 = 10;

/// Copies a listener to load balancers.
pub(super) fn listener(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let source = work.get(DocumentKind::Listener, call.parameter("listener_id"))?;
    let targets = call.objects("target_listener_params");
    if targets.is_empty() {
        return Err(Refusal::invalid("target_listener_params is empty".to_owned()));
    }
    let (mut ids, mut shown) = (Vec::new(), Vec::new());
    for target in &targets {
        if target
            .get("subnet_mapping_list")
            .and_then(Value::as_array)
            .is_some_and(|all| !all.is_empty())
        {
            let why = "subnet_mapping_list is not supported: a copied listener keeps the addresses of its load balancer";
            return Err(Refusal::not_supported(why.to_owned()));
        }
        let lb = resources::text(target, "loadbalancer_id");
        let lb = work.get(DocumentKind::LoadBalancer, lb)?;
        let mut pools = Pools::new(is_set(target, "reuse_pool"), lb.id);
        let mut changes = Body::new();
        let name = match resources::text(target, "name") {
            "" => format!("{}-copy", source.text("name")),
            name => name.to_owned(),
        };
        changes.insert("name".to_owned(), name.into());
        set_ports(&mut changes, target);
        let id = copy_listener(work, &source, &mut pools, changes)?;
        ids.push(id);
        let port = |key: &str| {
            let copy = work.documents().get(DocumentKind::Listener, id);
            copy.and_then(|copy| copy.body.get(key).cloned()).unwrap_or_default()
        };
        shown.push(json!({
            "id": id.to_string(), "loadbalancer_id": lb.id.to_string(),
            "protocol_port": port("protocol_port"), "port_ranges": port("port_ranges"),
        }));
    }
    let job = jobs::done(work, "cloneListener", Some(source.id), (DocumentKind::Listener, &ids))?;
    Ok(jobs::reply(job, "listener_list", Value::Array(shown)))
}

/// Other ports than those of the source, if any are given.
fn set_ports(changes: &mut Body, target: &Body) {
    let port =
        target.get("protocol_port").filter(|port| port.as_u64().is_some_and(|port| port > 0));
    let ranges = target.get("port_ranges").filter(|ranges| !ranges.is_null());
    if port.is_some() || ranges.is_some() {
        changes.insert("protocol_port".to_owned(), port.cloned().unwrap_or_else(|| 0.into()));
        changes.insert("port_ranges".to_owned(), ranges.cloned().unwrap_or_else(|| json!([])));
    }
}

/// Copies a load balancer with its listeners and pools. A copy has the addresses that it is given, or
/// that the subnets give which are named for it.
pub(super) fn balancer(call: &Call, work: &mut Work<'_, '_>) -> Result<Reply, Refusal> {
    let source = work.get(DocumentKind::LoadBalancer, call.parameter("loadbalancer_id"))?;
    let count = call.body.get("count").and_then(Value::as_u64).unwrap_or(1);
    if !(1..=MOST).contains(&count) {
        return Err(Refusal::invalid(format!("count is {count}, use 1 to {MOST}")));
    }
    let mut target = call.object("target_loadbalancer_param");
    target.retain(|_, value| !value.is_null());
    for key in ["vip_address", "ipv6_vip_address"] {
        if count > 1 && target.contains_key(key) {
            return Err(Refusal::invalid(format!("{key} is for count 1, and it is {count}")));
        }
    }
    let reuse = is_set(&target, "reuse_pool");
    target.remove("reuse_pool");
    let mut ids = Vec::new();
    for n in 1..=count {
        let name = match resources::text(&target, "name") {
            "" => format!("{}-copy-{n}", source.text("name")),
            name if count == 1 => name.to_owned(),
            name => format!("{name}-{n}"),
        };
        ids.push(copy_balancer(work, &source, &target, name, reuse)?);
    }
    let kind = DocumentKind::LoadBalancer;
    let job = jobs::done(work, "cloneLoadbalancer", Some(source.id), (kind, &ids))?;
    let shown: Value = ids.iter().map(|id| json!({"id": id.to_string()})).collect();
    Ok(jobs::reply(job, "loadbalancer_list", shown))
}

fn copy_balancer(
    work: &mut Work<'_, '_>,
    source: &Document,
    target: &Body,
    name: String,
    reuse: bool,
) -> Result<ResourceId, Refusal> {
    let mut given = source.body.clone();
    for key in ["vip_address", "vip_subnet_cidr_id", "ipv6_vip_address", "ipv6_vip_virsubnet_id"] {
        given.remove(key);
    }
    given.extend(target.clone());
    given.insert("name".to_owned(), name.into());
    given.insert("tags".to_owned(), resources::shown(&source.tags));
    let id = work.next_id()?;
    resources::create(work, DocumentKind::LoadBalancer, &given)?;
    let mut pools = Pools::new(reuse, id);
    for listener in work.referring(DocumentKind::Listener, "loadbalancer_id", source.id) {
        copy_listener(work, &listener, &mut pools, Body::new())?;
    }
    for pool in work.referring(DocumentKind::Pool, "loadbalancer_id", source.id) {
        if !reuse {
            pools.of(work, &pool)?;
        }
    }
    Ok(id)
}

/// A listener like another one, on the load balancer that `pools` are for.
fn copy_listener(
    work: &mut Work<'_, '_>,
    source: &Document,
    pools: &mut Pools,
    changes: Body,
) -> Result<ResourceId, Refusal> {
    let mut given = source.body.clone();
    given.insert("loadbalancer_id".to_owned(), pools.balancer.to_string().into());
    given.insert("tags".to_owned(), resources::shown(&source.tags));
    given.extend(changes);
    if let Some(pool) = work.referred(DocumentKind::Pool, &source.body, "default_pool_id")? {
        let pool = pools.of(work, &pool)?;
        given.insert("default_pool_id".to_owned(), pool.to_string().into());
    }
    let id = work.next_id()?;
    resources::create(work, DocumentKind::Listener, &given)?;
    Ok(id)
}

/// Which pools the copies on a load balancer have.
struct Pools {
    reuse: bool,
    balancer: ResourceId,
    /// The copy of each pool, which its listeners share as those of the source do.
    copies: BTreeMap<ResourceId, ResourceId>,
}

impl Pools {
    const fn new(reuse: bool, balancer: ResourceId) -> Self {
        Self { reuse, balancer, copies: BTreeMap::new() }
    }

    /// The same pool, which is no longer that of one load balancer alone, or its copy.
    fn of(&mut self, work: &mut Work<'_, '_>, pool: &Document) -> Result<ResourceId, Refusal> {
        if self.reuse {
            if pool.reference("loadbalancer_id").is_some_and(|theirs| theirs != self.balancer) {
                work.set(pool, "loadbalancer_id", Value::Null);
            }
            return Ok(pool.id);
        }
        if let Some(copy) = self.copies.get(&pool.id) {
            return Ok(*copy);
        }
        let own = object(&json!({"loadbalancer_id": self.balancer.to_string()}));
        let id = copy(work, pool, own)?;
        for kind in [DocumentKind::Member, DocumentKind::HealthMonitor] {
            for one in work.referring(kind, "pool_id", pool.id) {
                copy(work, &one, object(&json!({"pool_id": id.to_string()})))?;
            }
        }
        self.copies.insert(pool.id, id);
        Ok(id)
    }
}

/// A resource like another one, which was judged when that one was made.
fn copy(work: &mut Work<'_, '_>, source: &Document, changes: Body) -> Result<ResourceId, Refusal> {
    work.has_room(source.kind)?;
    let id = work.next_id()?;
    let mut body = source.body.clone();
    body.extend(changes);
    work.make(source.kind, body, source.tags.clone());
    Ok(id)
}

fn is_set(body: &Body, key: &str) -> bool {
    body.get(key).and_then(Value::as_bool).unwrap_or(false)
}
