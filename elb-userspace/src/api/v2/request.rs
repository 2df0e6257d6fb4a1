//! What is given for a resource, as V3 has it.

use std::net::IpAddr;

use serde_json::{Value, json};

use super::attributes::{Attribute, Fate, attributes, is_nothing};
use super::dialect::Dialect;
use super::tags;
use crate::api::v3::face::{Fault, Messages, brief, shortened};
use crate::source::store::{Body, DocumentKind};
use crate::source::subnet::Subnet;

/// A resource that is to be made, or changed.
pub(super) struct Given<'a> {
    pub(super) kind: DocumentKind,
    pub(super) dialect: Dialect,
    pub(super) is_new: bool,
    pub(super) body: &'a Body,
    /// The project of the client.
    pub(super) project: &'a str,
    /// The subnets that give addresses.
    pub(super) subnets: &'a [Subnet],
}

impl Given<'_> {
    /// The same for V3; all that is wrong with names and values is named at once.
    pub(super) fn translated(&self) -> Result<Body, Fault> {
        let mut made = Body::new();
        let (mut unknown, mut fixed) = (Messages::default(), Vec::new());
        let mut lacking = Vec::new();
        for (name, value) in self.body {
            let Some(attribute) = attributes(self.kind).find(|one| one.name == name) else {
                unknown.push(|| shortened(name));
                continue;
            };
            if attribute.is_fixed && !self.is_new {
                fixed.push(name.as_str());
                continue;
            }
            if is_lacking(attribute, value) {
                lacking.push(format!("{name} = {}", brief(value)));
                continue;
            }
            match attribute.fate {
                Fate::Same => drop(made.insert(name.clone(), value.clone())),
                Fate::Named(v3) => drop(made.insert(v3.to_owned(), value.clone())),
                Fate::Only(_) | Fate::Lacking => {}
                Fate::Special => self.special(name, value, &mut made)?,
            }
        }
        if let Some(unknown) = unknown.joined(", ") {
            let known: Vec<&str> = attributes(self.kind).map(|one| one.name).collect();
            let known = known.join(", ");
            let why = format!("Unrecognized attribute(s) '{unknown}', use of: {known}");
            return Err(Fault::invalid(why));
        }
        if !fixed.is_empty() {
            let why = format!("{} cannot be changed; make a new {}", fixed.join(", "), self.kind);
            return Err(Fault::invalid(why));
        }
        if !lacking.is_empty() {
            return Err(Fault::not_supported(reasons(&lacking)));
        }
        self.completed(made)
    }

    fn special(&self, name: &str, value: &Value, made: &mut Body) -> Result<(), Fault> {
        let text = value.as_str().unwrap_or_default();
        match name {
            "project_id" | "tenant_id" if !is_nothing(value) && text != self.project => {
                let why =
                    format!("the key is for project {}, not for {}", self.project, brief(value));
                return Err(Fault::forbidden(why));
            }
            "tags" => {
                let has_tags =
                    matches!(self.kind, DocumentKind::LoadBalancer | DocumentKind::Listener);
                if !has_tags && !is_nothing(value) {
                    let why =
                        format!("this host keeps no tags of a {}: {}", self.kind, brief(value));
                    return Err(Fault::not_supported(why));
                }
                // Those of a resource that is there are changed by themselves.
                if has_tags && self.is_new && !value.is_null() {
                    made.insert("tags".to_owned(), tags::read(value)?);
                }
            }
            "availability_zone" => drop(made.insert(ZONES.to_owned(), zones(value))),
            "connection_limit" => drop(made.insert("connection".to_owned(), limit(value)?)),
            "lb_algorithm" | "type" => {
                let v3 = value.as_str().map(|own| Value::from(self.dialect.v3_value(own)));
                made.insert(name.to_owned(), v3.unwrap_or_else(|| value.clone()));
            }
            "session_persistence" => {
                made.insert(name.to_owned(), persistence(self.dialect, value)?);
            }
            // Addresses are read together.
            _ => {}
        }
        Ok(())
    }

    /// With what is made of several attributes, and what V3 wants in any case.
    fn completed(&self, mut made: Body) -> Result<Body, Fault> {
        if self.kind == DocumentKind::LoadBalancer && self.is_new {
            self.addresses(&mut made)?;
            made.entry(ZONES).or_insert_with(|| json!([]));
        }
        Ok(made)
    }

    /// The address, and another one of the other family.
    fn addresses(&self, made: &mut Body) -> Result<(), Fault> {
        let main = json!({
            "ip_address": self.body.get("vip_address"), "subnet_id": self.body.get("vip_subnet_id"),
        });
        let more = self.body.get("additional_vips").and_then(Value::as_array);
        let more = more.cloned().unwrap_or_default();
        let has_network = made.get("vpc_id").is_some_and(|value| !is_nothing(value));
        if is_nothing(&main) && !has_network {
            let why = "set vip_address, or vip_network_id for a load balancer without an address";
            return Err(Fault::invalid(why.to_owned()));
        }
        for one in std::iter::once(&main).chain(&more) {
            let (address, subnet) = (one.get("ip_address"), one.get("subnet_id"));
            let text = address.and_then(Value::as_str).unwrap_or_default();
            let named = subnet.and_then(Value::as_str).unwrap_or_default();
            let known = self.subnets.iter().find(|known| known.is_called(named));
            // Without an address, the subnet says of which family one is wanted.
            let is_v6 = match text.parse() {
                Ok(address) => IpAddr::is_ipv6(&address),
                Err(_) => known.is_some_and(|known| !known.is_v4()),
            };
            let keys = if is_v6 {
                ["ipv6_vip_address", "ipv6_vip_virsubnet_id"]
            } else {
                ["vip_address", "vip_subnet_cidr_id"]
            };
            // V3 knows its id only.
            let id = known.map(|known| Value::from(known.id.to_string()));
            let subnet = id.as_ref().or(subnet);
            for (key, value) in keys.into_iter().zip([address, subnet]) {
                let Some(value) = value.filter(|value| !is_nothing(value)) else { continue };
                if made.insert(key.to_owned(), value.clone()).is_some() {
                    let why = format!(
                        "additional_vips has {}: a load balancer has one address of each family",
                        brief(one)
                    );
                    return Err(Fault::not_supported(why));
                }
            }
        }
        Ok(())
    }
}

