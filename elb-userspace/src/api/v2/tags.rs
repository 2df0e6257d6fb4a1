//! Tags, which are texts in OpenStack: `key=value`, or a key alone.

use serde_json::{Value, json};

use crate::api::v3::face::{Fault, brief};

/// Tags of OpenStack, as V3 has them.
pub(super) fn read(value: &Value) -> Result<Value, Fault> {
    let wrong = || {
        Fault::invalid(format!("tags is {}, use a list of texts, each \"key=value\"", brief(value)))
    };
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
}
