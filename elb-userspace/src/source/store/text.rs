//! What a store holds, as text of the configuration file: so the same rules hold for it, and the same reload
//! takes it over.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;
use toml::{Table, Value as Toml};

use super::{Document, DocumentKind, Documents, Flavor, ModelCheck};
use crate::model::{Model, Name, ResourceId};
use crate::source::api::ApiSettings;
use crate::source::file::{self, ConfigError, Host, Severity, SourceText};

/// The resources that can be served, as TOML. Listeners without a pool are not among them: no packet has a
/// member there.
pub fn text(documents: &Documents, settings: &ApiSettings) -> String {
    let names = Names::of(documents);
    let writer = Writer { documents, settings, names };
    let mut file = Table::new();
    let mut add = |key: &str, kind, table: &dyn Fn(&Document) -> Table| {
        let all: Vec<Toml> = documents.of(kind).map(|one| Toml::Table(table(one))).collect();
        if !all.is_empty() {
            file.insert(key.to_owned(), Toml::Array(all));
        }
    };
    add("load_balancer", DocumentKind::LoadBalancer, &|one| writer.load_balancer(one));
    add("pool", DocumentKind::Pool, &|one| writer.pool(one));
    add("ipgroup", DocumentKind::IpGroup, &|one| writer.ip_group(one));
    toml::to_string(&file).unwrap_or_default()
}

/// What can be served of it on a host with as much room as there can be, as a model.
pub fn model(documents: &Documents, settings: &ApiSettings) -> Model {
    let text = format!("{ROOMY}{}", text(documents, settings));
    let (config, _) = file::parse_lenient("store", &text);
    config.map(|config| config.model).unwrap_or_default()
}

/// The head of a file without which a store is no configuration: what fits into a host's maps is judged where its
/// own file is known.
const ROOMY: &str = "[agent]\ninterfaces = [\"lo\"]\nring_slots = 268435456\nmax_backends = 65535\n\
                     max_listeners = 65535\n";

/// Whether documents can be served with a file; what is wrong with the file alone does not count, as long as it can be
/// read with them.
pub fn check(path: PathBuf, settings: ApiSettings, file: Arc<RwLock<SourceText>>) -> ModelCheck {
    Box::new(move |documents: &Documents| {
        let source = file.read().unwrap_or_else(PoisonError::into_inner).clone();
        let source = source.with_store(&path, &text(documents, &settings));
        let (config, errors) = file::parse_source(&source, &Host::default());
        let mut errors = errors.iter().filter(|error| error.severity == Severity::Error);
        if config.is_none() {
            // Nothing of the store was looked at.
            let first = errors.next().map(said).unwrap_or_default();
            return Err(format!("the configuration file cannot be read: {first}"));
        }
        let name = path.display().to_string();
        let all: Vec<String> = errors.filter(|error| error.file == name).map(said).collect();
        if all.is_empty() { Ok(()) } else { Err(all.join("; ")) }
    })
}

fn said(error: &ConfigError) -> String {
    let ConfigError { object, what, fix, .. } = error;
    if object.is_empty() { format!("{what}; {fix}") } else { format!("{object}: {what}; {fix}") }
}

/// What resources are called in the file, where names are there once: names in the API need not be.
struct Names(HashMap<(DocumentKind, ResourceId), String>);

impl Names {
    fn of(documents: &Documents) -> Self {
        let mut names = HashMap::new();
        let kinds = [
            DocumentKind::LoadBalancer,
            DocumentKind::Listener,
            DocumentKind::Pool,
            DocumentKind::IpGroup,
        ];
        for kind in kinds {
            let mut count: HashMap<&str, u32> = HashMap::new();
            for one in documents.of(kind) {
                *count.entry(one.text("name")).or_default() += 1;
            }
            for one in documents.of(kind) {
                let name = one.text("name");
                let is_fit = name.parse::<Name>().is_ok() && count.get(name) == Some(&1);
                // A name may not be another one's id, which that one is called by, whether it is there or not.
                let is_id = name.parse::<ResourceId>().is_ok();
                let name = if is_fit && !is_id { name } else { &one.id.to_string() };
                names.insert((kind, one.id), name.to_owned());
            }
        }
        Self(names)
    }

