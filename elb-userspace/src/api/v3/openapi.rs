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

/// The attributes of bodies that this host refuses, by the model that has them.
fn refused_attributes() -> BTreeSet<(String, String)> {
    let mut refused = BTreeSet::new();
    for operation in &TABLE.operations {
        let Ok(known) = Known::find(&operation.name) else { continue };
        let Some((model, kind)) = known.settable().and_then(|kind| settable(operation, kind))
        else {
            continue;
        };
        let fields = TABLE.models.get(&model).into_iter().flatten();
        refused.extend(
            fields
                .filter(|(name, _)| !super::resources::takes(kind, name))
                .map(|(name, _)| (model.clone(), name.clone())),
        );
    }
    refused
}

/// The model of the resource in an operation's body.
fn settable(operation: &Operation, kind: DocumentKind) -> Option<(String, DocumentKind)> {
    let (key, _) = super::resources::keys(kind);
    let field = TABLE.models.get(operation.body.as_ref()?)?.get(key)?;
    Some((field.of.model()?.to_owned(), kind))
}

#[cfg(test)]
mod tests;
