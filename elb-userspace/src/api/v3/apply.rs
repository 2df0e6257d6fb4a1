//! The whole of a store brought to what a file says, in one transaction: ids stay, and what the file has no word for
//! stays as it is.

mod gone;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use self::gone::WantedIds;
use super::refusal::Refusal;
use super::resources::{self, HostState, Work};
use crate::api::shape::apply::{AppliedAction, AppliedChange, ChangedAttribute};
use crate::model::Model;
use crate::source::api::ApiSettings;
use crate::source::store::{
    AuditRecord, Body, Document, DocumentKind, Documents, Transaction, WantedDocument, text, wanted,
};

/// Who applies a file, and when.
#[derive(Clone, Debug)]
pub struct Applicant {
    /// As audit records name it.
    pub actor: String,
    /// Whose resources those are that are new.
    pub project: String,
    /// The id of the request.
    pub request: String,
    /// UTC, to the second.
    pub now: String,
}

/// What a file changes, and what is to be written down of it.
pub struct Applied {
    /// In the order of their kinds.
    pub changes: Vec<AppliedChange>,
    /// One for each of them.
    pub records: Vec<AuditRecord>,
}

/// A document as it was, if it was there, and as the file wants it.
type Step = (Option<Document>, Option<Document>);

/// Brings the documents of a transaction to what a model says.
///
/// # Errors
/// The API has no word for something in it, or what came of it could not be served.
pub fn apply(
    transaction: &mut Transaction<'_>,
    settings: &ApiSettings,
    model: &Model,
    by: &Applicant,
) -> Result<Applied, String> {
    let documents = transaction.documents();
    let steps = steps(documents, settings, model, by)?;
    let removed = steps.iter().filter(|(_, now)| now.is_none()).filter_map(|(one, _)| one.as_ref());
    let above: BTreeSet<_> = removed.flat_map(|one| gone::above(documents, one)).collect();
    for step in &steps {
        match step {
            (_, Some(now)) => transaction.put(now.clone()),
            (Some(before), None) => transaction.remove(before.kind, before.id),
            (None, None) => {}
        }
    }
    // What is gone has no revision: until the maps know, those above it are not as they should be.
    for id in above {
        if let Some(one) = transaction.documents().get(DocumentKind::LoadBalancer, id).cloned() {
            transaction.put((*one).clone());
        }
    }
    for (before, now) in &steps {
        if let Some(now) = now {
            judge(transaction, before.as_ref(), now, by).map_err(|why| why.message)?;
        }
    }
    for now in steps.iter().filter_map(|(_, now)| now.as_ref()) {
        gone::clash(transaction.documents(), now)?;
    }
    transaction.check_now()?;
    let now = |step: &Step| {
        let (kind, id) = step.1.as_ref().map(|one| (one.kind, one.id))?;
        transaction.documents().get(kind, id).map(|one| one.body.clone())
    };
    let changes = steps.iter().map(|step| change(step, now(step).as_ref())).collect();
    let records = steps.iter().map(|step| record(step, now(step), by)).collect();
    Ok(Applied { changes, records })
}

