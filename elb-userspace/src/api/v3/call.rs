//! A request that was understood, and what is answered.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::authentication::Caller;
use super::key_file::KeyInUse;
use super::query::QueryPairs;
use super::refusal::Refusal;
use super::table::Operation;
use crate::source::store::{AuditRecord, Body};

/// A request for an operation.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) operation: &'static Operation,
    pub(super) parameters: BTreeMap<&'static str, String>,
    pub(super) query: QueryPairs,
    /// As the operation's model has it; empty if it takes none.
    pub(super) body: Body,
    /// The tags that a resource which is updated has from then on: version 2 gives them with the rest.
    pub(super) tags: Option<BTreeMap<String, String>>,
    pub(super) caller: Caller,
    /// What the caller may do this by; none on the agent's own socket.
    pub(super) key: Option<KeyInUse>,
    /// The id of the request.
    pub(super) request: String,
    /// UTC, to the second.
    pub(super) now: String,
}

/// What is answered.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    /// Nothing with status 204.
    pub(super) body: Body,
}

impl Call {
    /// Whether the caller may do this now, and not only when the request came.
    pub(super) fn may_still(&self) -> Result<(), Refusal> {
        self.key.as_ref().map_or(Ok(()), KeyInUse::is_valid)
    }

    /// A parameter of the path.
    pub(super) fn parameter(&self, name: &str) -> &str {
        self.parameters.get(name).map_or("", String::as_str)
    }

    /// The resource in the path, if there is one.
    pub(super) fn target(&self) -> Option<&str> {
        let last = self.operation.parameters().filter(|name| *name != "project_id").last()?;
        self.parameters.get(last).map(String::as_str)
    }

    /// The objects of a list of the body.
    pub(super) fn objects(&self, key: &str) -> Vec<Body> {
        let all = self.body.get(key).and_then(Value::as_array).into_iter().flatten();
        all.filter_map(Value::as_object).cloned().collect()
    }

    /// The texts of a list of the body.
    pub(super) fn texts(&self, key: &str) -> Vec<&str> {
        let all = self.body.get(key).and_then(Value::as_array).into_iter().flatten();
        all.filter_map(Value::as_str).collect()
    }

    /// The object under a key of the body, which validation has seen to be one.
    pub(super) fn object(&self, key: &str) -> Body {
        self.body.get(key).and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// What is written down of it.
    pub(super) fn record(&self, operation: &str, result: &Result<(), Refusal>) -> AuditRecord {
        AuditRecord {
            at: self.now.clone(),
            actor: self.caller.name.clone(),
            operation: operation.to_owned(),
            request: self.request.clone(),
            project: self.caller.project.clone(),
            result: result.as_ref().map_or_else(|why| why.code, |()| "ok").to_owned(),
            ..AuditRecord::default()
        }
    }
}

impl Reply {
    pub(super) fn new(status: StatusCode, key: &str, value: Value) -> Self {
        Self { status, body: Map::from_iter([(key.to_owned(), value)]) }
    }

    pub(super) fn nothing() -> Self {
        Self { status: StatusCode::NO_CONTENT, body: Body::new() }
    }
}
