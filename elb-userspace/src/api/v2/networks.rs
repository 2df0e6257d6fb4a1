//! Networks, subnets and ports: subnets are those that give addresses; all others are labels, and whatever is asked for
//! by its name or id is there.

use serde_json::{Value, json};

use super::list::ListQuery;
use crate::api::v3::face::{Fault, shortened};
use crate::model::ResourceId;
use crate::source::subnet::Subnet;

/// The answer to a request for one of them, or for those of a name.
pub(super) fn network(
    method: &str,
    collection: &str,
    id: Option<&str>,
    query: &ListQuery,
    subnets: &[Subnet],
) -> Result<Value, Fault> {
    if method != "GET" {
        let why = format!("{collection} of this host are not made or changed by the API");
        return Err(Fault::not_supported(why));
    }
    let key = collection.replace('-', "_");
    let id = id.map(decoded);
    let id = id.as_deref();
    let asked = id.or_else(|| query.first("id")).or_else(|| query.first("name"));
    let found: Vec<Value> = match (collection, asked) {
        ("subnets", asked) if !subnets.is_empty() => {
            let is_meant = |subnet: &&Subnet| asked.is_none_or(|asked| subnet.is_called(asked));
            subnets.iter().filter(is_meant).map(subnet).collect()
        }
        ("subnets" | "networks", Some(name)) => vec![label(name)],
        _ => Vec::new(),
    };
    match (id, found.first()) {
        (None, _) => Ok(json!({key: found})),
        (Some(_), Some(one)) => Ok(json!({key.trim_end_matches('s'): one})),
        (Some(id), None) => {
            let id = shortened(id);
            Err(Fault::no_such(format!("{collection} {id} could not be found.")))
        }
    }
}

/// A segment of a path as a client means it, however it is encoded.
pub(super) fn decoded(segment: &str) -> String {
    percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned()
}

fn subnet(subnet: &Subnet) -> Value {
    let id = subnet.id.to_string();
    json!({
        "id": id, "name": subnet.label(), "network_id": id, "cidr": subnet.cidr().to_string(),
        "ip_version": if subnet.is_v4() { 4 } else { 6 },
    })
}

fn label(name: &str) -> Value {
    let id = label_id(name);
    json!({"id": id, "name": name, "network_id": id, "subnets": []})
}

/// The id of a label: V3 wants UUIDs. That of a name is made of it, and is always the same.
fn label_id(name: &str) -> String {
    if let Ok(id) = name.parse::<ResourceId>() {
        return id.to_string();
    }
    let hash = ring::digest::digest(&ring::digest::SHA256, name.as_bytes());
    let first = hash.as_ref().first_chunk().copied().unwrap_or_default();
    uuid::Builder::from_random_bytes(first).into_uuid().to_string()
}