/// What there is to do, those first that others refer to.
fn steps(
    documents: &Documents,
    settings: &ApiSettings,
    model: &Model,
    by: &Applicant,
) -> Result<Vec<Step>, String> {
    let no_word = |odd: Vec<String>| {
        format!(
            "the API has no word for some of it: {}; leave that out, or keep the file",
            odd.join("; ")
        )
    };
    let all = wanted(model, settings, documents).map_err(no_word)?;
    // What the API made, it has words for.
    let before = wanted(&text::model(documents, settings), settings, documents).map_err(no_word)?;
    let before: HashMap<_, _> =
        before.into_iter().map(|one| ((one.kind, one.id), one.given)).collect();
    let (raised, users) = (raised_pools(documents, &all), users(&all));
    let wanted_ids: WantedIds = all.iter().map(|one| (one.kind, one.id)).collect();
    let mut projects: HashMap<String, String> = HashMap::new();
    let mut steps = Vec::new();
    for one in &all {
        let old = documents.get(one.kind, one.id).map(|old| (**old).clone());
        let is_raised =
            one.given.get("pool_id").and_then(Value::as_str).is_some_and(|id| raised.contains(id));
        // What it was in the file's own terms: only what is other now is taken from it.
        let given = before.get(&(one.kind, one.id)).filter(|_| !is_raised);
        let parent =
            ["loadbalancer_id", "pool_id"].iter().find_map(|key| one.given.get(*key)?.as_str());
        let project = parent.and_then(|parent| projects.get(parent)).unwrap_or(&by.project);
        let mut now = document(one, old.as_ref(), given, (project, by))?;
        if one.kind == DocumentKind::Pool {
            let id = one.id.to_string();
            place(&mut now.body, users.get(&*id), &wanted_ids);
            if raised.contains(&id) {
                now.body.insert("admin_state_up".to_owned(), true.into());
            }
        }
        projects.insert(one.id.to_string(), now.project.clone());
        if old.as_ref().is_none_or(|old| old.body != now.body) {
            now.updated.clone_from(&by.now);
            steps.push((old, Some(now)));
        }
    }
    steps.extend(gone::gone(documents, &wanted_ids).into_iter().map(|one| (Some(one), None)));
    for (before, now) in &steps {
        let parts = before.iter().chain(now);
        let mut refused = parts.filter_map(|one| gone::pair(documents, &wanted_ids, one));
        let protected = before.as_ref().and_then(|before| {
            let place = |one: &Document| one.text("pool_id").to_owned();
            let stays = now.as_ref().is_some_and(|now| place(now) == place(before));
            gone::protection(documents, before).filter(|_| !stays)
        });
        let modified = gone::modification(documents, before.as_ref(), now.as_ref());
        if let Some(why) = refused.next().or(protected).or(modified) {
            return Err(why);
        }
    }
    Ok(steps)
}

/// A document with what the file gives it.
fn document(
    wanted: &WantedDocument,
    old: Option<&Document>,
    before: Option<&Body>,
    (project, by): (&str, &Applicant),
) -> Result<Document, String> {
    let Some(old) = old else {
        let body = resources::blank(wanted.kind, &wanted.given).map_err(|why| why.message)?;
        let (created, updated) = (by.now.clone(), by.now.clone());
        let (kind, id, project) = (wanted.kind, wanted.id, project.to_owned());
        let tags = BTreeMap::new();
        return Ok(Document {
            kind,
            id,
            project,
            body,
            tags,
            created,
            updated,
            first: 0,
            revision: 0,
        });
    };
    let mut now = old.clone();
    for (key, value) in &wanted.given {
        if before.and_then(|before| before.get(key)) != Some(value) {
            now.body.insert(key.clone(), value.clone());
        }
    }
    Ok(now)
}

/// Pools that are down and have members with a weight in the file: a file knows only weights.
fn raised_pools(documents: &Documents, all: &[WantedDocument]) -> BTreeSet<String> {
    let has_weight = |one: &&WantedDocument| {
        one.kind == DocumentKind::Member
            && one.given.get("weight").and_then(Value::as_i64) != Some(0)
    };
    let pools = all.iter().filter(has_weight).filter_map(|one| one.given.get("pool_id")?.as_str());
    let is_down = |id: &&str| {
        let pool = id.parse().ok().and_then(|id| documents.get(DocumentKind::Pool, id));
        pool.is_some_and(|pool| !pool.is_on("admin_state_up"))
    };
    pools.filter(is_down).map(str::to_owned).collect()
}

/// The load balancers whose listeners each pool serves.
fn users(all: &[WantedDocument]) -> HashMap<&str, BTreeSet<&str>> {
    let mut users: HashMap<_, BTreeSet<_>> = HashMap::new();
    for one in all {
        let text = |key: &str| one.given.get(key).and_then(Value::as_str);
        if let (Some(pool), Some(balancer)) = (text("default_pool_id"), text("loadbalancer_id")) {
            users.entry(pool).or_default().insert(balancer);
        }
    }
    users
}

