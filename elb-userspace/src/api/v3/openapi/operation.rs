//! An operation as the document describes it.

use serde_json::{Map, Value, json};

use super::schema::{Models, plain, reference};
use crate::api::v3::operations::Known;
use crate::api::v3::query;
use crate::api::v3::table::{Operation, TABLE};
use crate::api::v3::validation::Towards;

/// What refusals of one status are about.
pub(super) struct Refused {
    status: u16,
    name: &'static str,
    pub(super) meaning: &'static str,
    /// Of operations that are there only.
    only_there: bool,
    /// Of operations that change something only.
    only_changes: bool,
}

const REFUSED: &[Refused] = &[
    refused(400, "Invalid", "Something in it is not valid; the message names all of it.").there(),
    refused(401, "Unauthenticated", "It is not known who asks."),
    refused(403, "Refused", "Not to be had on this host, or not for this key."),
    refused(404, "NotFound", "There is no such resource in the project, or no such path.").there(),
    refused(409, "Conflict", "Another resource, a protection or a quota is in the way.")
        .there()
        .changes(),
    refused(413, "TooLarge", "The body has too many bytes."),
    refused(429, "TooMany", "More requests than are taken in this time.").changes(),
    refused(500, "Failed", "The agent, and not the request, is at fault."),
    refused(
        503,
        "Unavailable",
        "This host has nothing to answer from; the message says what is to be put right.",
    )
    .there(),
];

const fn refused(status: u16, name: &'static str, meaning: &'static str) -> Refused {
    Refused { status, name, meaning, only_there: false, only_changes: false }
}

impl Refused {
    const fn there(self) -> Self {
        Self { only_there: true, ..self }
    }

    const fn changes(self) -> Self {
        Self { only_changes: true, ..self }
    }

    pub(super) fn of(status: u16) -> Option<&'static Self> {
        REFUSED.iter().find(|one| one.status == status)
    }
}

/// What the refusals of a status are called among the responses.
pub(super) fn name_of(status: u16) -> String {
    Refused::of(status).map_or_else(|| format!("Status{status}"), |one| one.name.to_owned())
}

pub(super) fn described(operation: &Operation, models: &Models) -> Value {
    let is_there = Known::is_there(&operation.name);
    let mut described = json!({
        "operationId": operation.name,
        "summary": summary(&operation.name),
        "tags": [operation.resource()],
        "parameters": parameters(operation),
        "responses": responses(operation, models, is_there),
        "x-elb-supported": is_there,
    });
    if !is_there {
        described["description"] =
            "This host does not support it: it answers 403 with `ELB.8903`.".into();
    }
    if let Some(body) = &operation.body {
        let needs_any =
            TABLE.models.get(body).is_some_and(|model| model.values().any(|one| one.is_required));
        let schema = reference(&models.name(body, Towards::Us));
        described["requestBody"] =
            json!({"required": needs_any, "content": {"application/json": {"schema": schema}}});
    }
    described
}

/// The projects of a caller, which clients ask for that do not know theirs.
pub(super) fn projects() -> Value {
    let project = json!({
        "type": "object",
        "properties": {
            "id": {"type": "string"}, "name": {"type": "string"}, "enabled": {"type": "boolean"},
        },
        "required": ["id", "name", "enabled"],
    });
    let shown = json!({
        "type": "object",
        "properties": {
            "projects": {"type": "array", "items": project}, "request_id": {"type": "string"},
        },
        "required": ["projects", "request_id"],
    });
    let name = json!({
        "name": "name", "in": "query", "required": false, "schema": {"type": "string"},
        "description": "What the project is to be called in the answer.",
    });
    let mut responses = refusals(false, false);
    responses.insert("200".to_owned(), answer("The project of the key.", &shown));
    json!({
        "operationId": "list_projects",
        "summary": "List projects",
        "tags": ["projects"],
        "parameters": [name],
        "responses": responses,
        "x-elb-supported": true,
    })
}

fn summary(name: &str) -> String {
    let words = name.replace("i_ps", "IPs").replace('_', " ");
    let mut characters = words.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + characters.as_str()
}

fn parameters(operation: &Operation) -> Vec<Value> {
    let path = operation.parameters().map(|name| {
        let mut parameter = json!({
            "name": name, "in": "path", "required": true,
            "schema": {"type": "string", "minLength": 1},
        });
        if name == "project_id" {
            parameter["description"] = "The project of the key.".into();
        }
        parameter
    });
    let query = operation.query.iter().map(|(name, field)| {
        let rules = query::rules(field, name);
        let one = plain(&rules.of, Some(&rules));
        let schema = if field.is_list() { json!({"type": "array", "items": one}) } else { one };
        json!({"name": name, "in": "query", "required": false, "schema": schema})
    });
    path.chain(query).collect()
}

fn responses(operation: &Operation, models: &Models, is_there: bool) -> Map<String, Value> {
    let mut all = refusals(is_there, operation.method != "GET");
    if let Some(status) = operation.status.filter(|_| is_there) {
        let described = match status.as_u16() {
            204 => json!({
                "description": "Done.",
                "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
            }),
            _ => answer("Done.", &reference(&models.name(&operation.response, Towards::Client))),
        };
        all.insert(status.as_str().to_owned(), described);
    }
    all
}

fn refusals(is_there: bool, changes: bool) -> Map<String, Value> {
    let fits = |one: &&Refused| (is_there || !one.only_there) && (changes || !one.only_changes);
    let reference = |one: &Refused| {
        let place = format!("#/components/responses/{}", one.name);
        (one.status.to_string(), json!({"$ref": place}))
    };
    REFUSED.iter().filter(fits).map(reference).collect()
}

fn answer(description: &str, schema: &Value) -> Value {
    json!({
        "description": description,
        "headers": {"X-Request-Id": {"$ref": "#/components/headers/RequestId"}},
        "content": {"application/json": {"schema": schema}},
    })
}