    /// What a reference says in the file. One to what is not there is its id, which no name is, and so an error of the
    /// file: without the reference, an access list that is missing would let everyone in.
    fn referred(&self, kind: DocumentKind, reference: &str) -> String {
        let Ok(id) = reference.parse::<ResourceId>() else { return String::new() };
        self.0.get(&(kind, id)).cloned().unwrap_or_else(|| id.to_string())
    }
}

struct Writer<'a> {
    documents: &'a Documents,
    settings: &'a ApiSettings,
    names: Names,
}

impl Writer<'_> {
    fn named(&self, document: &Document) -> Table {
        let mut table = Table::new();
        if let Some(name) = self.names.0.get(&(document.kind, document.id)) {
            set(&mut table, "name", name.as_str());
        }
        set(&mut table, "id", document.id.to_string());
        table
    }

    fn load_balancer(&self, lb: &Document) -> Table {
        let mut table = self.named(lb);
        set(&mut table, "admin_state_up", lb.is_on("admin_state_up"));
        for key in ["vip_address", "ipv6_vip_address"] {
            copy(&mut table, lb, key);
        }
        set(&mut table, "announce", self.settings.announce.as_str());
        let listeners = self.documents.referring(DocumentKind::Listener, "loadbalancer_id", lb.id);
        let listeners =
            listeners.filter_map(|one| self.listener(lb, one)).map(Toml::Table).collect();
        set(&mut table, "listener", Toml::Array(listeners));
        table
    }

    /// A listener that has a pool.
    fn listener(&self, balancer: &Document, listener: &Document) -> Option<Table> {
        let pool = Some(listener.text("default_pool_id")).filter(|id| !id.is_empty())?;
        let of = pool.parse().ok().and_then(|id| self.documents.get(DocumentKind::Pool, id));
        let (cps, connection) = Flavor::limits(balancer, listener, of.map(|of| &**of));
        let pool = self.names.referred(DocumentKind::Pool, pool);
        let mut table = self.named(listener);
        set(&mut table, "default_pool", pool);
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
        if let Some(group) = self.access(listener) {
            set(&mut table, "ipgroup", group);
        }
        Some(table)
    }

    /// Whom a listener lets in; none: everyone.
    fn access(&self, listener: &Document) -> Option<Table> {
        let access = listener.body.get("ipgroup").filter(|access| !access.is_null())?;
        let group = access.get("ipgroup_id").and_then(Value::as_str).unwrap_or_default();
        let mut table = Table::new();
        set(&mut table, "ipgroup", self.names.referred(DocumentKind::IpGroup, group));
        for key in ["type", "enable_ipgroup"] {
            table.extend(access.get(key).and_then(toml_of).map(|value| (key.to_owned(), value)));
        }
        Some(table)
    }

    fn pool(&self, pool: &Document) -> Table {
        let mut table = self.named(pool);
        set(&mut table, "forwarding", self.settings.forwarding.as_str());
        let keys = ["protocol", "lb_algorithm", "any_port_enable", "pool_health"];
        for key in keys.into_iter().chain(["connection_drain", "quic_cid_hash_strategy"]) {
            copy(&mut table, pool, key);
        }
        if let Some(minutes) = minutes_of_persistence(pool) {
            let mut persistence = Table::new();
            set(&mut persistence, "timeout", minutes * 60);
            set(&mut table, "session_persistence", persistence);
        }
        let monitors = self.documents.referring(DocumentKind::HealthMonitor, "pool_id", pool.id);
        for monitor in monitors {
            set(&mut table, "healthmonitor", health_monitor(monitor));
        }
        let members = self.documents.referring(DocumentKind::Member, "pool_id", pool.id);
        let is_up = pool.is_on("admin_state_up");
        let members = members.map(|one| Toml::Table(member(one, is_up))).collect();
        set(&mut table, "member", Toml::Array(members));
        table
    }

    fn ip_group(&self, group: &Document) -> Table {
        let mut table = self.named(group);
        copy(&mut table, group, "ip_list");
        table.entry("ip_list".to_owned()).or_insert_with(|| Toml::Array(Vec::new()));
        table
    }
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

#[cfg(test)]
mod tests;