const ZONES: &str = "availability_zone_list";

fn zones(value: &Value) -> Value {
    if is_nothing(value) { json!([]) } else { json!([value]) }
}

/// Whether a value asks for something that this host has not.
fn is_lacking(attribute: &Attribute, value: &Value) -> bool {
    match attribute.fate {
        Fate::Lacking => !is_nothing(value),
        Fate::Only(one) => {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            !value.is_null() && !text.is_empty() && text != one
        }
        Fate::Same | Fate::Named(_) | Fate::Special => false,
    }
}

/// Why attributes are refused; of some, what is to be used instead.
fn reasons(lacking: &[String]) -> String {
    let mut why = format!("this host does not support {}", lacking.join(", "));
    let hints = [
        ("admin_state_up = false", "drain a member by weight 0, or delete it"),
        ("allowed_cidrs", "use an IP group of the V3 API, in ipgroup of the listener"),
        ("provider", "the provider is vlb"),
        ("listeners", "make each resource by its own request"),
        ("pools", "make each resource by its own request"),
        ("members", "make each resource by its own request"),
        ("healthmonitor", "make each resource by its own request"),
        ("monitor_port", "set monitor_port of the health monitor"),
    ];
    let mut said: Vec<&str> = Vec::new();
    for (name, hint) in hints {
        if lacking.iter().any(|one| one.starts_with(name)) && !said.contains(&hint) {
            said.push(hint);
        }
    }
    for hint in said {
        why.push_str("; ");
        why.push_str(hint);
    }
    why
}

/// Connections at once; -1, which is 0 in V3, is no limit. Clients write numbers as texts, too.
fn limit(value: &Value) -> Result<Value, Fault> {
    match whole(value) {
        _ if value.is_null() => Ok(json!(0)),
        Some(-1) => Ok(json!(0)),
        Some(number) if number > 0 => Ok(json!(number)),
        _ => Err(Fault::invalid(format!(
            "connection_limit is {}, use 1 or more, or -1 for no limit",
            brief(value)
        ))),
    }
}

fn whole(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()))
}

