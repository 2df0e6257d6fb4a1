use std::sync::LazyLock;

use jsonschema::Validator;
use proptest::prelude::*;

use super::super::field::{Field, FieldType};
use super::super::query::QueryPairs;
use super::super::validation::{Towards, wrong};
use super::schema::reference;
use super::*;

static DOCUMENT: LazyLock<Value> = LazyLock::new(openapi_document);

/// A validator of a schema of the document, with all of those that it refers to.
fn validator(schema: &Value) -> Validator {
    let mut whole = json!({"components": DOCUMENT["components"]});
    whole.as_object_mut().unwrap().extend(schema.as_object().unwrap().clone());
    jsonschema::draft202012::new(&whole).unwrap()
}

fn operations() -> impl Iterator<Item = (&'static Operation, &'static Value)> {
    TABLE.operations.iter().map(|operation| {
        let methods = &DOCUMENT["paths"][operation.path.join("/")];
        (operation, &methods[operation.method.to_lowercase()])
    })
}

#[test]
fn it_has_every_operation_with_its_parameters_and_answers() {
    for (operation, described) in operations() {
        let name = &operation.name;
        assert_eq!(&described["operationId"], name);
        let is_there = Known::is_there(name);
        assert_eq!(described["x-elb-supported"], is_there, "{name}");
        let count = operation.parameters().count() + operation.query.len();
        assert_eq!(described["parameters"].as_array().unwrap().len(), count, "{name}");
        assert_eq!(described["requestBody"].is_object(), operation.body.is_some(), "{name}");
        let done =
            described["responses"].as_object().unwrap().keys().find(|one| one.starts_with('2'));
        let status = operation.status.filter(|_| is_there).map(|status| status.as_str().to_owned());
        assert_eq!(done.cloned(), status, "{name}: what is there says what it answers");
        assert_eq!(is_there, done.is_some(), "{name}");
        assert_eq!(described["responses"]["403"]["$ref"], "#/components/responses/Refused");
    }
    let pool = &DOCUMENT["components"]["schemas"]["CreatePoolOption"]["properties"];
    assert_eq!(pool["slow_start"]["x-elb-supported"], false);
    assert_eq!(
        (pool["listener_id"].get("x-elb-supported"), &pool["name"]["type"][1]),
        (None, &json!("null"))
    );
}

/// Also where several resources are in one body, or one in another.
#[test]
fn refused_attributes_are_marked_wherever_they_are() {
    let schemas = &DOCUMENT["components"]["schemas"];
    let is_marked = |model: &str, attribute: &str| {
        let found = &schemas[model]["properties"][attribute];
        assert!(found.is_object(), "{model}.{attribute}");
        found["x-elb-supported"] == false
    };
    for (name, path, ..) in PARTS {
        let operation = TABLE.operations.iter().find(|one| one.name == *name).unwrap();
        assert!(model_at(operation, path).is_some(), "{name} {path:?}");
    }
    for (model, attribute, expected) in [
        ("BatchCreateLoadBalancerOption", "prepaid_options", true),
        ("BatchCreateLoadBalancerOption", "number", false),
        ("BatchCreateLoadBalancerOption", "name", false),
        ("TargetLoadbalancerParam", "elb_virsubnet_ids", true),
        ("TargetLoadbalancerParam", "reuse_pool", false),
        ("CreateMasterSlavePoolOption", "public_border_group", false),
        ("CreateMasterSlavePoolOption", "members", false),
        ("CreateMasterSlaveMemberOption", "role", false),
        ("BatchUpdateMembersOption", "id", false),
        ("BatchUpdateMembersOption", "weight", false),
    ] {
        assert_eq!(is_marked(model, attribute), expected, "{model}.{attribute}");
    }
}

