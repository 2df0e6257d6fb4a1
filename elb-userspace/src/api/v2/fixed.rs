//! What version 2 has besides the resources, and is as it is on a host of one's own: one provider, the flavors of V3,
//! one zone.

use serde_json::{Value, json};

use super::list::ListQuery;
use super::networks::decoded;
use crate::api::v3::face::{Fault, ONE_FLAVOR, shortened};
use crate::source::store::{Body, FLAVORS};

/// A collection: the keys of one and of several, and what is in it.
struct Collection {
    one: &'static str,
    many: &'static str,
    items: Vec<Value>,
    /// Why nothing can be made, changed or deleted.
    reason: &'static str,
}

const L7: &str = "elb serves no HTTP or HTTPS listener yet";
const HOST: &str = "a host of one's own has what it has";

fn collection(name: &str) -> Option<Collection> {
    let of = |one, many, items, reason| Some(Collection { one, many, items, reason });
    match name {
        "l7policies" => of("l7policy", "l7policies", vec![], L7),
        "providers" => of("provider", "providers", vec![provider()], HOST),
        "flavors" => of("flavor", "flavors", flavors(), HOST),
        "flavorprofiles" => of("flavorprofile", "flavorprofiles", vec![], HOST),
        "availabilityzones" => of("availability_zone", "availability_zones", vec![zone()], HOST),
        "availabilityzoneprofiles" => {
            of("availability_zone_profile", "availability_zone_profiles", vec![], HOST)
        }
        "amphorae" => of("amphora", "amphorae", vec![], "elb runs on this host, without amphorae"),
        "whitelists" => {
            let reason = "use IP groups of the V3 API, in ipgroup of a listener";
            of("whitelist", "whitelists", vec![], reason)
        }
        _ => None,
    }
}

fn provider() -> Value {
    json!({"name": "vlb", "description": "elb on this host"})
}

fn flavors() -> Vec<Value> {
    let own = (ONE_FLAVOR, "host", "what this host has".to_owned());
    let figures = FLAVORS.iter().map(|one| {
        let said = format!("{} connections, {} new ones a second", one.connection, one.cps);
        (one.id, one.name, said)
    });
    let shown = |(id, name, description): (&str, &str, String)| {
        json!({
            "id": id, "name": name, "description": description, "enabled": true,
            "flavor_profile_id": null,
        })
    };
    [own].into_iter().chain(figures).map(shown).collect()
}

fn zone() -> Value {
    json!({
        "name": "host", "description": "this host", "enabled": true,
        "availability_zone_profile_id": null,
    })
}

/// The answer to a request for such a collection, or for one of it by its id or name.
pub(super) fn answer(
    method: &str,
    name: &str,
    id: Option<&str>,
    query: &ListQuery,
) -> Result<Value, Fault> {
    let Some(Collection { one, many, items, reason }) = collection(name) else {
        let name = shortened(name);
        return Err(Fault::no_such_path(format!("version 2 of the API has no {name}")));
    };
    // Whitelists would be there if V3 had made IP groups: they are not shown as none.
    if method != "GET" || name == "whitelists" {
        return Err(Fault::not_supported(format!("{method} of {many} is not supported: {reason}")));
    }
    let Some(id) = id else {
        let items: Vec<Body> = items.iter().filter_map(Value::as_object).cloned().collect();
        let like = items.first().cloned().unwrap_or_else(|| {
            let keys = ["id", "name", "description", "enabled", "loadbalancer_id", "listener_id"];
            keys.iter().map(|key| ((*key).to_owned(), Value::Null)).collect()
        });
        return query.page(many, &items, &like, "");
    };
    let id = decoded(id);
    let is_meant = |item: &&Value| item.get("id").or(item.get("name")) == Some(&json!(id));
    match items.iter().find(is_meant) {
        Some(item) => Ok(json!({one: item})),
        None => Err(Fault::no_such(format!("{one} {} could not be found.", shortened(&id)))),
    }
}

/// Quotas of V3, as both dialects have them.
pub(super) fn quota(v3: &Body) -> Body {
    let quota = v3.get("quota").and_then(Value::as_object).cloned().unwrap_or_default();
    let of = |key: &str| quota.get(key).cloned().unwrap_or_else(|| json!(0));
    let value = json!({
        "project_id": of("project_id"), "tenant_id": of("project_id"),
        "load_balancer": of("loadbalancer"), "loadbalancer": of("loadbalancer"),
        "listener": of("listener"), "pool": of("pool"), "member": of("member"),
        "health_monitor": of("healthmonitor"), "healthmonitor": of("healthmonitor"),
        "l7policy": of("l7policy"), "l7rule": 0,
    });
    value.as_object().cloned().unwrap_or_default()
}
