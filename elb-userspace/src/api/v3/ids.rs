//! Ids in the one spelling that documents have, whatever letters a client writes them in.

use serde_json::Value;

use crate::model::ResourceId;

/// Under which names a client says which resource it means, in paths, queries and bodies. Other ids, as of networks and
/// projects, are labels, and stay as they are.
const NAMES: &[&str] = &[
    "id",
    "loadbalancer_id",
    "loadbalancer_ids",
    "listener_id",
    "listener_ids",
    "pool_id",
    "default_pool_id",
    "pools",
    "member_id",
    "healthmonitor_id",
    "ipgroup_id",
    "security_policy_id",
    "logtank_id",
    "certificate_id",
    "certificates",
    "l7policy_id",
    "l7rule_id",
    "redirect_pool_id",
    "redirect_listener_id",
    "job_id",
    "resource_id",
    "flavor_id",
    "l4_flavor_id",
];

/// What was given under a name, as documents have it.
pub(super) fn as_kept(name: &str, given: String) -> String {
    let id = given.parse::<ResourceId>().ok().filter(|_| NAMES.contains(&name));
    id.map_or(given, |id| id.to_string())
}

/// The same for all that a value has in it.
pub(super) fn keep(name: &str, value: &mut Value) {
    match value {
        Value::String(text) => *text = as_kept(name, std::mem::take(text)),
        Value::Array(all) => all.iter_mut().for_each(|one| keep(name, one)),
        Value::Object(all) => all.iter_mut().for_each(|(key, one)| keep(key, one)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::table::TABLE;
    use super::*;

    const ID: &str = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b";

    #[test]
    fn ids_of_resources_are_brought_to_one_spelling_and_others_left_alone() {
        let upper = ID.to_uppercase();
        let mut given = json!({"pool": {
            "id": upper, "listener_id": ID.replace('-', ""), "name": upper, "vpc_id": upper,
            "members": [{"id": upper, "weight": 1}, {"id": "web"}],
            "tags": [{"key": "id", "value": upper}],
        }, "pools": [upper, "x"], "loadbalancer_ids": [upper]});
        keep("", &mut given);
        let kept = json!({"pool": {
            "id": ID, "listener_id": ID, "name": upper, "vpc_id": upper,
            "members": [{"id": ID, "weight": 1}, {"id": "web"}],
            "tags": [{"key": "id", "value": upper}],
        }, "pools": [ID, "x"], "loadbalancer_ids": [ID]});
        assert_eq!(given, kept);
    }

    /// Each resource that a path of the API names is one of them.
    #[test]
    fn every_parameter_of_a_path_is_an_id() {
        let none = ["project_id"];
        let all = TABLE.operations.iter().flat_map(|operation| &operation.path);
        for name in all.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
            assert!(NAMES.contains(&name) != none.contains(&name), "{name}");
        }
    }
}
