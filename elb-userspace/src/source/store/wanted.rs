//! The resources of a model as the API has them: which documents they are, and with which attributes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use serde::Serialize;
use serde_json::{Value, json};

use super::{Body, Document, DocumentKind, Documents};
use crate::model::monitor::HealthCheck;
use crate::model::{
    FlowsOnUnhealthy, IpGroup, LbAlgorithm, Listener, LoadBalancer, Member, Model, Pool,
    ResourceId, RingSize, SessionPersistence,
};
use crate::source::api::ApiSettings;

/// A document that a model wants.
#[derive(Clone, Debug, PartialEq)]
pub struct WantedDocument {
    /// What it is.
    pub kind: DocumentKind,
    /// Which one.
    pub id: ResourceId,
    /// The attributes that the model decides about; others are as they are, or as the API makes them.
    pub given: Body,
}

/// The documents of a model, the ones that others refer to first. An id that the model does not give itself is that of
/// the document with the same name, if there is one.
///
/// # Errors
/// What the model has and the API has no word for.
pub fn wanted(
    model: &Model,
    settings: &ApiSettings,
    documents: &Documents,
) -> Result<Vec<WantedDocument>, Vec<String>> {
    let mut writer = Wanting {
        settings,
        model,
        known: Known::of(documents, model),
        ids: BTreeMap::new(),
        all: Vec::new(),
        odd: Vec::new(),
    };
    model.ip_groups().iter().for_each(|group| writer.ip_group(group));
    model.load_balancers().iter().for_each(|lb| writer.load_balancer(lb));
    model.pools().iter().for_each(|pool| writer.pool(pool));
    for lb in model.load_balancers() {
        lb.listeners.iter().for_each(|listener| writer.listener(lb, listener));
    }
    model.pools().iter().for_each(|pool| writer.parts(pool));
    let mut seen = BTreeSet::new();
    for one in &writer.all {
        if !seen.insert((one.kind, one.id)) {
            writer.odd.push(format!("{} {} is there twice", one.kind, one.id));
        }
    }
    if writer.odd.is_empty() { Ok(writer.all) } else { Err(writer.odd) }
}

/// The documents of a store, by what they are called.
struct Known<'a> {
    documents: &'a Documents,
    by_name: HashMap<(DocumentKind, String), Vec<ResourceId>>,
    /// Ids that resources of the model give themselves.
    given: BTreeSet<ResourceId>,
}

impl<'a> Known<'a> {
    fn of(documents: &'a Documents, model: &Model) -> Self {
        let mut by_name: HashMap<_, Vec<_>> = HashMap::new();
        for kind in DocumentKind::ALL {
            for one in documents.of(*kind) {
                by_name.entry((*kind, place(one))).or_default().push(one.id);
            }
        }
        let balancers = model.load_balancers().iter().map(|one| one.id);
        let listeners = model.listeners().map(|(_, one)| one.id);
        let pools = model.pools().iter().flat_map(|pool| {
            let members = pool.members.iter().map(|one| one.id);
            members.chain([pool.id]).chain(pool.healthmonitor.as_ref().map(|one| one.id))
        });
        let groups = model.ip_groups().iter().map(|one| one.id);
        let given = balancers.chain(listeners).chain(pools).chain(groups).collect();
        Self { documents, by_name, given }
    }

    /// The id of a resource: its own, unless that follows from its name and another document has this name.
    fn id(
        &self,
        kind: DocumentKind,
        own: ResourceId,
        derived: ResourceId,
        place: String,
    ) -> ResourceId {
        if own != derived || self.documents.get(kind, own).is_some() {
            return own;
        }
        match self.by_name.get(&(kind, place)).map(Vec::as_slice) {
            Some([one]) if !self.given.contains(one) => *one,
            _ => own,
        }
    }
}

