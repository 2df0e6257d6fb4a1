//! What `-o json` prints of each command, as JSON Schemas (draft 2020-12): made of the types that are
//! printed, so that the two cannot differ.
//!
//! A required field is one that this version prints and every later one will; objects may have more fields
//! than their schema lists.

use schemars::generate::SchemaSettings;
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::apply::ApplyReport;
use super::audit::AuditLine;
use super::detach::Detached;
use super::diagnose::Diagnosis;
use super::drain::DrainReport;
use super::drops::Drops;
use super::error::Error;
use super::events::AgentEvent;
use super::explain::Explanation;
use super::flows::{CutReport, FlowList};
use super::reload::{ReloadReport, ReloadResult};
use super::serving::ServingReport;
use super::status::{MemberStatus, Status};
use super::top::TopReport;
use super::trace::PacketEvent;
use crate::api::v3::described::{openapi_schema, resource_schema, resources_schema};
use crate::backend::{BackendReport, BackendStatus};
use crate::diagnosis::inspect::Inspection;
use crate::diagnosis::report::Report;
use crate::observe::flow_log::FlowLogLine;
use crate::source::file::Errors;

/// What a command prints with `-o json`.
#[derive(Clone, Copy, Debug)]
pub struct Printed {
    /// The command, as in `backend up`; `error` for what every command prints on standard error when it
    /// fails; `flow-log` for what the agent writes into the flow log.
    pub command: &'static str,
    /// Whether it prints an object a line, rather than one value.
    pub lines: bool,
    make: fn() -> Schema,
}

/// One of two.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[expect(missing_docs, reason = "the one and the other")]
pub enum Either<A, B> {
    One(A),
    Other(B),
}

/// All that is printed.
pub const ALL: &[Printed] = &[
    value("status", of::<Either<Status, Either<Vec<MemberStatus>, ServingReport>>>),
    lines("top", of::<TopReport>),
    lines("events", of::<AgentEvent>),
    value("diagnose", of::<Diagnosis>),
    value("doctor", of::<Report>),
    value("explain", of::<Explanation>),
    value("drops", of::<Vec<Drops>>),
    value("flows", of::<Either<FlowList, CutReport>>),
    lines("trace", of::<PacketEvent>),
    lines("audit", of::<AuditLine>),
    value("apply", of::<ApplyReport>),
    value("drain", of::<DrainReport>),
    value("api openapi", openapi_schema),
    value("lb create", resource_schema::<0>),
    value("lb list", resources_schema::<0>),
    value("lb show", resource_schema::<0>),
    value("lb set", resource_schema::<0>),
    value("listener create", resource_schema::<1>),
    value("listener list", resources_schema::<1>),
    value("listener show", resource_schema::<1>),
    value("listener set", resource_schema::<1>),
    value("pool create", resource_schema::<2>),
    value("pool list", resources_schema::<2>),
    value("pool show", resource_schema::<2>),
    value("pool set", resource_schema::<2>),
    value("member create", resource_schema::<3>),
    value("member list", resources_schema::<3>),
    value("member show", resource_schema::<3>),
    value("member set", resource_schema::<3>),
    value("healthmonitor create", resource_schema::<4>),
    value("healthmonitor list", resources_schema::<4>),
    value("healthmonitor show", resource_schema::<4>),
    value("healthmonitor set", resource_schema::<4>),
    value("ipgroup create", resource_schema::<5>),
    value("ipgroup list", resources_schema::<5>),
    value("ipgroup show", resource_schema::<5>),
    value("ipgroup set", resource_schema::<5>),
    value("check", of::<Either<Errors, ReloadReport>>),
    value("reload", of::<ReloadResult>),
    value("detach", of::<Detached>),
    value("backend up", of::<BackendReport>),
    value("backend down", of::<BackendReport>),
    value("backend status", of::<Option<BackendStatus>>),
    value("backend inspect", of::<Inspection>),
    value("error", of::<Error>),
    lines("flow-log", of::<FlowLogLine>),
];

const fn value(command: &'static str, make: fn() -> Schema) -> Printed {
    Printed { command, lines: false, make }
}

const fn lines(command: &'static str, make: fn() -> Schema) -> Printed {
    Printed { command, lines: true, make }
}

impl Printed {
    /// Of a command.
    pub fn by(command: &str) -> Option<&'static Self> {
        ALL.iter().find(|printed| printed.command == command)
    }

    /// The schema of the value, or of each line.
    pub fn schema(&self) -> Schema {
        let title = match (self.command, self.lines) {
            ("error", _) => "standard error of a command that fails with -o json".to_owned(),
            ("flow-log", _) => "the flow log of elb, each line".to_owned(),
            (command, false) => format!("elb {command} -o json"),
            (command, true) => format!("elb {command} -o json, each line"),
        };
        let mut schema = (self.make)();
        schema.insert("title".to_owned(), title.into());
        schema
    }
}

fn of<T: JsonSchema>() -> Schema {
    let settings =
        SchemaSettings::draft2020_12().with_transform(RecursiveTransform(allow_more_fields));
    settings.into_generator().into_root_schema_for::<T>()
}

/// Later versions may print more.
fn allow_more_fields(schema: &mut Schema) {
    if schema.get("additionalProperties") == Some(&Value::Bool(false)) {
        schema.remove("additionalProperties");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visit(value: &Value, look: &mut impl FnMut(&serde_json::Map<String, Value>)) {
        match value {
            Value::Object(object) => {
                look(object);
                object.values().for_each(|value| visit(value, look));
            }
            Value::Array(values) => values.iter().for_each(|value| visit(value, look)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_schema_is_whole_and_open() {
        for printed in ALL {
            let schema = printed.schema().to_value();
            let definitions = schema["$defs"].as_object().cloned().unwrap_or_default();
            visit(&schema, &mut |object| {
                let command = printed.command;
                assert_ne!(
                    object.get("additionalProperties"),
                    Some(&Value::Bool(false)),
                    "{command}"
                );
                if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
                    let name = reference.strip_prefix("#/$defs/").expect("a definition of its own");
                    assert!(definitions.contains_key(name), "{command}: {reference}");
                }
            });
            let twice = definitions.keys().find(|name| name.ends_with(char::is_numeric));
            assert_eq!(twice, None, "{}: two types have one name", printed.command);
        }
    }

    #[test]
    fn a_schema_lists_what_is_required() {
        let schema = Printed::by("drain").unwrap().schema().to_value();
        assert_eq!(schema["title"], "elb drain -o json");
        assert_eq!(schema["required"], serde_json::json!(["members"]));
        let member = &schema["$defs"]["DrainedMember"];
        let required: Vec<_> = member["required"].as_array().unwrap().iter().collect();
        for name in ["name", "address", "protocol_port", "state", "slots"] {
            assert!(required.iter().any(|one| **one == name), "{name}: {required:?}");
            assert!(member["properties"][name].is_object(), "{name}");
        }
        assert!(!required.iter().any(|one| **one == "cut_in"), "{required:?}");
        let events = Printed::by("events").unwrap().schema().to_value();
        let time = &events["$defs"]["MemberEvent"]["properties"]["time"];
        assert!(time["description"].as_str().unwrap().contains("RFC 3339"), "{time}");
    }
}
