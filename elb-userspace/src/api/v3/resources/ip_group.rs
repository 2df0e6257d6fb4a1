//! IP groups: networks that listeners let in, or keep out.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::super::refusal::Refusal;
use super::attributes::{Attributes, begin, object, references};
use super::{View, Work};
use crate::model::IpGroup;
use crate::model::ipgroup::{Cidr, Description};
use crate::source::store::{Body, Document, DocumentKind};

const KIND: DocumentKind = DocumentKind::IpGroup;

pub(super) fn attributes() -> Attributes {
    Attributes {
        kept: json!({"name": "", "description": "", "ip_list": [], "enterprise_project_id": "0"}),
        idle: json!({}),
    }
}

pub(super) fn create(work: &mut Work<'_, '_>, given: &Body) -> Result<(), Refusal> {
    if work.documents().of(KIND).count() >= IpGroup::MOST {
        return Err(Refusal::quota(format!("there are {} IP groups", IpGroup::MOST)));
    }
    let mut body = attributes().accept(given)?;
    judge(&mut body)?;
    work.make(KIND, body, std::collections::BTreeMap::new());
    Ok(())
}

pub(super) fn update(work: &mut Work<'_, '_>, old: &Document, given: &Body) -> Result<(), Refusal> {
    let mut body = attributes().amend(old, given)?;
    judge(&mut body)?;
    work.change(old, body);
    Ok(())
}

/// Adds entries, or changes the descriptions of those that are there.
pub(in crate::api::v3) fn merge_list(
    work: &mut Work<'_, '_>,
    old: &Document,
    given: &Body,
) -> Result<(), Refusal> {
    let mut given = given.clone();
    if let Some(Value::Array(new)) = given.get("ip_list") {
        let changed = networks(new);
        let kept = entries(&old.body).iter().filter(|entry| !is_one_of(entry, &changed));
        let list: Vec<Value> = kept.chain(new).cloned().collect();
        given.insert("ip_list".to_owned(), Value::Array(list));
    }
    update(work, old, &given)
}

/// Takes entries away.
pub(in crate::api::v3) fn remove_from_list(
    work: &mut Work<'_, '_>,
    old: &Document,
    given: &Body,
) -> Result<(), Refusal> {
    let gone = networks(entries(given));
    let list = entries(&old.body).iter().filter(|entry| !is_one_of(entry, &gone));
    let list: Vec<&Value> = list.collect();
    let given = object(&json!({"ip_list": list}));
    update(work, old, &given)
}

fn entries(body: &Body) -> &[Value] {
    body.get("ip_list").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn network(entry: &Value) -> Option<Cidr> {
    entry.get("ip")?.as_str()?.parse().ok()
}

fn networks(entries: &[Value]) -> BTreeSet<Cidr> {
    entries.iter().filter_map(network).collect()
}

fn is_one_of(entry: &Value, all: &BTreeSet<Cidr>) -> bool {
    network(entry).is_some_and(|network| all.contains(&network))
}

/// There are not too many entries; every one is a network, is there once, and has a description.
fn judge(body: &mut Body) -> Result<(), Refusal> {
    let given = entries(body);
    // Before anything else is done with them: the thread that writes waits for it.
    if given.len() > IpGroup::MOST_NETWORKS {
        let why = format!("ip_list has {} entries, of {}", given.len(), IpGroup::MOST_NETWORKS);
        return Err(Refusal::quota(why));
    }
    let (mut list, mut seen) = (Vec::new(), BTreeSet::new());
    for entry in given {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let (ip, description) = (text("ip"), text("description"));
        let wrong = |why: String| Refusal::invalid(format!("ip_list: {why}"));
        let network = ip.parse::<Cidr>().map_err(|why| {
            let is_range = ip.contains('-') && !ip.contains('/');
            let why = why.to_string();
            if is_range { Refusal::not_supported(why) } else { wrong(why) }
        })?;
        description.parse::<Description>().map_err(|why| wrong(why.to_string()))?;
        if !seen.insert(network) {
            return Err(wrong(format!("{ip} is there twice")));
        }
        list.push(json!({"ip": ip, "description": description}));
    }
    body.insert("ip_list".to_owned(), Value::Array(list));
    Ok(())
}

pub(super) fn may_go(work: &mut Work<'_, '_>, old: &Document) -> Result<(), Refusal> {
    match work.referring(DocumentKind::Listener, "ipgroup", old.id).first() {
        None => Ok(()),
        Some(listener) => {
            let why = format!("listener {} is using this ipgroup: change it first", listener.id);
            Err(Refusal::conflict(why))
        }
    }
}

pub(super) fn show(view: &View<'_>, group: &Document) -> Value {
    let mut all = begin(group);
    all.insert("listeners".to_owned(), listeners(view, group));
    Value::Object(all)
}

pub(super) fn listeners(view: &View<'_>, group: &Document) -> Value {
    references(view.listeners_of_group(group.id))
}
