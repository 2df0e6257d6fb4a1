//! Jobs: what was asked for under one name for all of it. Here it is done when the answer comes.

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::super::call::{Call, Reply};
use super::super::list;
use super::super::refusal::Refusal;
use super::super::resources::{self, View, Work};
use crate::model::ResourceId;
use crate::source::store::{Document, DocumentKind};

const KIND: DocumentKind = DocumentKind::Job;
/// Jobs of a project that are kept; the oldest are left out first.
const MOST: usize = 1000;

/// Notes a job that is done: its id. It is for `resource`, and made, or took away, the `entities`.
pub(super) fn done(
    work: &mut Work<'_, '_>,
    job_type: &str,
    resource: Option<ResourceId>,
    (kind, entities): (DocumentKind, &[ResourceId]),
) -> Result<ResourceId, Refusal> {
    let mut own: Vec<_> =
        work.documents().of(KIND).filter(|job| job.project == work.project).cloned().collect();
    own.sort_by_key(|job| job.first);
    let over = (own.len() + 1).saturating_sub(MOST);
    own.iter().take(over).for_each(|job| work.remove(job));
    let body = json!({
        "job_type": job_type,
        "resource_id": resource.map(|id| id.to_string()),
        "resource_type": kind.as_str(),
        "entities": entities.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    let id = work.next_id()?;
    work.make(KIND, resources::object(&body), std::collections::BTreeMap::new());
    Ok(id)
}

/// The answer to what a job stands for.
pub(super) fn reply(job: ResourceId, key: &str, value: Value) -> Reply {
    let mut reply = Reply::new(StatusCode::ACCEPTED, key, value);
    reply.body.insert("job_id".to_owned(), job.to_string().into());
    reply
}

pub(super) fn list(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    let since = call.query.first("begin_time").unwrap_or_default();
    let is_meant = |job: &&std::sync::Arc<Document>| {
        job.project == call.caller.project && job.created.as_str() >= since
    };
    let jobs = view.documents.of(KIND).filter(is_meant);
    let show = |job: &Document| {
        let mut shown = shown(job);
        // Which the pages are by.
        shown["id"] = job.id.to_string().into();
        shown
    };
    let items = jobs.map(|job| list::Item::new(job.id, || show(job)));
    let (mut page, info) = list::page(items, &call.query.without(&["begin_time"]))?;
    for job in page.iter_mut().filter_map(Value::as_object_mut) {
        job.remove("id");
    }
    let mut reply = Reply::new(StatusCode::OK, "jobs", page.into());
    reply.body.insert("page_info".to_owned(), info);
    Ok(reply)
}

pub(super) fn show(call: &Call, view: &View<'_>) -> Result<Reply, Refusal> {
    let job = view.get(&call.caller.project, KIND, call.parameter("job_id"))?;
    Ok(Reply::new(StatusCode::OK, "job", shown(&job)))
}

fn shown(job: &Document) -> Value {
    let (id, at) = (job.id.to_string(), job.created.as_str());
    let entities = job.body.get("entities").and_then(Value::as_array).cloned().unwrap_or_default();
    let own = |resource: &Value| {
        json!({
            "status": "SUCCESS", "job_id": id, "job_type": job.text("job_type"),
            "begin_time": at, "end_time": at, "project_id": job.project,
            "resource_id": resource, "error_code": null, "error_msg": null,
        })
    };
    let sub_jobs: Value = entities
        .iter()
        .map(|entity| {
            let mut sub_job = own(entity);
            let of = job.text("resource_type");
            sub_job["entities"] = json!([{"resource_id": entity, "resource_type": of}]);
            sub_job
        })
        .collect();
    let resource = job.body.get("resource_id").cloned().unwrap_or_default();
    let mut whole = own(&resource);
    whole["sub_jobs"] = sub_jobs;
    whole
}