/// What each refers to is there, and the statuses of all refusals are described.
#[test]
fn what_is_referred_to_is_there() {
    fn visit(value: &Value) {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            assert!(DOCUMENT.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
        let inner = value.as_object().into_iter().flat_map(Map::values);
        inner.chain(value.as_array().into_iter().flatten()).for_each(visit);
    }
    visit(&DOCUMENT);
    for refusal in Refusal::every() {
        let described = Refused::of(refusal.status.as_u16()).unwrap();
        let said =
            &DOCUMENT["components"]["responses"][operation::name_of(refusal.status.as_u16())];
        let text = said["description"].as_str().unwrap();
        assert!(text.contains(described.meaning) && text.contains(refusal.code), "{text}");
    }
}

/// A value for an attribute: most of them are right.
fn attribute(field: &Field, depth: u32) -> BoxedStrategy<Value> {
    let wrong = prop_oneof![
        Just(Value::Null),
        Just(json!("")),
        Just(json!(0)),
        Just(json!(true)),
        Just(json!({})),
        Just(json!([])),
        Just(json!([null])),
        Just(json!([""])),
        Just(json!({"more": 1})),
        Just(json!(1.5)),
        Just(json!(u64::MAX)),
    ];
    prop_oneof![8 => right(&field.of, field, depth), 1 => wrong].boxed()
}

/// A value of a type, at and beyond the ends of what a field allows.
fn right(of: &FieldType, field: &Field, depth: u32) -> BoxedStrategy<Value> {
    match of {
        FieldType::Flag => any::<bool>().prop_map(Value::from).boxed(),
        FieldType::Number => {
            let ends = field.numbers.iter().flat_map(|one| [*one.start(), *one.end()]);
            let mut all: Vec<i64> =
                ends.flat_map(|end| [end.saturating_sub(1), end, end.saturating_add(1)]).collect();
            all.extend(field.choices.iter().filter_map(|one| one.parse::<i64>().ok()));
            all.push(5);
            prop::sample::select(all).prop_map(Value::from).boxed()
        }
        FieldType::Text => {
            let mut all = field.choices.clone();
            all.extend(["".to_owned(), "é".to_owned(), "x".repeat(36)]);
            if let Some(length) = &field.length {
                let ends = [
                    length.start() - 1,
                    *length.start(),
                    *length.end(),
                    length.end().saturating_add(1),
                ];
                let ends = ends.into_iter().filter_map(|end| usize::try_from(end).ok());
                all.extend(ends.filter(|end| *end < 30_000).map(|end| "ü".repeat(end)));
            }
            prop::sample::select(all).prop_map(Value::from).boxed()
        }
        FieldType::Model(model) => object(model, depth).boxed(),
        FieldType::List(entries) => {
            let most = field
                .length
                .as_ref()
                .map_or(3, |length| usize::try_from(*length.end()).unwrap_or(3) + 1);
            let plain = Field { length: None, ..field.clone() };
            prop::collection::vec(right(entries, &plain, depth), 0..=most.min(12))
                .prop_map(Value::from)
                .boxed()
        }
    }
}

/// An object of a model: with what it must have, nearly always, and with some of the rest.
fn object(model: &str, depth: u32) -> BoxedStrategy<Value> {
    let Some(fields) = TABLE.models.get(model).filter(|_| depth > 0) else {
        return Just(json!({})).boxed();
    };
    let all: Vec<_> = fields
        .iter()
        .map(|(name, field)| {
            let share = if field.is_required { 0.98 } else { 0.15 };
            let value = prop::option::weighted(share, attribute(field, depth - 1));
            value.prop_map({
                let name = name.clone();
                move |value| value.map(|value| (name.clone(), value))
            })
        })
        .collect();
    (all, prop::bool::weighted(0.03))
        .prop_map(|(pairs, more)| {
            let mut object: Map<String, Value> = pairs.into_iter().flatten().collect();
            if more {
                object.insert("more".to_owned(), 1.into());
            }
            Value::Object(object)
        })
        .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// A body is valid by the document exactly if it is by validation.
    #[test]
    fn bodies_are_valid_by_the_document_if_they_are_by_validation(
        bodies in TABLE.operations.iter().filter_map(|one| one.body.as_deref())
            .map(|body| object(body, 6).prop_map(move |value| (body, value))).collect::<Vec<_>>()
    ) {
        static VALIDATORS: LazyLock<BTreeMap<&str, Validator>> = LazyLock::new(|| {
            let bodies = TABLE.operations.iter().filter_map(|one| one.body.as_deref());
            bodies.map(|body| (body, validator(&reference(body)))).collect()
        });
        for (body, value) in bodies {
            let said = wrong(body, &value, Towards::Us);
            let errors: Vec<_> = VALIDATORS[body].iter_errors(&value).map(|error| error.to_string()).collect();
            prop_assert_eq!(said.is_none(), errors.is_empty(), "{} {}: {:?} {:?}", body, value, said, errors);
        }
    }
}

/// Both ways, in numbers that say that the property above is not empty.
#[test]
fn bodies_of_both_kinds_are_made() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut right, mut wrong_ones) = (0, 0);
    for _ in 0..300 {
        let value = object("CreatePoolRequestBody", 6).new_tree(&mut runner).unwrap().current();
        match wrong("CreatePoolRequestBody", &value, Towards::Us) {
            None => right += 1,
            Some(_) => wrong_ones += 1,
        }
    }
    assert!(right > 20 && wrong_ones > 20, "{right} right, {wrong_ones} wrong");
}

/// A key of a query takes the values that the document says.
#[test]
fn queries_are_valid_by_the_document_if_they_are_when_read() {
    const VALUES: [&str; 12] = [
        "",
        "x",
        "true",
        "false",
        "1",
        "-1",
        "0",
        "4",
        "2000",
        "2001",
        "nonProtection",
        "9223372036854775808",
    ];
    for (operation, described) in operations() {
        let parameters = described["parameters"].as_array().unwrap();
        for parameter in parameters.iter().filter(|one| one["in"] == "query") {
            let key = parameter["name"].as_str().unwrap();
            let field = &operation.query[key];
            let schema =
                if field.is_list() { &parameter["schema"]["items"] } else { &parameter["schema"] };
            let validator = validator(schema);
            for value in VALUES.iter().copied().chain(field.choices.iter().map(String::as_str)) {
                let typed = match schema["type"].as_str().unwrap() {
                    "integer" => value.parse::<i64>().map_or_else(|_| value.into(), Value::from),
                    "boolean" => value.parse::<bool>().map_or_else(|_| value.into(), Value::from),
                    _ => Value::from(value),
                };
                let is_taken = QueryPairs::read(&format!("{key}={value}"), operation).is_ok();
                assert_eq!(
                    is_taken,
                    validator.is_valid(&typed),
                    "{} {key}={value}",
                    operation.name
                );
            }
        }
    }
}
