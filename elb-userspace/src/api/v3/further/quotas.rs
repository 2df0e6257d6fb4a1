//! How much there may be of everything on this host, and how much there is.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::call::{Call, Reply};
use super::super::refusal::Refusal;
use super::super::resources::{Quotas, View};

pub(super) fn show(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    let all = Quotas::all(view.host.limits);
    let mut quota: serde_json::Map<String, Value> =
        all.into_iter().map(|(key, limit, _)| (key.to_owned(), limit.into())).collect();
    quota.insert("project_id".to_owned(), call.caller.project.clone().into());
    Ok(Reply::new(StatusCode::OK, "quota", Value::Object(quota)))
}

/// With what is used: on this host, of all projects, since that is what the limits are for.
pub(super) fn details(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    let wanted = call.query.all("quota_key");
    let all = Quotas::all(view.host.limits).into_iter();
    let quotas: Value = all
        .filter(|(key, ..)| wanted.is_empty() || wanted.contains(key))
        .map(|(key, limit, kind)| {
            let used = kind.map_or(0, |kind| Quotas::used(view.documents, kind));
            json!({"quota_key": key, "quota_limit": limit, "used": used, "unit": "count"})
        })
        .collect();
    Ok(Reply::new(StatusCode::OK, "quotas", quotas))
}
