//! What becomes of the attributes that a client gives: kept, of no effect here, or refused by name.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::field::Field;
use super::super::refusal::Refusal;
use super::super::validation::quoted;
use crate::source::store::{Body, Document};

/// What a kind of resource does with its attributes.
pub(super) struct Attributes {
    /// Those that are kept, each with what it is if it is not given.
    pub(super) kept: Value,
    /// Those that are not kept, each with the one value that describes what happens here anyway.
    pub(super) idle: Value,
}

impl Attributes {
    /// A new resource of what was given: null stands for not given.
    pub(super) fn accept(&self, given: &Body) -> Result<Body, Refusal> {
        self.refuse(given)?;
        let mut body = object(&self.kept);
        for (key, value) in given.iter().filter(|(_, value)| !value.is_null()) {
            if let Some(place) = body.get_mut(key) {
                bounded(key, value)?;
                *place = value.clone();
            }
        }
        Ok(body)
    }

    /// A resource changed by what was given: null takes away what need not be there.
    pub(super) fn amend(&self, old: &Document, given: &Body) -> Result<Body, Refusal> {
        self.refuse(given)?;
        let defaults = object(&self.kept);
        let mut body = old.body.clone();
        for (key, value) in given {
            let Some(default) = defaults.get(key) else { continue };
            if value.is_null() && !default.is_null() {
                return Err(Refusal::invalid(format!("{key} is null, and must have a value")));
            }
            bounded(key, value)?;
            body.insert(key.clone(), value.clone());
        }
        Ok(body)
    }

    /// Whether it has an attribute: one that is kept, or may be given as what it is anyway.
    pub(super) fn takes(&self, attribute: &str) -> bool {
        self.keeps(attribute) || self.idle.get(attribute).is_some()
    }

    fn keeps(&self, attribute: &str) -> bool {
        // Whose it is follows from the path, and tags are kept by themselves.
        self.kept.get(attribute).is_some() || ["project_id", "tags"].contains(&attribute)
    }

    /// Names everything that is given and cannot be had here.
    fn refuse(&self, given: &Body) -> Result<(), Refusal> {
        let is_refused = |(key, value): &(&String, &Value)| {
            !self.keeps(key) && !is_nothing(value) && self.idle.get(key.as_str()) != Some(*value)
        };
        let refused: Vec<String> = given
            .iter()
            .filter(is_refused)
            .map(|(key, value)| format!("{key} = {}", quoted(key, value)))
            .collect();
        if refused.is_empty() {
            return Ok(());
        }
        Err(Refusal::not_supported(format!("this host does not support {}", refused.join(", "))))
    }
}

/// What the table bounds is judged when a request is read; nothing is kept without a bound, also of copies, which have
/// names of their own.
fn bounded(key: &str, value: &Value) -> Result<(), Refusal> {
    let (text, entries) = (value.as_str(), value.as_array());
    let characters = text.map_or(0, |text| text.chars().count());
    let most = most_characters(key);
    if characters > most {
        let value = quoted(key, value);
        let why = format!("{key} is {value}: {characters} characters, of at most {most}");
        return Err(Refusal::invalid(why));
    }
    let entries = entries.map_or(0, Vec::len);
    if entries > Field::MOST_ENTRIES {
        let most = Field::MOST_ENTRIES;
        return Err(Refusal::invalid(format!("{key} has {entries} entries, of at most {most}")));
    }
    Ok(())
}

/// As the table has it for certificates, and elsewhere where it says nothing.
fn most_characters(key: &str) -> usize {
    match key {
        "certificate" | "enc_certificate" => 20_000,
        "private_key" | "enc_private_key" => 8192,
        "domain" => 10_000,
        _ => Field::MOST_CHARACTERS,
    }
}

/// Whether a value asks for nothing.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(all) => {
            all.get("enable") == Some(&Value::Bool(false)) || all.values().all(is_nothing)
        }
        Value::Bool(true) | Value::Number(_) => false,
    }
}

/// A text attribute; empty if there is none.
pub(in crate::api::v3) fn text<'b>(body: &'b Body, key: &str) -> &'b str {
    body.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The object that a value is.
pub(in crate::api::v3) fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// The tags that are given: at most 20, of different keys.
pub(in crate::api::v3) fn tags(given: &Body) -> Result<BTreeMap<String, String>, Refusal> {
    const MOST: usize = 20;
    let count = given.get("tags").and_then(Value::as_array).map_or(0, Vec::len);
    if count > MOST {
        return Err(Refusal::quota(format!("{count} tags are given, of at most {MOST}")));
    }
    let mut tags = BTreeMap::new();
    for tag in given.get("tags").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| tag.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (key, value) = (text("key"), text("value"));
        if !(1..=36).contains(&key.chars().count()) || value.chars().count() > 255 {
            let rule = "use a key of 1 to 36 characters and a value of at most 255";
            return Err(Refusal::invalid(format!("tag {key:?} = {value:?}: {rule}")));
        }
        if tags.insert(key.clone(), value).is_some() {
            return Err(Refusal::invalid(format!("tag {key:?} is given twice")));
        }
    }
    Ok(tags)
}

/// Tags as the API shows them.
pub(in crate::api::v3) fn shown(tags: &BTreeMap<String, String>) -> Value {
    tags.iter().map(|(key, value)| json!({"key": key, "value": value})).collect()
}

/// What every resource that is shown has of its document.
pub(super) fn begin(document: &Document) -> Map<String, Value> {
    let mut shown = document.body.clone();
    shown.insert("id".to_owned(), document.id.to_string().into());
    shown.insert("project_id".to_owned(), document.project.clone().into());
    shown.insert("created_at".to_owned(), document.created.clone().into());
    shown.insert("updated_at".to_owned(), document.updated.clone().into());
    shown
}

/// References as the API shows them.
pub(in crate::api::v3) fn references<'a>(all: impl IntoIterator<Item = &'a Document>) -> Value {
    all.into_iter().map(|one| json!({"id": one.id.to_string()})).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes() -> Attributes {
        Attributes {
            kept: json!({"name": "", "vip": null, "up": true}),
            idle: json!({"guaranteed": true}),
        }
    }

    #[test]
    fn what_is_given_is_kept_idle_or_refused() {
        let accept = |given: Value| attributes().accept(&object(&given));
        let body =
            accept(json!({"name": "x", "up": null, "guaranteed": true, "waf": false})).unwrap();
        assert_eq!(Value::Object(body), json!({"name": "x", "vip": null, "up": true}));
        let why = accept(json!({"guaranteed": false, "flavor": "s1", "eips": ["x"], "n": 1}))
            .unwrap_err();
        let names = "this host does not support eips = [\"x\"], flavor = \"s1\", n = 1";
        assert_eq!(
            why.message, names,
            "false is nothing, which each resource judges where it counts"
        );
        assert!(accept(json!({"eips": [], "flavor": "", "scaling": {"enable": false}})).is_ok());
    }

    #[test]
    fn tags_are_bounded_and_different() {
        let of = |given: Value| tags(&object(&json!({"tags": given})));
        assert_eq!(of(json!([{"key": "a", "value": "b"}, {"key": "c"}])).unwrap().len(), 2);
        assert!(of(json!([{"key": "a"}, {"key": "a"}])).is_err());
        assert!(of(json!([{"value": "a"}])).is_err());
        let many: Value = (0..21).map(|n| json!({"key": n.to_string()})).collect();
        assert_eq!(of(many).unwrap_err().code, "ELB.8905");
    }
}
