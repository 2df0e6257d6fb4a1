//! Compares what comes and what goes with the models of the table, and names everything that is wrong at once.

use serde_json::Value;

use super::field::{Field, FieldType};
use super::table::TABLE;
use crate::source::store::SECRETS;

/// Which way a value goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Towards {
    /// From a client: which attributes must be there and which values they may have counts.
    Us,
    /// To a client, which must know every attribute by this type, and find those that are always there.
    Client,
}

/// What is wrong with a value; `None`: nothing.
pub(super) fn wrong(model: &str, value: &Value, towards: Towards) -> Option<String> {
    let mut found = Found { towards, unknown: Messages::default(), wrong: Messages::default() };
    found.object(model, value, "");
    let Found { unknown, wrong, .. } = found;
    let unknown = unknown.joined(", ").map(|names| format!("Unrecognized attribute(s) '{names}'"));
    let all: Vec<String> = unknown.into_iter().chain(wrong.joined("; ")).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// Messages about one request: the first ones, and how many more there were. A body may have many thousand errors.
#[derive(Default)]
pub(in crate::api) struct Messages {
    first: Vec<String>,
    all: usize,
}

impl Messages {
    /// So many are shown.
    const MOST: usize = 20;

    pub(in crate::api) fn push(&mut self, message: impl FnOnce() -> String) {
        self.all += 1;
        if self.first.len() < Self::MOST {
            self.first.push(message());
        }
    }

    /// All in one text; `None`: there is none.
    pub(in crate::api) fn joined(self, between: &str) -> Option<String> {
        let text = self.first.join(between);
        match self.all - self.first.len() {
            0 => (self.all > 0).then_some(text),
            more => Some(format!("{text}{between}and {more} more")),
        }
    }
}

struct Found {
    towards: Towards,
    unknown: Messages,
    wrong: Messages,
}

impl Found {
    fn object(&mut self, model: &str, value: &Value, path: &str) {
        let Some(fields) = TABLE.models.get(model) else { return };
        let Some(object) = value.as_object() else {
            let name = if path.is_empty() { "the body" } else { path };
            return self.wrong.push(|| format!("{name} is {}, use an object", quoted(name, value)));
        };
        for (name, value) in object {
            match fields.get(name) {
                None => self.unknown.push(|| shortened(name)),
                Some(field) => self.field(field, value, &join(path, name)),
            }
        }
        let is_missing = |name: &str| match (object.get(name), self.towards) {
            (Some(value), Towards::Us) => value.is_null(),
            (Some(_), Towards::Client) => false,
            (None, _) => true,
        };
        for (name, field) in fields {
            if field.is_required && is_missing(name) {
                let name = || join(path, name);
                self.wrong.push(|| format!("{} is missing, use {}", name(), field.rule()));
            }
        }
    }

    fn field(&mut self, field: &Field, value: &Value, path: &str) {
        if value.is_null() {
            // Whether it may be taken away is the resource's matter.
            return;
        }
        if self.towards == Towards::Us
            && let Some(entries) = value.as_array()
            && !field.bound().contains(&whole(entries.len()))
        {
            let count = entries.len();
            return self.wrong.push(|| format!("{path} has {count} entries, use {}", field.rule()));
        }
        let before = self.wrong.all;
        self.typed(&field.of, value, path, field);
        if self.towards == Towards::Us && self.wrong.all == before && !allows(field, value) {
            self.is_not(path, value, field);
        }
    }

    fn typed(&mut self, of: &FieldType, value: &Value, path: &str, field: &Field) {
        let fits = match of {
            FieldType::Text => {
                value.is_string()
                    || (field.is_number_in_text() && value.is_i64() && self.towards == Towards::Us)
            }
            FieldType::Number => value.is_i64(),
            FieldType::Flag => value.is_boolean(),
            FieldType::Model(model) => return self.object(model, value, path),
            FieldType::List(inner) => match value.as_array() {
                Some(entries) => {
                    for (n, entry) in entries.iter().enumerate() {
                        self.typed(inner, entry, &format!("{path}[{n}]"), field);
                    }
                    true
                }
                None => false,
            },
        };
        if !fits {
            self.is_not(path, value, field);
        }
    }

    fn is_not(&mut self, path: &str, value: &Value, field: &Field) {
        self.wrong.push(|| format!("{path} is {}, use {}", quoted(path, value), field.rule()));
    }
}

/// Whether a value of the right type is one of those that the table names.
fn allows(field: &Field, value: &Value) -> bool {
    match value {
        Value::String(text) => {
            let length = whole(text.chars().count());
            (field.choices.is_empty() || field.choices.iter().any(|one| one == text))
                // An empty text stands for none in many places of the API.
                && (text.is_empty() || field.bound().contains(&length))
        }
        Value::Number(number) => {
            let text = number.to_string();
            let number = number.as_i64().unwrap_or(i64::MAX);
            (field.choices.is_empty() || field.choices.contains(&text))
                && (field.numbers.is_empty()
                    || field.numbers.iter().any(|range| range.contains(&number)))
        }
        Value::Array(entries) => {
            let of = if let FieldType::List(inner) = &field.of { inner } else { &field.of };
            let plain = Field { of: of.clone(), length: None, ..field.clone() };
            entries.iter().all(|entry| allows(&plain, entry))
        }
        Value::Null | Value::Bool(_) | Value::Object(_) => true,
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A value as a message about the attribute at a path shows it: private keys are in none.
pub(super) fn quoted(path: &str, value: &Value) -> String {
    let name = path.rsplit('.').next().and_then(|name| name.split('[').next());
    if name.is_some_and(|name| SECRETS.contains(&name)) {
        "what is not shown".to_owned()
    } else {
        brief(value)
    }
}

/// A value as a message shows it.
pub(in crate::api) fn brief(value: &Value) -> String {
    shortened(&value.to_string())
}

/// The first characters of a text.
pub(in crate::api) fn shortened(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn all_that_is_wrong_is_named_at_once() {
        let body = json!({"loadbalancer": {
            "name": 5, "vip": "x", "availability_zone_list": ["a", 1], "more": {}, "waf_failure_action": "x",
            "description": "d".repeat(256), "tags": [{"key": "k", "valeu": "v"}],
        }});
        let said = wrong("CreateLoadBalancerRequestBody", &body, Towards::Us).unwrap();
        let begin = "Unrecognized attribute(s) 'more, valeu, vip'; ";
        assert!(said.starts_with(begin), "{said}");
        for one in [
            "loadbalancer.name is 5, use a string of 0 to 255 characters",
            "loadbalancer.availability_zone_list[1] is 1, use",
            "loadbalancer.waf_failure_action is \"x\", use discard or forward",
            "loadbalancer.description is \"ddd",
        ] {
            assert!(said.contains(one), "{one}: {said}");
        }
    }

    #[test]
    fn what_must_be_there_is_missed_and_null_is_nothing() {
        let said = |value| wrong("CreateLoadBalancerRequestBody", &value, Towards::Us);
        assert!(said(json!({})).unwrap().starts_with("loadbalancer is missing"));
        let zones = "loadbalancer.availability_zone_list is missing";
        assert!(said(json!({"loadbalancer": {}})).unwrap().contains(zones));
        let null = json!({"loadbalancer": {"availability_zone_list": null, "vip_address": null}});
        assert!(said(null).unwrap().starts_with(zones));
        assert_eq!(said(json!({"loadbalancer": {"availability_zone_list": []}})), None);
        assert!(said(json!([])).unwrap().starts_with("the body is [], use an object"));
    }

    /// However many errors a body has, and however long they are, the answer is short.
    #[test]
    fn messages_are_bounded() {
        let entries: Value = (0..1000).map(|n| json!({"ip": n, "x".repeat(1000): 1})).collect();
        let said = |list| {
            let body = json!({"ipgroup": {"ip_list": list}});
            wrong("CreateIpGroupRequestBody", &body, Towards::Us).unwrap()
        };
        let all = said(entries);
        for part in ["ip_list[0].ip is 0, use", "ip_list[19].ip is 19, use", "and 980 more"] {
            assert!(all.contains(part), "{part}: {all}");
        }
        assert!(!all.contains("ip_list[20]") && all.len() < 5000, "{} bytes", all.len());
        let many: Value = (0..1001).map(|_| json!(1)).collect();
        let all = said(many);
        assert!(all.starts_with("ipgroup.ip_list has 1001 entries, use a list"), "{all}");
        assert!(all.contains("of 0 to 1000 entries") && all.len() < 200, "{all}");
    }

    #[test]
    fn texts_and_lists_without_a_bound_in_the_table_have_one() {
        let said = |pool: Value| {
            let mut body = json!({"pool": {"protocol": "TCP", "lb_algorithm": "ROUND_ROBIN"}});
            body["pool"].as_object_mut().unwrap().extend(pool.as_object().cloned().unwrap());
            wrong("CreatePoolRequestBody", &body, Towards::Us)
        };
        for key in ["name", "description"] {
            assert_eq!(said(json!({key: "é".repeat(255)})), None);
            let all = said(json!({key: "é".repeat(256)})).unwrap();
            assert!(all.starts_with(&format!("pool.{key} is \"ééé")), "{all}");
            assert!(all.ends_with("use a string of 0 to 255 characters"), "{all}");
        }
        let zones = json!({"loadbalancer": {"availability_zone_list": ["z".repeat(256)]}});
        let all = wrong("CreateLoadBalancerRequestBody", &zones, Towards::Us).unwrap();
        assert!(all.starts_with("loadbalancer.availability_zone_list is [\"zzz"), "{all}");
    }

    #[test]
    fn answers_have_all_that_must_be_there_of_the_right_type() {
        let said = |reply| wrong("ShowMemberHealthCheckJobResponse", &reply, Towards::Client);
        assert_eq!(said(json!({"member_check": {"job_id": null, "status": "begun"}})), None);
        assert!(said(json!({"member_check": []})).is_some());
        let said = |reply| wrong("ShowHealthMonitorResponse", &reply, Towards::Client);
        let missing = "healthmonitor.pools is missing, use a list";
        assert!(said(json!({"healthmonitor": {"id": "x"}})).unwrap().contains(missing));
    }
}