/// How long clients are remembered: OpenStack says it in seconds, the cloud in minutes.
fn persistence(dialect: Dialect, value: &Value) -> Result<Value, Fault> {
    let Some(given) = value.as_object() else { return Ok(value.clone()) };
    let mut made = given.clone();
    let granularity = made.remove("persistence_granularity").filter(|value| !is_nothing(value));
    if let Some(mask) = granularity.filter(|mask| *mask != "255.255.255.255") {
        let why = format!(
            "session_persistence.persistence_granularity is {}: pools of the API remember single \
             addresses (255.255.255.255)",
            brief(&mask)
        );
        return Err(Fault::not_supported(why));
    }
    if let Some(timeout) = given.get("persistence_timeout").filter(|value| !value.is_null()) {
        let minutes = match (dialect, whole(timeout)) {
            (Dialect::OpenStack, Some(seconds)) => Some(seconds / 60).filter(|_| seconds % 60 == 0),
            (Dialect::Cloud, minutes) => minutes,
            (Dialect::OpenStack, None) => None,
        };
        let Some(minutes) = minutes.filter(|minutes| (1..=60).contains(minutes)) else {
            let rule = match dialect {
                Dialect::OpenStack => "seconds: 60 to 3600, a multiple of 60",
                Dialect::Cloud => "minutes: 1 to 60",
            };
            let timeout = brief(timeout);
            let why = format!("session_persistence.persistence_timeout is {timeout}, use {rule}");
            return Err(Fault::invalid(why));
        };
        made.insert("persistence_timeout".to_owned(), json!(minutes));
    }
    Ok(Value::Object(made))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(
        kind: DocumentKind,
        dialect: Dialect,
        is_new: bool,
        body: Value,
    ) -> Result<Value, String> {
        let body = body.as_object().cloned().unwrap();
        let given = Given { kind, dialect, is_new, body: &body, project: "p", subnets: &[] };
        given.translated().map(Value::Object).map_err(|fault| fault.message)
    }

    fn new(kind: DocumentKind, body: Value) -> Result<Value, String> {
        translated(kind, Dialect::OpenStack, true, body)
    }

    #[test]
    fn attributes_have_the_names_and_values_of_v3() {
        let lb = json!({
            "name": "web", "vip_address": "192.0.2.1", "vip_subnet_id": "s", "vip_network_id": "n",
            "additional_vips": [{"ip_address": "2001:db8::1", "subnet_id": "t"}], "provider": "vlb",
            "availability_zone": "az", "tags": ["a=b", "c"], "project_id": "p", "vip_qos_policy_id": null,
        });
        let v3 = json!({
            "name": "web", "vip_address": "192.0.2.1", "vip_subnet_cidr_id": "s", "vpc_id": "n",
            "ipv6_vip_address": "2001:db8::1", "ipv6_vip_virsubnet_id": "t",
            "availability_zone_list": ["az"],
            "tags": [{"key": "a", "value": "b"}, {"key": "c", "value": ""}],
        });
        assert_eq!(new(DocumentKind::LoadBalancer, lb), Ok(v3));
        let v3 = new(DocumentKind::LoadBalancer, json!({"vip_address": "2001:db8::1"}));
        assert_eq!(
            v3,
            Ok(json!({"ipv6_vip_address": "2001:db8::1", "availability_zone_list": []}))
        );
        let v3 = new(DocumentKind::Listener, json!({"connection_limit": "100"}));
        assert_eq!(v3, Ok(json!({"connection": 100})));
        let v3 = new(DocumentKind::Listener, json!({"connection_limit": -1}));
        assert_eq!(v3, Ok(json!({"connection": 0})));
        let v3 = new(DocumentKind::HealthMonitor, json!({"type": "UDP-CONNECT"}));
        assert_eq!(v3, Ok(json!({"type": "UDP_CONNECT"})));
        let v3 = new(DocumentKind::Member, json!({"subnet_id": "s", "backup": false, "weight": 3}));
        assert_eq!(v3, Ok(json!({"subnet_cidr_id": "s", "weight": 3})));
    }

    #[test]
    fn what_is_not_to_be_had_is_named() {
        let said = new(DocumentKind::Member, json!({"wieght": 1, "addres": "x"})).unwrap_err();
        assert!(
            said.starts_with("Unrecognized attribute(s) 'addres, wieght', use of: name"),
            "{said}"
        );
        let said = new(DocumentKind::Member, json!({"admin_state_up": false, "backup": true}));
        let said = said.unwrap_err();
        for part in ["admin_state_up = false, backup = true", "drain a member by weight 0"] {
            assert!(said.contains(part), "{said}");
        }
        let said = new(DocumentKind::Pool, json!({"tags": ["x"]})).unwrap_err();
        assert!(said.contains("keeps no tags of a pool"), "{said}");
        let said = new(DocumentKind::LoadBalancer, json!({"name": "x"})).unwrap_err();
        assert!(said.contains("set vip_address"), "{said}");
        let two =
            json!({"vip_address": "10.0.0.1", "additional_vips": [{"ip_address": "10.0.0.2"}]});
        let said = new(DocumentKind::LoadBalancer, two).unwrap_err();
        assert!(said.contains("one address of each family"), "{said}");
        let said = new(DocumentKind::LoadBalancer, json!({"project_id": "q"})).unwrap_err();
        assert!(said.contains("for project p"), "{said}");
        let change = json!({"loadbalancer_id": "x", "name": "y"});
        let said = translated(DocumentKind::Listener, Dialect::OpenStack, false, change);
        assert!(said.unwrap_err().starts_with("loadbalancer_id cannot be changed"));
    }

    #[test]
    fn clients_are_remembered_for_seconds_or_minutes() {
        let of = |dialect, timeout: Value| {
            let given = json!({"session_persistence": {
                "type": "SOURCE_IP", "persistence_timeout": timeout,
                "persistence_granularity": "255.255.255.255",
            }});
            let made = translated(DocumentKind::Pool, dialect, true, given)?;
            Ok::<_, String>(made["session_persistence"]["persistence_timeout"].clone())
        };
        assert_eq!(of(Dialect::OpenStack, json!("360")), Ok(json!(6)));
        assert_eq!(of(Dialect::Cloud, json!(6)), Ok(json!(6)));
        assert!(of(Dialect::OpenStack, json!(90)).unwrap_err().contains("multiple of 60"));
        assert!(of(Dialect::Cloud, json!(61)).unwrap_err().contains("minutes: 1 to 60"));
    }
}
