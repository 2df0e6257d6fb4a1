//! Log tanks: where the access log of a load balancer's HTTP listeners would go.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::Work;
use super::attributes::{Attributes, begin, text};
use crate::source::store::{Body, Document, DocumentKind};

const KIND: DocumentKind = DocumentKind::LogTank;

pub(super) fn attributes() -> Attributes {
    let kept = json!({"loadbalancer_id": "", "log_group_id": "", "log_topic_id": ""});
    Attributes { kept, idle: json!({}) }
}

pub(super) fn create(work: &mut Work<'_, '_>, given: &Body) -> Result<(), Refusal> {
    let body = attributes().accept(given)?;
    let lb = work.get(DocumentKind::LoadBalancer, text(&body, "loadbalancer_id"))?;
    if let Some(other) = work.referring(KIND, "loadbalancer_id", lb.id).first() {
        let why = format!("loadbalancer {} has the logtank {}", lb.id, other.id);
        return Err(Refusal::conflict(why));
    }
    judge(&body)?;
    work.make(KIND, body, BTreeMap::new());
    Ok(())
}

pub(super) fn update(work: &mut Work<'_, '_>, old: &Document, given: &Body) -> Result<(), Refusal> {
    let body = attributes().amend(old, given)?;
    judge(&body)?;
    work.change(old, body);
    Ok(())
}

fn judge(body: &Body) -> Result<(), Refusal> {
    for key in ["log_group_id", "log_topic_id"] {
        if text(body, key).is_empty() {
            return Err(Refusal::invalid(format!("{key} is empty, use the id of one")));
        }
    }
    Ok(())
}

pub(super) fn show(tank: &Document) -> Value {
    let mut all = begin(tank);
    all.remove("created_at");
    all.remove("updated_at");
    Value::Object(all)
}
