//! What a forwarding policy may have: which attributes go with which action, and what each may say.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde_json::Value;

use super::super::super::resources::{object, text};
use super::super::super::validation::{Messages, shortened};
use super::rule;
use crate::source::store::Body;

const TO_POOL: &str = "REDIRECT_TO_POOL";
const TO_LISTENER: &str = "REDIRECT_TO_LISTENER";
const TO_URL: &str = "REDIRECT_TO_URL";
const RESPONSE: &str = "FIXED_RESPONSE";

/// The actions that an attribute goes with, where it does not go with all.
const OF_ACTIONS: [(&str, &[&str]); 8] = [
    ("redirect_pool_id", &[TO_POOL]),
    ("redirect_pools_config", &[TO_POOL]),
    ("redirect_pools_sticky_session_config", &[TO_POOL]),
    ("redirect_pools_extend_config", &[TO_POOL]),
    ("redirect_listener_id", &[TO_LISTENER]),
    ("redirect_url_config", &[TO_URL]),
    ("fixed_response_config", &[RESPONSE]),
    ("rules", &[TO_POOL, TO_URL, RESPONSE]),
];

/// One of these has to be there with an action.
const NEEDED: [(&str, &[&str]); 4] = [
    (TO_POOL, &["redirect_pool_id", "redirect_pools_config"]),
    (TO_LISTENER, &["redirect_listener_id"]),
    (TO_URL, &["redirect_url_config"]),
    (RESPONSE, &["fixed_response_config"]),
];

/// Characters of a body that is answered.
const MOST_OF_BODY: usize = 1024;

/// A new policy.
pub(super) fn judge(given: &Body, wrong: &mut Messages) {
    let action = text(given, "action");
    for (name, actions) in OF_ACTIONS {
        if is_there(given, name) && !actions.contains(&action) {
            let actions = actions.join(" or ");
            wrong.push(|| {
                format!("l7policy.{name} is for action {actions}, and action is {action}")
            });
        }
    }
    for (_, names) in NEEDED.iter().filter(|(of, _)| *of == action) {
        match names.iter().filter(|name| is_there(given, name)).count() {
            1 => {}
            0 => wrong
                .push(|| format!("action {action} needs l7policy.{}", names.join(" or l7policy."))),
            _ => wrong.push(|| {
                format!("l7policy.{} are both there, use one", names.join(" and l7policy."))
            }),
        }
    }
    if given.get("priority").and_then(Value::as_i64) == Some(0) && action != TO_LISTENER {
        wrong.push(|| format!("l7policy.priority is 0, use 1 to 10000 with action {action}"));
    }
    judge_parts(given, wrong);
}

/// What does not depend on the action.
pub(super) fn judge_parts(given: &Body, wrong: &mut Messages) {
    if !text(given, "redirect_url").is_empty() {
        wrong.push(|| "l7policy.redirect_url has no effect, use redirect_url_config".to_owned());
    }
    let pools: Vec<Body> = objects(given.get("redirect_pools_config"));
    let ids: BTreeSet<&str> = pools.iter().map(|one| text(one, "pool_id")).collect();
    if ids.len() < pools.len() {
        wrong.push(|| "l7policy.redirect_pools_config has a pool twice".to_owned());
    }
    for pool in &pools {
        judge_number(pool, "weight", "l7policy.redirect_pools_config", &[0..=100], wrong);
    }
    let part = |name: &str| given.get(name).filter(|part| part.is_object()).map(object);
    if let Some(url) = part("redirect_url_config") {
        judge_url(
            &url,
            "l7policy.redirect_url_config",
            &["protocol", "host", "port", "path", "query"],
            wrong,
        );
        judge_headers(&url, "l7policy.redirect_url_config", wrong);
    }
    if let Some(response) = part("fixed_response_config") {
        judge_response(&response, wrong);
    }
    if let Some(more) = part("redirect_pools_extend_config") {
        judge_more(&more, wrong);
    }
    rule::judge_all(&objects(given.get("rules")), wrong);
}

/// A number that may be written as a text.
fn judge_number(
    part: &Body,
    name: &str,
    path: &str,
    ranges: &[RangeInclusive<u32>],
    wrong: &mut Messages,
) {
    let written = text(part, name);
    let fits = |number: u32| ranges.iter().any(|range| range.contains(&number));
    if !written.is_empty() && !written.parse().is_ok_and(fits) {
        let all: Vec<String> =
            ranges.iter().map(|one| format!("{} to {}", one.start(), one.end())).collect();
        let written = shortened(written);
        wrong.push(|| format!("{path}.{name} is {written:?}, use {}", all.join(" or ")));
    }
}

