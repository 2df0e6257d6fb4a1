//! Tags, which are texts in OpenStack: `key=value`, or a key alone.

use serde_json::{Value, json};

use crate::api::v3::face::Fault;

/// Tags of OpenStack, as V3 has them.
pub(super) fn read(value: &Value) -> Result<Value, Fault> {
    let wrong =
        || Fault::invalid(format!("tags is {value}, use a list of texts, each \"key=value\""));
    let tags = value.as_array().ok_or_else(wrong)?.iter().map(|tag| {
        let (key, value) = tag.as_str().map(|text| text.split_once('=').unwrap_or((text, "")))?;
        Some(json!({"key": key, "value": value}))
    });
    tags.collect::<Option<Value>>().ok_or_else(wrong)
}

/// Tags of V3, as OpenStack has them.
pub(super) fn shown(v3: Option<&Value>) -> Value {
    let tags = v3.and_then(Value::as_array).into_iter().flatten();
    let text = |tag: &Value| {
        let part = |key: &str| tag.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match (part("key"), part("value")) {
            (key, value) if value.is_empty() => key,
            (key, value) => format!("{key}={value}"),
        }
    };
    tags.map(text).collect()
}

/// What is to be done so that a resource has these tags and no others: the bodies of V3's requests.
pub(super) fn steps(before: &Value, wanted: &Value) -> Vec<Value> {
    let key = |tag: &Value| tag.get("key").cloned().unwrap_or_default();
    let all = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let (before, wanted) = (all(before), all(wanted));
    let stays = |tag: &&Value| wanted.iter().any(|other| key(other) == key(tag));
    let gone: Vec<&Value> = before.iter().filter(|tag| !stays(tag)).collect();
    let new: Vec<&Value> = wanted.iter().filter(|tag| !before.contains(tag)).collect();
    let step = |action: &str, tags: Value| json!({"action": action, "tags": tags});
    let is_some = |step: &Value| step["tags"].as_array().is_some_and(|tags| !tags.is_empty());
    let steps = [step("delete", json!(gone)), step("create", json!(new))];
    steps.into_iter().filter(is_some).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_texts() {
        let v3 = read(&json!(["env=prod", "old", "a=b=c"])).unwrap();
        assert_eq!(v3[2], json!({"key": "a", "value": "b=c"}));
        assert_eq!(shown(Some(&v3)), json!(["env=prod", "old", "a=b=c"]));
        assert!(read(&json!("x")).is_err() && read(&json!([1])).is_err());
    }

    #[test]
    fn what_is_not_wanted_any_more_goes_first() {
        let before = json!([{"key": "a", "value": "1"}, {"key": "b", "value": "2"}]);
        let wanted = json!([{"key": "b", "value": "3"}, {"key": "c", "value": ""}]);
        let found = steps(&before, &wanted);
        assert_eq!(found[0], json!({"action": "delete", "tags": [{"key": "a", "value": "1"}]}));
        assert_eq!(found[1], json!({"action": "create", "tags": wanted}));
        assert_eq!(steps(&before, &before), Vec::<Value>::new());
    }
}
