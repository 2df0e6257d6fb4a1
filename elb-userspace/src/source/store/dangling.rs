//! What refers to something that is not there, for tests: nothing does, whatever was asked for.

use super::{Document, DocumentKind, Documents};

/// Each such reference: the document, and what it is called there.
pub fn dangling(documents: &Documents) -> Vec<String> {
    use DocumentKind::{HealthMonitor, IpGroup, Listener, LoadBalancer, LogTank, Member, Pool};
    let own = |key: &'static str| move |one: &Document| one.text(key).to_owned();
    let group = |one: &Document| {
        let group = one.body.get("ipgroup").and_then(|access| access.get("ipgroup_id")?.as_str());
        group.unwrap_or_default().to_owned()
    };
    let mut found = Vec::new();
    let mut look = |kind, to, is_needed: bool, reference: &dyn Fn(&Document) -> String| {
        for one in documents.of(kind) {
            let text = reference(one);
            let is_there = match text.parse() {
                Ok(id) => documents.get(to, id).is_some(),
                Err(_) => text.is_empty() && !is_needed,
            };
            if !is_there {
                found.push(format!("{kind} {}: {to} {text:?}", one.id));
            }
        }
    };
    look(Listener, LoadBalancer, true, &own("loadbalancer_id"));
    look(Listener, Pool, false, &own("default_pool_id"));
    look(Listener, IpGroup, false, &group);
    look(Pool, LoadBalancer, false, &own("loadbalancer_id"));
    look(Member, Pool, true, &own("pool_id"));
    look(HealthMonitor, Pool, true, &own("pool_id"));
    look(LogTank, LoadBalancer, true, &own("loadbalancer_id"));
    found
}