/// Where a client is sent, or what a member is asked for: something else than what the client asked for.
fn judge_url(url: &Body, path: &str, parts: &[&str], wrong: &mut Messages) {
    let is_same = |part: &str| {
        let text = text(url, part);
        text.is_empty() || text == format!("${{{part}}}")
    };
    if parts.iter().all(|part| is_same(part)) {
        let parts = parts.join(", ");
        wrong.push(|| format!("{path} is what was asked for, use another one of {parts}"));
    }
    for part in parts.iter().filter(|part| !is_same(part)) {
        let text = text(url, part);
        if let Some(rule) = rule_of(part, text) {
            wrong.push(|| format!("{path}.{part} is {:?}, {rule}", shortened(text)));
        }
    }
}

/// The rule that a part of a URL breaks.
fn rule_of(part: &str, text: &str) -> Option<&'static str> {
    const PARTS: [&str; 5] = ["protocol", "host", "port", "path", "query"];
    let is_known = |rest: &str| {
        let name = rest.split_once('}').map(|(name, _)| name);
        name.is_some_and(|name| PARTS.contains(&name))
    };
    if !text.split("${").skip(1).all(is_known) {
        return Some("use ${protocol}, ${host}, ${port}, ${path} or ${query} as a variable");
    }
    let is_printed = text.chars().all(|one| one.is_ascii_graphic());
    let has_variable = text.contains("${");
    match part {
        "port" if !text.parse().is_ok_and(|port: u16| port > 0) => {
            Some("use 1 to 65535 or ${port}")
        }
        "path" if !(text.starts_with('/') && is_printed) => Some("use one that begins with /"),
        "host" if !has_variable && rule::host(text).is_err() => Some("use the name of a host"),
        "host" | "query" if !is_printed => Some("use ASCII without spaces"),
        _ => None,
    }
}

fn judge_response(response: &Body, wrong: &mut Messages) {
    let path = "l7policy.fixed_response_config";
    judge_number(response, "status_code", path, &[200..=299, 400..=599], wrong);
    let body = text(response, "message_body");
    let count = body.chars().count();
    if count > MOST_OF_BODY {
        wrong.push(|| {
            format!("{path}.message_body has {count} characters, of at most {MOST_OF_BODY}")
        });
    }
    if body.contains('\r') {
        wrong.push(|| format!("{path}.message_body has a carriage return, use none"));
    }
    judge_headers(response, path, wrong);
    judge_limit(response, path, wrong);
}

fn judge_more(more: &Body, wrong: &mut Messages) {
    let path = "l7policy.redirect_pools_extend_config";
    let url = more.get("rewrite_url_config").filter(|url| url.is_object()).map(object);
    match (more.get("rewrite_url_enable").and_then(Value::as_bool), url) {
        (Some(true), None) => {
            wrong.push(|| format!("{path}.rewrite_url_enable needs rewrite_url_config"));
        }
        (_, Some(url)) => {
            let path = format!("{path}.rewrite_url_config");
            judge_url(&url, &path, &["host", "path", "query"], wrong);
        }
        (_, None) => {}
    }
    judge_headers(more, path, wrong);
    judge_limit(more, path, wrong);
}

/// Names of headers that are put in or taken out: each once.
fn judge_headers(part: &Body, path: &str, wrong: &mut Messages) {
    for name in ["insert_headers_config", "remove_headers_config"] {
        let configs = objects(part.get(name).and_then(|part| part.get("configs")));
        let mut seen = BTreeSet::new();
        for key in configs.iter().map(|one| text(one, "key")) {
            if !rule::is_header(key) {
                let key = shortened(key);
                wrong.push(|| {
                    format!("{path}.{name} has the key {key:?}, use letters, digits, - and _")
                });
            }
            if !seen.insert(key.to_ascii_lowercase()) {
                let key = shortened(key);
                wrong.push(|| format!("{path}.{name} has the key {key:?} twice"));
            }
        }
    }
}

fn judge_limit(part: &Body, path: &str, wrong: &mut Messages) {
    let Some(limit) = part.get("traffic_limit_config") else { return };
    let number = |key: &str| limit.get(key).and_then(Value::as_i64).unwrap_or(0);
    let (all, each) = (number("qps"), number("per_source_ip_qps"));
    if all > 0 && each > all {
        wrong.push(|| {
            format!("{path}.traffic_limit_config.per_source_ip_qps is {each}, and qps is {all}")
        });
    }
}

fn objects(list: Option<&Value>) -> Vec<Body> {
    let all = list.and_then(Value::as_array).into_iter().flatten();
    all.filter_map(Value::as_object).cloned().collect()
}

/// Whether an attribute says something.
fn is_there(given: &Body, name: &str) -> bool {
    match given.get(name) {
        Some(Value::String(text)) => !text.is_empty(),
        Some(Value::Array(all)) => !all.is_empty(),
        Some(Value::Object(_) | Value::Bool(_) | Value::Number(_)) => true,
        Some(Value::Null) | None => false,
    }
}
