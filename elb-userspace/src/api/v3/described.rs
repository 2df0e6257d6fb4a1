//! The resources of the API, and the description of it, as JSON Schemas, of the models that `data/elb_v3.json` has.

use schemars::Schema;
use serde_json::{Map, Value, json};

use super::field::FieldType;
use super::table::TABLE;

/// The operations that show a resource of each kind, in the order of the commands.
const SHOWN: [(&str, &str); 6] = [
    ("show_load_balancer", "loadbalancer"),
    ("show_listener", "listener"),
    ("show_pool", "pool"),
    ("show_member", "member"),
    ("show_health_monitor", "healthmonitor"),
    ("show_ip_group", "ipgroup"),
];

/// A resource of a kind.
pub fn resource_schema<const KIND: usize>() -> Schema {
    finished(of(KIND))
}

/// A list of them.
pub fn resources_schema<const KIND: usize>() -> Schema {
    finished(json!({"type": "array", "items": of(KIND)}))
}

/// The API itself: the whole of it has a schema of others, https://spec.openapis.org/oas/3.1/schema.
pub fn openapi_schema() -> Schema {
    let object = json!({"type": "object"});
    finished(json!({
        "type": "object",
        "properties": {
            "openapi": {"type": "string"}, "info": object, "paths": object, "components": object,
        },
        "required": ["openapi", "info", "paths", "components"],
    }))
}

fn finished(mut schema: Value) -> Schema {
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    Schema::try_from(schema).unwrap_or_default()
}

fn of(kind: usize) -> Value {
    let (operation, key) = SHOWN[kind];
    let operation = TABLE.operations.iter().find(|one| one.name == operation);
    let answer = operation.and_then(|operation| TABLE.models.get(&operation.response));
    let model = match answer.and_then(|answer| answer.get(key)).map(|field| &field.of) {
        Some(FieldType::Model(model)) => TABLE.models.get(model),
        _ => None,
    };
    let properties: Map<String, Value> = model
        .into_iter()
        .flatten()
        .map(|(name, field)| (name.clone(), json!({"type": [field.of.plain_name(), "null"]})))
        .collect();
    json!({"type": "object", "properties": properties, "required": ["id"]})
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_the_attributes_of_its_model() {
        for (kind, shown) in SHOWN.iter().enumerate() {
            let schema = of(kind);
            assert_eq!(schema["properties"]["id"]["type"][0], "string", "{shown:?}");
            assert!(schema["properties"].as_object().is_some_and(|all| all.len() > 5), "{schema}");
        }
        let balancer = resource_schema::<0>().to_value();
        assert_eq!(balancer["properties"]["listeners"]["type"][0], "array");
        assert_eq!(resources_schema::<3>().to_value()["items"]["required"], json!(["id"]));
    }
}
