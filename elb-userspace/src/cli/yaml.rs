//! Values as YAML.

use std::fmt::Write as _;

use serde_json::Value;

/// A value as YAML; texts are written as in JSON, which YAML has, too.
pub(super) fn yaml(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

fn block(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    if is_short(value) {
        let _ = writeln!(text, "{indent}{value}");
    }
    for (key, value) in value.as_object().into_iter().flatten() {
        let _ = write!(text, "{indent}{}:", name(key));
        below(value, depth, text);
    }
    for value in value.as_array().into_iter().flatten() {
        let mut inner = String::new();
        block(value, depth + 1, &mut inner);
        let _ = write!(text, "{indent}- {}", inner.trim_start());
    }
}

/// What follows a key.
fn below(value: &Value, depth: usize, text: &mut String) {
    if is_short(value) {
        let _ = writeln!(text, " {value}");
    } else {
        text.push('\n');
        block(value, depth + 1, text);
    }
}

/// Whether a value fits behind its key.
fn is_short(value: &Value) -> bool {
    match value {
        Value::Object(all) => all.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

/// A key: as it is where nothing else could be meant by it.
fn name(key: &str) -> String {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    let is_plain = key.starts_with(is_letter)
        && key.chars().all(|c| is_letter(c) || c.is_ascii_digit() || c == '-');
    let is_word = WORDS.iter().any(|word| word.eq_ignore_ascii_case(key));
    if is_plain && !is_word { key.to_owned() } else { Value::from(key).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_has_what_json_has() {
        let value = json!({
            "a": "x: \"y\"", "b": [], "c": {}, "d": [{"e": 1, "f": [true, null]}, "g"], "h": {"i": null},
        });
        let expected = "a: \"x: \\\"y\\\"\"\nb: []\nc: {}\nd:\n  - e: 1\n    f:\n      - true\n      - null\n  - \"g\"\nh:\n  i: null\n";
        assert_eq!(yaml(&value), expected);
        assert_eq!(yaml(&json!([])), "[]\n");
    }

    #[test]
    fn keys_that_could_be_something_else_are_quoted() {
        let value =
            json!({"200": 1, "/v3/{id}": 2, "$ref": 3, "on": 4, "No": 5, "x-y_9": 6, "": 7});
        let expected =
            "\"\": 7\n\"$ref\": 3\n\"/v3/{id}\": 2\n\"200\": 1\n\"No\": 5\n\"on\": 4\nx-y_9: 6\n";
        assert_eq!(yaml(&value), expected);
    }
}