/// A pool is of the load balancer whose listeners it serves, and of none if it serves several, or if its own goes.
fn place(body: &mut Body, users: Option<&BTreeSet<&str>>, wanted: &WantedIds) {
    let text = |key: &str| resources::text(body, key).to_owned();
    let (own, has_type) = (text("loadbalancer_id"), !text("type").is_empty());
    let own_stays = own.parse().is_ok_and(|id| wanted.contains(&(DocumentKind::LoadBalancer, id)));
    let mut users = users.into_iter().flatten();
    let of = match (users.next(), users.next()) {
        (None, _) if own_stays => own,
        (Some(one), None) if !has_type || !own.is_empty() => (*one).to_owned(),
        (None | Some(_), _) => String::new(),
    };
    if of.is_empty() && !has_type {
        body.insert("type".to_owned(), "ip".into());
    }
    let of = if of.is_empty() { Value::Null } else { of.into() };
    body.insert("loadbalancer_id".to_owned(), of);
}

/// Lets the API judge what is new or other, where its rules are more than those of the file.
fn judge(
    transaction: &mut Transaction<'_>,
    before: Option<&Document>,
    now: &Document,
    by: &Applicant,
) -> Result<(), Refusal> {
    // The file's rules are the same for members, of which there may be very many.
    if now.kind == DocumentKind::Member {
        return Ok(());
    }
    let is_other = |(key, value): &(&String, &Value)| {
        before.is_none_or(|before| before.body.get(*key) != Some(*value)) && !value.is_null()
    };
    let given = now.body.iter().filter(is_other);
    let given = given.map(|(key, value)| (key.clone(), value.clone())).collect();
    let (project, id) = (&*now.project, now.id);
    // What there is room for is judged with the whole, as the file's rules have it.
    let host = HostState::unbounded();
    let mut work = Work { transaction, project, now: &by.now, id, pool: None, host };
    resources::update(&mut work, now, &given)
}

fn change((before, now): &Step, after: Option<&Body>) -> AppliedChange {
    let one = before.as_ref().or(now.as_ref());
    let action = match (before, now) {
        (None, _) => AppliedAction::Add,
        (Some(_), Some(_)) => AppliedAction::Change,
        (Some(_), None) => AppliedAction::Remove,
    };
    let attributes = match (before, after) {
        (Some(before), Some(after)) => after
            .iter()
            .filter(|(key, value)| before.body.get(*key) != Some(*value))
            .map(|(key, value)| ChangedAttribute {
                name: key.clone(),
                before: before.body.get(key).cloned().unwrap_or_default(),
                after: value.clone(),
            })
            .collect(),
        _ => Vec::new(),
    };
    AppliedChange {
        kind: one.map(|one| one.kind.as_str().to_owned()).unwrap_or_default(),
        id: one.map(|one| one.id.to_string()).unwrap_or_default(),
        name: one.map(|one| called(one).to_owned()).unwrap_or_default(),
        action,
        attributes,
    }
}

/// What people know a resource by.
fn called(document: &Document) -> &str {
    let (name, address) = (document.text("name"), document.text("address"));
    if name.is_empty() { address } else { name }
}

fn record((before, now): &Step, after: Option<Body>, by: &Applicant) -> AuditRecord {
    let one = before.as_ref().or(now.as_ref());
    let verb = match (before, now) {
        (None, _) => "create",
        (Some(_), Some(_)) => "update",
        (Some(_), None) => "delete",
    };
    let kind = match one.map(|one| one.kind) {
        Some(DocumentKind::LoadBalancer) => "Loadbalancer",
        Some(DocumentKind::Listener) => "Listener",
        Some(DocumentKind::Pool) => "Pool",
        Some(DocumentKind::Member) => "Member",
        Some(DocumentKind::HealthMonitor) => "HealthMonitor",
        Some(DocumentKind::IpGroup) => "Ipgroup",
        Some(DocumentKind::LogTank) => "Logtank",
        Some(
            DocumentKind::Job
            | DocumentKind::SecurityPolicy
            | DocumentKind::Certificate
            | DocumentKind::ProjectSettings,
        )
        | None => "",
    };
    AuditRecord {
        at: by.now.clone(),
        actor: by.actor.clone(),
        // As the cloud's audit has it.
        operation: format!("{verb}{kind}").replace("updatePool", "updatPool"),
        request: by.request.clone(),
        project: one.map(|one| one.project.clone()).unwrap_or_default(),
        id: one.map(|one| one.id.to_string()),
        before: before.as_ref().map(|one| one.body.clone()),
        after,
        result: "ok".to_owned(),
    }
}

#[cfg(test)]
mod tests;
