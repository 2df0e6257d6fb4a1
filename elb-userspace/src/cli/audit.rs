//! `elb audit`: what was asked of the API, a line each.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::Result;
use clap::Args;
use serde_json::Value;

use super::since::Since;
use super::socket::SocketArg;
use super::{Output, block_on, go_on};
use crate::api::client;
use crate::api::shape::audit::{AuditLine, AuditRequest};
use crate::api::shape::status::timestamp;

#[derive(Debug, Args)]
#[command(after_help = "\
Each call that changes something has a record, also where it was refused: when, by which key, what, of which
resource, with what result, and the id of the request. Then come the attributes that changed.
Calls by the command line have `local:USER` in place of a key.

The store keeps the last 100,000 records, and of their attributes 256 MiB; older ones go first.

Examples:
  elb audit
  elb audit --since 1h --operation deletePool
  elb audit --resource web
  elb audit --resource 5f0d7d4e-3c1c-4a7e-9a63-2f1f5c0f8a11 -o json | jq .before")]
pub(super) struct AuditArgs {
    /// Only records of this last time (10m, 1h30m), or since a time (RFC 3339, UTC).
    #[arg(long, value_name = "TIME", value_parser = Since::parse)]
    since: Option<Since>,
    /// Only records of this operation, as in createPool.
    #[arg(long, value_name = "NAME")]
    operation: Option<String>,
    /// Only records of this resource: its id, or the name that it had before or after the call.
    #[arg(long, value_name = "RESOURCE")]
    resource: Option<String>,
    #[command(flatten)]
    agent: SocketArg,
    /// How to write it; JSON is one object a line.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long ago is said by people, who go by that clock"
)]
pub(super) fn run(args: AuditArgs) -> Result<ExitCode> {
    let AuditArgs { since, operation, resource, agent, output } = args;
    let since = since.map(|since| timestamp(since.at(SystemTime::now())));
    let request = AuditRequest { since, operation, resource };
    let (path, mut out) = (agent.path()?, io::stdout());
    let each = |line: AuditLine| {
        let text = match output {
            Output::Table => text(&line),
            Output::Json => serde_json::to_string(&line)?,
        };
        go_on(writeln!(out, "{text}"))
    };
    block_on(client::lines(&path, "/audit", &request, || Ok(()), each))?;
    Ok(ExitCode::SUCCESS)
}

fn text(line: &AuditLine) -> String {
    let AuditLine { time, actor, operation, result, request_id, resource_id, .. } = line;
    let id = resource_id.as_deref().filter(|id| !id.is_empty()).unwrap_or("-");
    let changes = changes(line);
    let changes = if changes.is_empty() { changes } else { format!("  {changes}") };
    format!("{time}  {actor}  {operation}  {id}  {result}  {request_id}{changes}")
}

/// The attributes that were changed, or the name of what was made or taken away.
fn changes(line: &AuditLine) -> String {
    let name = |body: &serde_json::Map<String, Value>| match body.get("name") {
        Some(Value::String(name)) if !name.is_empty() => format!("name {name:?}"),
        _ => String::new(),
    };
    match (&line.before, &line.after) {
        (Some(before), Some(after)) => {
            let is_other = |(key, value): &(&String, &Value)| before.get(*key) != Some(value);
            let one = |(key, value): (&String, &Value)| {
                format!("{key} {} -> {value}", before.get(key).unwrap_or(&Value::Null))
            };
            after.iter().filter(is_other).map(one).collect::<Vec<_>>().join(", ")
        }
        (Some(one), None) | (None, Some(one)) => name(one),
        (None, None) => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(before: &Value, after: &Value) -> AuditLine {
        AuditLine {
            number: 7,
            time: "2026-01-02T03:04:05Z".to_owned(),
            actor: "deploy".to_owned(),
            operation: "updateMember".to_owned(),
            request_id: "r".to_owned(),
            project_id: "p".to_owned(),
            resource_id: Some("id".to_owned()),
            result: "ok".to_owned(),
            before: before.as_object().cloned(),
            after: after.as_object().cloned(),
        }
    }

    #[test]
    fn a_line_says_what_changed() {
        let (before, after) =
            (json!({"name": "a", "weight": 1}), json!({"name": "a", "weight": 0}));
        let changed = text(&line(&before, &after));
        assert_eq!(changed, "2026-01-02T03:04:05Z  deploy  updateMember  id  ok  r  weight 1 -> 0");
        assert!(text(&line(&before, &Value::Null)).ends_with("  r  name \"a\""));
        assert!(text(&line(&Value::Null, &Value::Null)).ends_with("  r"));
    }
}
