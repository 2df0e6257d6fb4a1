//! What was asked of the store (`elb audit -o json`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::source::store::{AuditQuery, AuditRecord, Body, NumberedRecord};

/// Which records are wanted; `None` is any.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRequest {
    /// Those since a time: RFC 3339, UTC, to the second.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub since: Option<String>,
    /// Those of an operation, as in `createPool`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub operation: Option<String>,
    /// Those of a resource: its id, or its name before or after.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub resource: Option<String>,
}

/// A call that changed something, or was refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditLine {
    /// The number of the record: it rises by one with each.
    pub number: i64,
    /// RFC 3339, UTC.
    pub time: String,
    /// The name of the key; `local:` and the user's name, on the agent's own socket.
    pub actor: String,
    /// What was asked for, as the cloud's audit names it: `createPool`.
    pub operation: String,
    /// The id of the request, which its answer had, too.
    pub request_id: String,
    /// Whose resource it is.
    pub project_id: String,
    /// The resource, where one is known.
    pub resource_id: Option<String>,
    /// `ok`, or the code of the error.
    pub result: String,
    /// The resource as it was; none: it was not there.
    pub before: Option<Body>,
    /// The resource as it is then; none: it is gone, or was not changed.
    pub after: Option<Body>,
}

/// The same for the store.
pub fn query(request: AuditRequest) -> AuditQuery {
    let AuditRequest { since, operation, resource } = request;
    AuditQuery { since, operation, resource }
}

/// A record as it is printed.
pub fn line((number, record): NumberedRecord) -> AuditLine {
    let AuditRecord { at, actor, operation, request, project, id, before, after, result } = record;
    AuditLine {
        number,
        time: at,
        actor,
        operation,
        request_id: request,
        project_id: project,
        resource_id: id,
        result,
        before,
        after,
    }
}
