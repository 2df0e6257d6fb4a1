//! The API as an OpenAPI 3.1 document: made of the table that routes and validates, of the operations that are there,
//! and of the refusals that there are, so that none of them differs from what it says.

mod operation;
mod schema;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use self::operation::Refused;
use self::schema::Models;
use super::operations::Known;
use super::refusal::Refusal;
use super::table::{Operation, TABLE};
use crate::source::store::DocumentKind;

/// What is said of the whole.
const ABOUT: &str = "\
The Elastic Load Balance API, version 3, as elb serves it. Every request needs a key (`elb key create`): a token in \
`X-Auth-Token`, or a signature as the SDKs make it. Operations with `x-elb-supported: false` answer 403 with \
`ELB.8903` and change nothing; attributes with `x-elb-supported: false` are refused the same way, unless they ask \
for nothing (null, false, nothing in it). Unknown attributes and unknown keys of a query are refused by name. Lists \
have an OR within one key of the query, and an AND across keys.";

/// The document.
pub fn openapi_document() -> Value {
    let models = Models::of_table();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for operation in &TABLE.operations {
        let place = paths.entry(operation.path.join("/")).or_default();
        place.insert(operation.method.to_lowercase(), operation::described(operation, &models));
    }
    let projects = Map::from_iter([("get".to_owned(), operation::projects())]);
    paths.insert("/v3/projects".to_owned(), projects);
    let tags = TABLE.operations.iter().map(Operation::resource).chain(["projects"]);
    let tags: BTreeSet<&str> = tags.collect();
    let tags: Value = tags.into_iter().map(|name| json!({"name": name})).collect();
    json!({
        "openapi": "3.1.0",
        "info": {"title": "ELB V3 API of elb", "version": "3", "description": ABOUT},
        "servers": [{"url": "/"}],
        "security": [{"token": []}, {"signature": []}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas(&models),
            "responses": responses(),
            "headers": {"RequestId": {
                "description": "The id of the request, which an error's body has, too.",
                "schema": {"type": "string"},
            }},
            "securitySchemes": security(),
        },
    })
}

fn schemas(models: &Models) -> Value {
    let refused = refused_attributes();
    let mut all = models.schemas(&refused);
    let text = || json!({"type": "string"});
    all.insert(
        "Error".to_owned(),
        json!({
            "type": "object",
            "description": "Why a request is not done.",
            "properties": {"error_code": text(), "error_msg": text(), "request_id": text()},
            "required": ["error_code", "error_msg", "request_id"],
        }),
    );
    Value::Object(all)
}

/// The refusals, by their status: which codes there are with it.
fn responses() -> Value {
    let mut codes: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    for Refusal { status, code, .. } in Refusal::every() {
        codes.entry(status.as_u16()).or_default().push(code);
    }
    let one = |(status, codes): (u16, Vec<&str>)| {
        let what = Refused::of(status).map_or("", |refused| refused.meaning);
        let schema = json!({
            "allOf": [{"$ref": "#/components/schemas/Error"}],
            "properties": {"error_code": {"enum": codes}},
        });
        let described = json!({
            "description": format!("{what} ({})", codes.join(", ")),
            "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
            "content": {"application/json": {"schema": schema}},
        });
        (operation::name_of(status), described)
    };
    Value::Object(codes.into_iter().map(one).collect())
}

fn security() -> Value {
    json!({
        "token": {
            "type": "apiKey", "in": "header", "name": "X-Auth-Token",
            "description": "The token that `elb key create` prints once.",
        },
        "signature": {
            "type": "apiKey", "in": "header", "name": "Authorization",
            "description": "`SDK-HMAC-SHA256 Access=…, SignedHeaders=…, Signature=…`, as the SDKs make it with the \
                            access key and the secret of `elb key create`. `host` and `x-sdk-date` must be signed.",
        },
    })
}

/// Resources in bodies of operations on more than one of them: where each is, its kind, and what it has there besides.
const PARTS: &[(&str, &[&str], DocumentKind, &[&str])] = {
    use DocumentKind::{HealthMonitor, LoadBalancer, Member, Pool};
    &[
        ("batch_create_load_balancers", &["loadbalancer"], LoadBalancer, &["number"]),
        ("clone_loadbalancer", &["target_loadbalancer_param"], LoadBalancer, &["reuse_pool"]),
        ("batch_create_members", &["members"], Member, &[]),
        ("batch_update_members", &["members"], Member, &["id"]),
        ("create_master_slave_pool", &["pool"], Pool, &["members", "healthmonitor"]),
        ("create_master_slave_pool", &["pool", "members"], Member, &["role"]),
        ("create_master_slave_pool", &["pool", "healthmonitor"], HealthMonitor, &[]),
    ]
};

/// The attributes of bodies that this host refuses, by the model that has them.
fn refused_attributes() -> BTreeSet<(String, String)> {
    let mut refused = BTreeSet::new();
    for operation in &TABLE.operations {
        let kind = Known::find(&operation.name).ok().and_then(Known::settable);
        let alone = kind.map(|kind| (vec![super::resources::keys(kind).0], kind, [].as_slice()));
        let parts = PARTS.iter().filter(|(name, ..)| *name == operation.name);
        let parts = parts.map(|(_, path, kind, more)| (path.to_vec(), *kind, *more));
        for (path, kind, more) in alone.into_iter().chain(parts) {
            let Some(model) = model_at(operation, &path) else { continue };
            let fields = TABLE.models.get(model).into_iter().flatten();
            let is_refused = |name: &&String| {
                !super::resources::takes(kind, name) && !more.contains(&name.as_str())
            };
            let names = fields.map(|(name, _)| name).filter(is_refused);
            refused.extend(names.map(|name| (model.to_owned(), name.clone())));
        }
    }
    refused
}

/// The model that is somewhere in an operation's body.
fn model_at(operation: &Operation, path: &[&str]) -> Option<&'static str> {
    let body = TABLE.models.get_key_value(operation.body.as_ref()?)?.0.as_str();
    path.iter().try_fold(body, |model, key| TABLE.models.get(model)?.get(*key)?.of.model())
}

#[cfg(test)]
mod tests;
