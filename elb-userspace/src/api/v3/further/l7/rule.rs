//! What a forwarding rule may compare a request with.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::super::super::resources::{judge_name, text};
use super::super::super::validation::{Messages, shortened};
use crate::source::store::Body;

/// Values of all rules of one policy.
const MOST: usize = 10;
/// Characters of a value, of the name of a header, and of other keys.
const MOST_OF_VALUE: usize = 128;
const MOST_OF_HEADER: usize = 40;
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"];
/// Of these, a policy has one rule.
const SINGLE: [&str; 4] = ["HOST_NAME", "PATH", "METHOD", "SOURCE_IP"];
/// These compare what is under a key.
const KEYED: [&str; 3] = ["HEADER", "QUERY_STRING", "COOKIE"];

/// The rules of one policy.
pub(super) fn judge_all(rules: &[Body], wrong: &mut Messages) {
    let mut counts = BTreeMap::<&str, usize>::new();
    for (n, rule) in rules.iter().enumerate() {
        judge(rule, &format!("l7policy.rules[{n}]"), wrong);
        *counts.entry(text(rule, "type")).or_default() += 1;
    }
    for (kind, count) in counts {
        if count > 1 && SINGLE.contains(&kind) {
            wrong.push(|| format!("l7policy.rules has {count} of type {kind}, use one"));
        }
    }
    let count: usize = rules.iter().map(|rule| conditions(rule).len()).sum();
    if count > MOST {
        wrong.push(|| format!("l7policy.rules has {count} conditions, of at most {MOST}"));
    }
}

/// One rule, which is called by its path.
pub(super) fn judge(rule: &Body, path: &str, wrong: &mut Messages) {
    let (kind, compare) = (text(rule, "type"), text(rule, "compare_type"));
    if kind != "PATH" && compare != "EQUAL_TO" {
        wrong.push(|| format!("{path}.compare_type is {compare}, use EQUAL_TO with type {kind}"));
    }
    if rule.get("invert").and_then(Value::as_bool) == Some(true) {
        wrong.push(|| format!("{path}.invert is true, use false"));
    }
    let conditions = conditions(rule);
    let keys: BTreeSet<&str> = conditions.iter().map(|(key, _)| *key).collect();
    let values: BTreeSet<&str> = conditions.iter().map(|(_, value)| *value).collect();
    if keys.len() > 1 {
        wrong.push(|| format!("{path}.conditions have several keys, use one"));
    }
    if values.len() < conditions.len() {
        wrong.push(|| format!("{path}.conditions have a value twice"));
    }
    for key in keys {
        if let Some(rule) = rule_of_key(kind, key) {
            wrong.push(|| format!("{path}.key is {:?}, {rule}", shortened(key)));
        }
    }
    for value in values {
        if let Some(rule) = rule_of_value(kind, compare, value) {
            wrong.push(|| {
                format!("{path}.value is {:?}, {rule} with type {kind}", shortened(value))
            });
        }
    }
}

/// Keys and values: those of the conditions, where there are some.
fn conditions(rule: &Body) -> Vec<(&str, &str)> {
    let all = rule.get("conditions").and_then(Value::as_array).into_iter().flatten();
    let all: Vec<_> = all
        .filter_map(Value::as_object)
        .map(|one| (text(one, "key"), text(one, "value")))
        .collect();
    if all.is_empty() { vec![(text(rule, "key"), text(rule, "value"))] } else { all }
}

fn rule_of_key(kind: &str, key: &str) -> Option<&'static str> {
    if !KEYED.contains(&kind) {
        return (!key.is_empty()).then_some("use none but with HEADER, QUERY_STRING and COOKIE");
    }
    match kind {
        "HEADER" if !is_header(key) => Some("use 1 to 40 letters, digits, - and _"),
        _ if key.is_empty() || !is_short(key) => Some("use 1 to 128 characters of ASCII"),
        _ => None,
    }
}

fn rule_of_value(kind: &str, compare: &str, value: &str) -> Option<&'static str> {
    if value.is_empty() || !is_short(value) {
        return Some("use 1 to 128 characters of ASCII");
    }
    match kind {
        "HOST_NAME" if host(value).is_err() => Some("use a name, or *. before one"),
        "PATH" if compare != "REGEX" && !value.starts_with('/') => {
            Some("use one that begins with /")
        }
        "METHOD" if !METHODS.contains(&value) => {
            Some("use GET, POST, PUT, DELETE, PATCH, HEAD or OPTIONS")
        }
        "SOURCE_IP" if !is_network(value) => Some("use an address or a network"),
        _ => None,
    }
}

fn is_network(value: &str) -> bool {
    value.parse::<IpNet>().is_ok() || value.parse::<IpAddr>().is_ok()
}

fn is_short(text: &str) -> bool {
    text.len() <= MOST_OF_VALUE && text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// Whether a text may be the name of a header here.
pub(super) fn is_header(key: &str) -> bool {
    (1..=MOST_OF_HEADER).contains(&key.len())
        && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}

/// The name of a host, or of all below one.
pub(super) fn host(name: &str) -> Result<(), ()> {
    judge_name("value", name).map_err(drop)
}
