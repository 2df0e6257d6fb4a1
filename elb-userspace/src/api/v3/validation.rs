//! Compares what comes and what goes with the models of the table, and names everything that is wrong at once.

use serde_json::Value;

use super::field::{Field, FieldType};
use super::table::TABLE;

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
    let mut found = Found { towards, unknown: Vec::new(), wrong: Vec::new() };
    found.object(model, value, "");
    let unknown = match &found.unknown[..] {
        [] => None,
        names => Some(format!("Unrecognized attribute(s) '{}'", names.join(", "))),
    };
    let all: Vec<String> = unknown.into_iter().chain(found.wrong).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

struct Found {
    towards: Towards,
    unknown: Vec<String>,
    wrong: Vec<String>,
}

impl Found {
    fn object(&mut self, model: &str, value: &Value, path: &str) {
        let Some(fields) = TABLE.models.get(model) else { return };
        let Some(object) = value.as_object() else {
            let name = if path.is_empty() { "the body" } else { path };
            return self.wrong.push(format!("{name} is {}, use an object", brief(value)));
        };
        for (name, value) in object {
            match fields.get(name) {
                None => self.unknown.push(name.clone()),
                Some(field) => self.field(field, value, &join(path, name)),
            }
        }
        let is_missing = |name: &str| match (object.get(name), self.towards) {
            (Some(value), Towards::Us) => value.is_null(),
            (Some(_), Towards::Client) => false,
            (None, _) => true,
        };
        let missing = fields.iter().filter(|(name, field)| field.is_required && is_missing(name));
        let missing: Vec<String> = missing
            .map(|(name, field)| format!("{} is missing, use {}", join(path, name), field.rule()))
            .collect();
        self.wrong.extend(missing);
    }

    fn field(&mut self, field: &Field, value: &Value, path: &str) {
        if value.is_null() {
            // Whether it may be taken away is the resource's matter.
            return;
        }
        let before = self.wrong.len();
        self.typed(&field.of, value, path, field);
        if self.towards == Towards::Us && self.wrong.len() == before && !allows(field, value) {
            self.is_not(path, value, field);
        }
    }

    fn typed(&mut self, of: &FieldType, value: &Value, path: &str, field: &Field) {
        let fits = match of {
            FieldType::Text => value.is_string(),
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
        self.wrong.push(format!("{path} is {}, use {}", brief(value), field.rule()));
    }
}

/// Whether a value of the right type is one of those that the table names.
fn allows(field: &Field, value: &Value) -> bool {
    match value {
        Value::String(text) => {
            let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
            (field.choices.is_empty() || field.choices.iter().any(|one| one == text))
                // An empty text stands for none in many places of the API.
                && (text.is_empty() || field.length.as_ref().is_none_or(|all| all.contains(&length)))
        }
        Value::Number(number) => {
            let text = number.to_string();
            let number = number.as_i64().unwrap_or(i64::MAX);
            (field.choices.is_empty() || field.choices.contains(&text))
                && (field.numbers.is_empty()
                    || field.numbers.iter().any(|range| range.contains(&number)))
        }
        Value::Array(entries) => {
            let length = i64::try_from(entries.len()).unwrap_or(i64::MAX);
            let fits = field.length.as_ref().is_none_or(|all| all.contains(&length));
            let plain = Field { length: None, ..field.clone() };
            fits && entries.iter().all(|entry| allows(&plain, entry))
        }
        Value::Null | Value::Bool(_) | Value::Object(_) => true,
    }
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A value as a message shows it.
fn brief(value: &Value) -> String {
    const MOST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
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
