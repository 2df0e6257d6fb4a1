//! Lists: which resources a query asks for, and which page of them.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use serde_json::{Value, json};

use super::call::Reply;
use super::query::QueryPairs;
use super::refusal::Refusal;
use crate::model::ResourceId;

/// What a page has at the most, and where none is asked for.
const MOST: usize = 2000;

/// What items are filtered by, and which is not shown.
pub(super) const HIDDEN: &str = "hidden";

/// A resource that a page may have. It is shown where the page comes to it: a list may have thousands.
pub(super) struct Item<S> {
    /// None where no marker can name it.
    id: Option<ResourceId>,
    show: S,
}

impl<S: FnOnce() -> Value> Item<S> {
    /// A resource, and how it is shown.
    pub(super) const fn new(id: ResourceId, show: S) -> Self {
        Self { id: Some(id), show }
    }
}

/// Items of a list that is short.
pub(super) fn shown(
    all: Vec<Value>,
) -> impl DoubleEndedIterator<Item = Item<impl FnOnce() -> Value>> {
    all.into_iter().map(|value| {
        let id = value.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
        Item { id, show: move || value }
    })
}

/// The answer with a page of a list.
pub(super) fn reply<S: FnOnce() -> Value>(
    key: &str,
    items: impl DoubleEndedIterator<Item = Item<S>>,
    query: &QueryPairs,
) -> Result<Reply, Refusal> {
    let (mut page, info) = page(items, query)?;
    for item in page.iter_mut().filter_map(Value::as_object_mut) {
        item.remove(HIDDEN);
    }
    let mut reply = Reply::new(StatusCode::OK, key, Value::Array(page));
    reply.body.insert("page_info".to_owned(), info);
    Ok(reply)
}

/// A page of a list, and its `page_info`. The items are in the order of their ids.
pub(super) fn page<S: FnOnce() -> Value>(
    items: impl DoubleEndedIterator<Item = Item<S>>,
    query: &QueryPairs,
) -> Result<(Vec<Value>, Value), Refusal> {
    let limit = query.first("limit").and_then(|text| text.parse().ok());
    for key in ["marker", "page_reverse"] {
        if query.first(key).is_some() && limit.is_none() {
            return Err(Refusal::invalid(format!("query {key} needs limit")));
        }
    }
    let (limit, marker) = (limit.unwrap_or(MOST), query.first("marker"));
    let (page, is_followed) = if query.first("page_reverse") == Some("true") {
        let mut page = chosen(items.rev(), marker, query)?.take(limit).collect::<Vec<_>>();
        page.reverse();
        // Behind a page before the marker, the marker itself comes.
        (page, marker.is_some())
    } else {
        let mut all = chosen(items, marker, query)?;
        let page = all.by_ref().take(limit).collect::<Vec<_>>();
        (page, all.next().is_some())
    };
    let id = |item: Option<&Value>| item.and_then(|item| item.get("id").cloned());
    let mut info = json!({
        "current_count": page.len(),
        "previous_marker": id(page.first()),
    });
    if let (true, Some(next), Some(info)) = (is_followed, id(page.last()), info.as_object_mut()) {
        info.insert("next_marker".to_owned(), next);
    }
    Ok((page, info))
}

/// Those behind the marker that a query asks for.
fn chosen<S: FnOnce() -> Value>(
    mut items: impl Iterator<Item = Item<S>>,
    marker: Option<&str>,
    query: &QueryPairs,
) -> Result<impl Iterator<Item = Value>, Refusal> {
    if let Some(text) = marker {
        let id = text.parse::<ResourceId>().ok();
        let is_there = id.is_some() && items.any(|item| item.id == id);
        if !is_there {
            let why = format!("query marker {text:?} is the id of no such resource");
            return Err(Refusal::invalid(why));
        }
    }
    let filters = filters(query);
    let fits = move |item: &Value| filters.iter().all(|(key, values)| matches(item, key, values));
    Ok(items.map(|item| (item.show)()).filter(fits))
}

/// The keys that choose among resources.
fn filters(query: &QueryPairs) -> Vec<(&str, BTreeSet<&str>)> {
    // There is no recycle bin that could be left out.
    const OTHERS: [&str; 4] = ["limit", "marker", "page_reverse", "include_recycle_bin"];
    let all = query.by_key().into_iter().filter(|(key, _)| !OTHERS.contains(key));
    all.map(|(key, values)| (key, values.into_iter().collect())).collect()
}

/// Whether a resource has one of the values.
fn matches(item: &Value, key: &str, values: &BTreeSet<&str>) -> bool {
    found(item, key).iter().any(|one| values.contains(&**one))
}