/// What a document is called among those of its kind.
fn place(document: &Document) -> String {
    let text = |key: &str| document.text(key);
    match document.kind {
        DocumentKind::LoadBalancer
        | DocumentKind::Pool
        | DocumentKind::IpGroup
        | DocumentKind::Job
        | DocumentKind::SecurityPolicy
        | DocumentKind::LogTank
        | DocumentKind::Certificate
        | DocumentKind::ProjectSettings => text("name").to_owned(),
        DocumentKind::Listener => format!("{}/{}", text("loadbalancer_id"), text("name")),
        DocumentKind::Member => {
            format!("{}/{}/{}", text("pool_id"), text("address"), document.number("protocol_port"))
        }
        DocumentKind::HealthMonitor => text("pool_id").to_owned(),
    }
}

struct Wanting<'a> {
    settings: &'a ApiSettings,
    model: &'a Model,
    known: Known<'a>,
    /// The documents that resources of the model are, by their own ids.
    ids: BTreeMap<(DocumentKind, ResourceId), ResourceId>,
    all: Vec<WantedDocument>,
    odd: Vec<String>,
}

impl Wanting<'_> {
    /// Notes which document a resource is.
    fn is(
        &mut self,
        kind: DocumentKind,
        own: ResourceId,
        derived: ResourceId,
        place: String,
    ) -> ResourceId {
        let id = self.known.id(kind, own, derived, place);
        self.ids.insert((kind, own), id);
        id
    }

    fn of_name(&self, kind: DocumentKind, own: Option<ResourceId>) -> Value {
        let id = own.and_then(|own| self.ids.get(&(kind, own)));
        id.map_or(Value::Null, |id| id.to_string().into())
    }

    /// Wants a document. What is not one of its attributes must be what the API takes for granted.
    fn want(
        &mut self,
        (kind, id): (DocumentKind, ResourceId),
        called: &str,
        (mut given, granted): (Body, Value),
    ) {
        given.remove("id");
        for (key, expected) in granted.as_object().into_iter().flatten() {
            if let Some(found) = given.remove(key).filter(|found| found != expected) {
                self.odd
                    .push(format!("{called}: {key} = {found}, and in the API it is {expected}"));
            }
        }
        // What files learn later is refused by name as well, unless it is off.
        let own = attributes(kind);
        let others =
            given.iter().filter(|(key, value)| !own.contains(&key.as_str()) && !is_off(value));
        let others = others.map(|(key, value)| format!("{called}: {key} = {value}"));
        self.odd.extend(others);
        given.retain(|key, _| own.contains(&key.as_str()));
        self.all.push(WantedDocument { kind, id, given });
    }

    fn ip_group(&mut self, group: &IpGroup) {
        let (kind, name) = (DocumentKind::IpGroup, group.name.as_str());
        let id = self.is(kind, group.id, ResourceId::of_ip_group(name), name.to_owned());
        let list: Value = group
            .ip_list()
            .iter()
            .map(|entry| json!({"ip": entry.ip.to_string(), "description": entry.description}))
            .collect();
        let given = body(&json!({"name": name, "ip_list": list}));
        self.want((kind, id), "", (given, Value::Null));
    }

    fn load_balancer(&mut self, lb: &LoadBalancer) {
        let (kind, name) = (DocumentKind::LoadBalancer, lb.name.as_str());
        let id = self.is(kind, lb.id, ResourceId::of_load_balancer(name), name.to_owned());
        let mut given = body(lb);
        given.remove("listeners");
        let granted = json!({"announce": self.settings.announce, "allow_host_address": false});
        self.want((kind, id), &format!("load balancer {name:?}"), (given, granted));
    }

    fn pool(&mut self, pool: &Pool) {
        let (kind, name) = (DocumentKind::Pool, pool.name.as_str());
        let id = self.is(kind, pool.id, ResourceId::of_pool(name), name.to_owned());
        let mut given = body(pool);
        for key in ["members", "healthmonitor", "minimum_healthy_member_count"] {
            given.remove(key);
        }
        let minimum = pool.minimum_healthy_member_count.get();
        let health = json!({"minimum_healthy_member_count": minimum});
        given.insert("pool_health".to_owned(), health);
        let drain = pool.connection_drain.map_or_else(
            || json!({"enable": false}),
            |timeout| json!({"enable": true, "timeout": timeout}),
        );
        given.insert("connection_drain".to_owned(), drain);
        if pool.lb_algorithm != LbAlgorithm::QuicCid {
            given.remove("quic_cid_hash_strategy");
        }
        given.insert("session_persistence".to_owned(), self.persistence(pool));
        let granted = json!({
            "forwarding": self.settings.forwarding, "ring_size": RingSize::default(),
            "flows_on_unhealthy": FlowsOnUnhealthy::default_for(pool.protocol), "udp_hold": 30,
            "backup_below": 1, "allow_empty": false, "slow_start": 0,
        });
        self.want((kind, id), &format!("pool {name:?}"), (given, granted));
    }

    /// For how long a pool remembers its clients, as the API has it.
    fn persistence(&mut self, pool: &Pool) -> Value {
        let Some(persistence) = pool.session_persistence else { return Value::Null };
        let SessionPersistence { timeout, prefix, ipv6_prefix } = persistence;
        let seconds = timeout.get();
        let is_known = seconds % 60 == 0 && seconds <= 3600;
        if !is_known || (prefix.get(), ipv6_prefix.get()) != (32, 128) {
            self.odd.push(format!(
                "pool {:?}: session_persistence of {}, and in the API it is 1 to 60 whole minutes for each address",
                pool.name.as_str(),
                persistence.text()
            ));
        }
        json!({"type": "SOURCE_IP", "persistence_timeout": seconds / 60, "cookie_name": ""})
    }

    fn listener(&mut self, lb: &LoadBalancer, listener: &Listener) {
        let (kind, name) = (DocumentKind::Listener, listener.name.as_str());
        let balancer = self.of_name(DocumentKind::LoadBalancer, Some(lb.id));
        let place = format!("{}/{name}", balancer.as_str().unwrap_or_default());
        let id = self.is(kind, listener.id, ResourceId::of_listener(lb.id, name), place);
        let mut given = body(listener);
        given.remove("default_pool");
        if let Some(limit) = given.remove("max_connection") {
            given.insert("connection".to_owned(), limit);
        }
        given.insert("loadbalancer_id".to_owned(), balancer);
        let pool = self.model.pool(&listener.default_pool).map(|pool| pool.id);
        let pool = self.of_name(DocumentKind::Pool, pool);
        given.insert("default_pool_id".to_owned(), pool);
        let called = format!("listener {:?}/{name:?}", lb.name.as_str());
        if let Some(access) = &listener.ipgroup {
            if access.cut {
                self.odd.push(format!("{called}: ipgroup.cut = true, and in the API it is false"));
            }
            let mut groups = self.model.ip_groups().iter();
            let group = groups.find(|group| group.name == access.ipgroup).map(|group| group.id);
            let group = self.of_name(DocumentKind::IpGroup, group);
            let access = json!({
                "ipgroup_id": group, "type": access.list, "enable_ipgroup": access.enable_ipgroup,
            });
            given.insert("ipgroup".to_owned(), access);
        }
        if listener.protocol_port == 0 && listener.port_ranges.is_empty() {
            self.odd.push(format!("{called}: every port, and in the API it has one, or ranges"));
        }
        let granted = json!({"fallback_pool": null, "fallback_below": 1, "no_member": "drop"});
        self.want((kind, id), &called, (given, granted));
    }

    /// The members of a pool, and its health monitor.
    fn parts(&mut self, pool: &Pool) {
        let of = self.of_name(DocumentKind::Pool, Some(pool.id));
        let pool_id = of.as_str().unwrap_or_default().to_owned();
        for member in &pool.members {
            self.member(pool, &pool_id, member);
        }
        let Some(monitor) = &pool.healthmonitor else { return };
        let kind = DocumentKind::HealthMonitor;
        let derived = ResourceId::of_health_monitor(pool.id);
        let id = self.is(kind, monitor.id, derived, pool_id.clone());
        let mut given = body(monitor);
        given.insert("pool_id".to_owned(), pool_id.into());
        let called = format!("pool {:?}, healthmonitor", pool.name.as_str());
        if matches!(monitor.check, HealthCheck::Command(_) | HealthCheck::Talk(_)) {
            self.odd
                .push(format!("{called}: a check that runs a command, or says something over TCP"));
        }
        for key in ["delay", "timeout"] {
            if given.get(key).is_some_and(|value| !value.is_u64()) {
                self.odd.push(format!("{called}: {key} is no whole number of seconds"));
            }
        }
        let granted = json!({
            "probe_path": "vip", "expected_body": null, "command": null, "send": null, "expect": null,
            "user": null,
        });
        self.want((kind, id), &called, (given, granted));
    }

    fn member(&mut self, pool: &Pool, pool_id: &str, member: &Member) {
        let (kind, port) = (DocumentKind::Member, member.protocol_port);
        let socket = SocketAddr::new(member.address, port);
        let derived = ResourceId::of_member(pool.id, socket);
        let place = format!("{pool_id}/{}/{port}", member.address);
        let id = self.is(kind, member.id, derived, place);
        let mut given = body(member);
        let unnamed = if port == 0 { member.address.to_string() } else { socket.to_string() };
        if member.name.as_str() == unnamed {
            given.remove("name");
        }
        given.insert("pool_id".to_owned(), pool_id.into());
        let called = format!("pool {:?}, member {:?}", pool.name.as_str(), member.name.as_str());
        // The slave of a pair is a backup in the file.
        let known = self.known.documents.get(kind, id);
        let is_slave = known.is_some_and(|known| known.text("role") == "slave");
        let granted = json!({"backup": is_slave, "max_connection": 0, "server_id": null});
        self.want((kind, id), &called, (given, granted));
    }
}

