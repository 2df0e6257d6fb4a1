//! The operations of the API and the models of what they take and give, as `data/elb_v3.json` has them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::http::StatusCode;
use serde::Deserialize;

use super::field::Field;

/// An operation.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) name: String,
    pub(super) method: String,
    /// The segments of its path, those that are names of parameters in braces.
    pub(super) path: Vec<String>,
    pub(super) query: Model,
    /// The model of the body, if it takes one.
    pub(super) body: Option<String>,
    pub(super) response: String,
    /// Of the answer, if it is done.
    pub(super) status: Option<StatusCode>,
}

/// Attributes by their names.
pub(super) type Model = BTreeMap<String, Field>;

/// All of it.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) operations: Vec<Operation>,
    pub(super) models: BTreeMap<String, Model>,
}

/// The table, which is read once.
pub(super) static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let read: Option<Table> = serde_json::from_str(include_str!("../../../data/elb_v3.json"))
        .ok()
        .and_then(Written::table);
    read.expect("a test reads the same text")
});

#[derive(Deserialize)]
struct Written {
    operations: BTreeMap<String, WrittenOperation>,
    models: BTreeMap<String, BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct WrittenOperation {
    method: String,
    path: String,
    #[serde(default)]
    query: BTreeMap<String, String>,
    body: Option<String>,
    response: String,
    status: Option<u16>,
}

impl Operation {
    /// The names of the parameters of its path.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.path.iter().filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
    }

    /// What it is about, by its path.
    pub(super) fn resource(&self) -> &str {
        let is_name = |segment: &&str| !segment.is_empty() && !segment.starts_with('{');
        let mut names = self.path.iter().map(String::as_str).filter(is_name);
        let last = names.clone().find(|name| ["tags", "members"].contains(name));
        last.or_else(|| names.find(|name| !["v3", "elb"].contains(name))).unwrap_or_default()
    }
}

impl Written {
    fn table(self) -> Option<Table> {
        let operations = self.operations.into_iter().map(|(name, written)| {
            Some(Operation {
                name,
                method: written.method,
                path: written.path.split('/').map(str::to_owned).collect(),
                query: model(written.query)?,
                body: written.body,
                response: written.response,
                status: match written.status {
                    Some(status) => Some(StatusCode::from_u16(status).ok()?),
                    None => None,
                },
            })
        });
        let models = self.models.into_iter().map(|(name, fields)| Some((name, model(fields)?)));
        Some(Table {
            operations: operations.collect::<Option<_>>()?,
            models: models.collect::<Option<_>>()?,
        })
    }
}

fn model(written: BTreeMap<String, String>) -> Option<Model> {
    written.into_iter().map(|(name, text)| Some((name, Field::parse(&text)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::field::FieldType;
    use super::*;

    #[test]
    fn every_model_that_is_named_is_there() {
        assert_eq!(TABLE.operations.len(), 119);
        assert!(TABLE.models.len() > 360);
        for operation in &TABLE.operations {
            let named = operation.body.iter().chain([&operation.response]);
            named.for_each(|name| assert!(TABLE.models.contains_key(name), "{name}"));
        }
        for (of, fields) in &TABLE.models {
            for (name, field) in fields {
                let mut inner = &field.of;
                while let FieldType::List(entries) = inner {
                    inner = entries;
                }
                if let FieldType::Model(model) = inner {
                    assert!(TABLE.models.contains_key(model), "{of}.{name}: {model}");
                }
            }
        }
    }
}
