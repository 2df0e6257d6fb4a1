//! Attributes and models of the table as JSON Schemas, as strict as validation is: bodies by all of their rules,
//! answers by their types alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use crate::api::v3::field::{Field, FieldType};
use crate::api::v3::table::{Model, TABLE};
use crate::api::v3::validation::Towards;

/// Where a model stands in the document.
pub(super) fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}

/// Which models go which way.
pub(super) struct Models {
    from_clients: BTreeSet<&'static str>,
    to_clients: BTreeSet<&'static str>,
    /// Those of whole answers.
    answers: BTreeSet<&'static str>,
}

impl Models {
    pub(super) fn of_table() -> Self {
        let operations = &TABLE.operations;
        let bodies = operations.iter().filter_map(|operation| operation.body.as_deref());
        let answers = operations.iter().map(|operation| &*operation.response);
        let answers: BTreeSet<&str> = answers.collect();
        Self {
            from_clients: reached(bodies),
            to_clients: reached(answers.iter().copied()),
            answers,
        }
    }

    /// What a model is called: one that goes both ways has a schema for each.
    pub(super) fn name(&self, model: &str, towards: Towards) -> String {
        let both = self.from_clients.contains(model) && self.to_clients.contains(model);
        if both && towards == Towards::Client { format!("Shown{model}") } else { model.to_owned() }
    }

    /// The schema of each, by its name; these attributes are refused.
    pub(super) fn schemas(&self, refused: &BTreeSet<(String, String)>) -> Map<String, Value> {
        let mut all = Map::new();
        for (models, towards) in
            [(&self.from_clients, Towards::Us), (&self.to_clients, Towards::Client)]
        {
            for name in models {
                let Some(model) = TABLE.models.get(*name) else { continue };
                let mut schema = self.model(model, towards);
                if towards == Towards::Us {
                    mark(&mut schema, |attribute| {
                        refused.contains(&((*name).to_owned(), attribute.to_owned()))
                    });
                } else if self.answers.contains(name) {
                    schema["properties"]["request_id"] = json!({"type": "string"});
                    schema["required"].as_array_mut().into_iter().for_each(|all| {
                        all.retain(|one| one != "request_id");
                        all.push("request_id".into());
                    });
                }
                all.insert(self.name(name, towards), schema);
            }
        }
        all
    }

    fn model(&self, model: &Model, towards: Towards) -> Value {
        let properties: Map<String, Value> = model
            .iter()
            .map(|(name, field)| (name.clone(), self.attribute(field, towards)))
            .collect();
        let required: Vec<&String> =
            model.iter().filter(|(_, field)| field.is_required).map(|(name, _)| name).collect();
        let mut schema = json!({"type": "object", "properties": properties, "required": required});
        if towards == Towards::Us {
            schema["additionalProperties"] = false.into();
        }
        schema
    }

    fn attribute(&self, field: &Field, towards: Towards) -> Value {
        match towards {
            Towards::Us if field.is_required => self.value(&field.of, Some(field), towards),
            Towards::Us => or_null(self.value(&field.of, Some(field), towards)),
            Towards::Client => or_null(self.value(&field.of, None, towards)),
        }
    }

    /// A value of a type, by the rules of a field.
    fn value(&self, of: &FieldType, rules: Option<&Field>, towards: Towards) -> Value {
        match of {
            FieldType::Model(model) => reference(&self.name(model, towards)),
            FieldType::List(entries) => {
                // The length is that of the list alone.
                let of = || (**entries).clone();
                let inner = rules.map(|field| Field { of: of(), length: None, ..field.clone() });
                let entries = self.value(entries, inner.as_ref(), towards);
                let mut schema = json!({"type": "array", "items": entries});
                let length = rules.map(Field::bound);
                bound(&mut schema, length.as_ref(), ["minItems", "maxItems"]);
                schema
            }
            FieldType::Text => {
                let is_open = |field: &&Field| field.choices.is_empty();
                let bounded = rules
                    .filter(is_open)
                    .map(|field| Field { length: Some(field.bound()), ..field.clone() });
                plain(of, bounded.as_ref().or(rules))
            }
            FieldType::Number | FieldType::Flag => plain(of, rules),
        }
    }
}