/// The attributes of the API that a file decides about.
const fn attributes(kind: DocumentKind) -> &'static [&'static str] {
    match kind {
        DocumentKind::LoadBalancer => {
            &["name", "admin_state_up", "vip_address", "ipv6_vip_address"]
        }
        DocumentKind::Listener => &[
            "name",
            "admin_state_up",
            "loadbalancer_id",
            "protocol",
            "protocol_port",
            "port_ranges",
            "default_pool_id",
            "keepalive_timeout",
            "ipgroup",
            "cps",
            "connection",
        ],
        DocumentKind::Pool => &[
            "name",
            "protocol",
            "lb_algorithm",
            "quic_cid_hash_strategy",
            "any_port_enable",
            "connection_drain",
            "pool_health",
            "session_persistence",
        ],
        DocumentKind::Member => &["name", "address", "protocol_port", "weight", "pool_id"],
        DocumentKind::HealthMonitor => &[
            "admin_state_up",
            "pool_id",
            "type",
            "delay",
            "timeout",
            "max_retries",
            "max_retries_down",
            "monitor_port",
            "http_method",
            "url_path",
            "domain_name",
            "expected_codes",
        ],
        DocumentKind::IpGroup => &["name", "ip_list"],
        DocumentKind::Job
        | DocumentKind::SecurityPolicy
        | DocumentKind::LogTank
        | DocumentKind::Certificate
        | DocumentKind::ProjectSettings => &[],
    }
}

/// Whether a value asks for nothing.
fn is_off(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is_on) => !is_on,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => all.is_empty(),
    }
}

/// A resource as an object.
fn body(resource: &impl Serialize) -> Body {
    let value = serde_json::to_value(resource).unwrap_or_default();
    value.as_object().cloned().unwrap_or_default()
}
