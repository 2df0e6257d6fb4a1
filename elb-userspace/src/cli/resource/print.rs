//! How resources are printed: as a table, as JSON, as YAML.

use anyhow::Result;
use comfy_table::{Table, presets};
use serde_json::Value;

use crate::cli::written::Written;
use crate::cli::yaml::yaml;
use crate::cli::{print_json, print_text};

/// Prints one resource.
pub(super) fn one(resource: &Value, written: Written) -> Result<()> {
    match written {
        Written::Json => print_json(resource),
        Written::Yaml => print_text(&yaml(resource)),
        Written::Table => {
            let width = resource.as_object().into_iter().flatten().map(|(key, _)| key.len()).max();
            let width = width.unwrap_or(0);
            let lines = resource.as_object().into_iter().flatten();
            let lines = lines.map(|(key, value)| format!("{key:<width$}  {}\n", cell(value)));
            print_text(&lines.collect::<String>())
        }
    }
}

/// Prints a list.
pub(super) fn many(resources: &[Value], columns: &[&str], written: Written) -> Result<()> {
    match written {
        Written::Json => print_json(&resources),
        Written::Yaml => print_text(&yaml(&Value::Array(resources.to_vec()))),
        Written::Table => {
            let mut table = Table::new();
            table
                .load_style(presets::NOTHING)
                .set_header(columns.iter().map(|key| key.to_uppercase()));
            for resource in resources {
                table.add_row(columns.iter().map(|key| cell(&resource[*key])));
            }
            print_text(&(table.trim_fmt() + "\n"))
        }
    }
}

/// A value in a line.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) if all.is_empty() => "-".to_owned(),
        Value::Array(all) => {
            let one = |one: &Value| match one.get("id").or_else(|| one.get("ip")) {
                Some(Value::String(text)) => text.clone(),
                _ => cell(one),
            };
            all.iter().map(one).collect::<Vec<_>>().join(",")
        }
        Value::Bool(_) | Value::Number(_) | Value::Object(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_cell_is_one_line() {
        for (value, said) in [
            (json!(null), "-"),
            (json!(""), "-"),
            (json!([{"id": "a"}, {"id": "b"}]), "a,b"),
            (json!([{"ip": "10.0.0.0/8", "description": ""}]), "10.0.0.0/8"),
            (json!({"enable": true}), "{\"enable\":true}"),
            (json!(7), "7"),
        ] {
            assert_eq!(cell(&value), said);
        }
    }
}