/// The values that a resource has for a key of a query.
fn found(item: &Value, key: &str) -> Vec<String> {
    let inner = |path: &[&str]| {
        let value = path.iter().try_fold(item, |value, key| value.get(key));
        value.map(texts).unwrap_or_default()
    };
    let ids = |list: &str| -> Vec<String> {
        let all = item.get(list).and_then(Value::as_array).into_iter().flatten();
        all.filter_map(|one| one.get("id")).flat_map(texts).collect()
    };
    match key {
        "loadbalancer_id" => [ids("loadbalancers"), inner(&["loadbalancer_id"])].concat(),
        "listener_id" => ids("listeners"),
        "pool_id" => [ids("pools"), inner(&["pool_id"])].concat(),
        "ip_list" => {
            let all = item.get("ip_list").and_then(Value::as_array).into_iter().flatten();
            all.filter_map(|entry| entry.get("ip")).flat_map(texts).collect()
        }
        "connection_drain" => match inner(&["connection_drain", "enable"]) {
            known if known.is_empty() => vec!["false".to_owned()],
            known => known,
        },
        "pool_health" => inner(&["pool_health", "minimum_healthy_member_count"])
            .into_iter()
            .map(|count| format!("minimum_healthy_member_count={count}"))
            .collect(),
        "quic_cid_len" => inner(&["quic_cid_hash_strategy", "len"]),
        "quic_cid_offset" => inner(&["quic_cid_hash_strategy", "offset"]),
        "ip_version" if item.get("vip_address").is_some() => {
            let versions = [("vip_address", "4"), ("ipv6_vip_address", "6")];
            let has = |key: &str| {
                item.get(key).and_then(Value::as_str).is_some_and(|text| !text.is_empty())
            };
            versions.iter().filter(|(key, _)| has(key)).map(|(_, one)| (*one).to_owned()).collect()
        }
        key => [inner(&[key]), inner(&[HIDDEN, key])].concat(),
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Bool(_) | Value::Number(_) => vec![value.to_string()],
        Value::Array(all) => all.iter().flat_map(texts).collect(),
        Value::Null | Value::Object(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::route::route;
    use super::*;

    fn id(n: u64) -> String {
        format!("00000000-0000-4000-8000-{n:012}")
    }

    fn items(count: u64) -> Vec<Value> {
        (1..=count).map(|n| json!({"id": id(n), "name": format!("lb-{}", n % 3), "n": n})).collect()
    }

    fn ask(items: Vec<Value>, raw: &str) -> Result<(Vec<u64>, Value), String> {
        let routed = route("GET", "/v3/p/elb/loadbalancers").unwrap();
        let query = QueryPairs::read(raw, routed.operation).map_err(|why| why.message)?;
        let (page, info) = page(shown(items), &query).map_err(|why| why.message)?;
        let numbers = page.iter().map(|item| item["n"].as_u64().unwrap());
        Ok((numbers.collect(), info))
    }

    proptest! {
        /// Page after page, forwards and back, every resource that fits comes once and in order.
        #[test]
        fn pages_hold_everything_once(count in 0_u64..40, limit in 1_usize..9) {
            let wanted: Vec<u64> = (1..=count).filter(|n| n % 3 != 0).collect();
            let filter = format!("limit={limit}&name=lb-1&name=lb-2");
            let (mut all, mut next) = (Vec::new(), None);
            loop {
                let marker = next.take().map_or(String::new(), |id: String| format!("&marker={id}"));
                let (numbers, info) = ask(items(count), &format!("{filter}{marker}")).unwrap();
                all.extend(numbers);
                match info["next_marker"].as_str() {
                    Some(id) => next = Some(id.to_owned()),
                    None => break,
                }
            }
            prop_assert_eq!(&all, &wanted);
            let mut back = Vec::new();
            let mut marker = wanted.last().map(|n| id(*n));
            while let Some(at) = marker.take() {
                let raw = format!("{filter}&marker={at}&page_reverse=true");
                let (numbers, info) = ask(items(count), &raw).unwrap();
                back.splice(0..0, numbers);
                marker = info["previous_marker"].as_str().map(str::to_owned);
            }
            prop_assert_eq!(back.as_slice(), &wanted[..wanted.len().saturating_sub(1)]);
        }
    }

    #[test]
    fn markers_need_a_limit_and_exist() {
        assert!(ask(items(3), &format!("marker={}", id(1))).unwrap_err().contains("needs limit"));
        assert!(ask(items(3), "limit=1&marker=").unwrap_err().contains("no such resource"));
        assert!(ask(items(3), &format!("limit=1&marker={}", id(9))).is_err());
        assert_eq!(ask(items(3), "").unwrap().0, [1, 2, 3]);
        let (_, info) = ask(items(3), "limit=3").unwrap();
        assert!(info.get("next_marker").is_none() && info["current_count"] == 3);
    }

    #[test]
    fn values_are_found_where_they_are() {
        let item = json!({
            "loadbalancers": [{"id": "a"}], "vip_address": "10.0.0.1", "ipv6_vip_address": null,
            "ip_list": [{"ip": "10.0.0.0/8"}], "admin_state_up": true, "eips": [],
            "availability_zone_list": ["x", "y"], "pool_health": {"minimum_healthy_member_count": 1},
        });
        for (key, value, fits) in [
            ("loadbalancer_id", "a", true),
            ("loadbalancer_id", "b", false),
            ("ip_version", "4", true),
            ("ip_version", "6", false),
            ("ip_list", "10.0.0.0/8", true),
            ("admin_state_up", "true", true),
            ("availability_zone_list", "y", true),
            ("eips", "eip_address=1.2.3.4", false),
            ("connection_drain", "false", true),
            ("pool_health", "minimum_healthy_member_count=1", true),
        ] {
            assert_eq!(matches(&item, key, &BTreeSet::from([value])), fits, "{key} {value}");
        }
    }
}