/// A text, a number or a flag, by the rules of a field.
pub(super) fn plain(of: &FieldType, rules: Option<&Field>) -> Value {
    let rules = |of: &FieldType| rules.filter(|_| !matches!(of, FieldType::Flag));
    let Some(field) = rules(of) else { return json!({"type": of.plain_name()}) };
    let mut schema = json!({"type": of.plain_name()});
    if *of == FieldType::Number {
        schema["format"] = "int64".into();
        if !field.choices.is_empty() {
            let numbers = field.choices.iter().filter_map(|one| one.parse::<i64>().ok());
            schema["enum"] = numbers.collect();
        }
        numbers(&mut schema, field);
        return schema;
    }
    if !field.choices.is_empty() {
        schema["enum"] = field.choices.iter().map(String::as_str).collect();
    }
    match &field.length {
        // A text with nothing in it stands for none.
        Some(length) if *length.start() > 0 => {
            let mut long = json!({});
            bound(&mut long, Some(length), ["minLength", "maxLength"]);
            schema["anyOf"] = json!([{"const": ""}, long]);
        }
        length => bound(&mut schema, length.as_ref(), ["minLength", "maxLength"]),
    }
    if field.is_number_in_text() {
        schema["type"] = json!([schema["type"], "integer"]);
        numbers(&mut schema, field);
    }
    schema
}

/// Which numbers there may be.
fn numbers(schema: &mut Value, field: &Field) {
    match &field.numbers[..] {
        // Not all who read the document look at the format.
        [] => {
            schema["minimum"] = i64::MIN.into();
            schema["maximum"] = i64::MAX.into();
        }
        [one] => bound(schema, Some(one), ["minimum", "maximum"]),
        several => schema["anyOf"] = several.iter().map(range).collect(),
    }
}

fn range(of: &RangeInclusive<i64>) -> Value {
    let mut schema = json!({});
    bound(&mut schema, Some(of), ["minimum", "maximum"]);
    schema
}

fn bound(schema: &mut Value, range: Option<&RangeInclusive<i64>>, [low, high]: [&str; 2]) {
    let Some(range) = range else { return };
    let is_length = low != "minimum";
    if !is_length || *range.start() > 0 {
        schema[low] = (*range.start()).into();
    }
    if *range.end() < i64::MAX {
        schema[high] = (*range.end()).into();
    }
}

/// The same, or null.
fn or_null(mut schema: Value) -> Value {
    let is_alone = schema.get("anyOf").is_none() && schema.get("$ref").is_none();
    if !is_alone {
        return json!({"anyOf": [schema, {"type": "null"}]});
    }
    let types = schema.get_mut("type").and_then(Value::as_array_mut);
    match types {
        Some(types) => types.push("null".into()),
        None => schema["type"] = json!([schema["type"], "null"]),
    }
    if let Some(choices) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        choices.push(Value::Null);
    }
    schema
}

/// Marks attributes that are refused.
fn mark(schema: &mut Value, is_refused: impl Fn(&str) -> bool) {
    let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
    for (name, property) in properties.into_iter().flatten() {
        if is_refused(name) {
            property["x-elb-supported"] = false.into();
        }
    }
}

/// These models, and all that they have in them.
fn reached(from: impl Iterator<Item = &'static str>) -> BTreeSet<&'static str> {
    let mut found = BTreeSet::new();
    let mut next: Vec<&str> = from.collect();
    let fields: BTreeMap<&str, &Model> =
        TABLE.models.iter().map(|(name, model)| (&**name, model)).collect();
    while let Some(name) = next.pop() {
        if found.insert(name) {
            let model = fields.get(name).into_iter().flat_map(|model| model.values());
            next.extend(model.filter_map(|field| field.of.model()));
        }
    }
    found
}
