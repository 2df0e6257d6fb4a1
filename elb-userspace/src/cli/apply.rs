//! `elb apply`: the store is brought to what a file says.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow};
use clap::Args;

use super::socket::SocketArg;
use super::{Output, block_on, print_json, print_text};
use crate::api::client;
use crate::api::shape::apply::{
    AppliedAction, AppliedChange, ApplyReport, ApplyRequest, ChangedAttribute,
};
use crate::api::shape::reload::PlanRequest;
use crate::source::file::SourceText;

#[derive(Debug, Args)]
#[command(after_help = "\
Afterwards the store of the running agent has the resources of the file, and others are deleted: one transaction, all or
nothing. A resource is the one with its id, or without an id in the file, the one with its name: members by address and port. What
a file has no word for stays as it is: descriptions, tags, projects, listeners without a pool with the IP groups that they
use. What the API has no word for is refused by name: backup members, fallback pools, checks by commands, and others; so are
changes of single members of a master/slave pool.

With --dry-run nothing changes: the changes to each resource are printed, and their effect on traffic, with the share
of ring slots that would move.

Exit codes: 0 applied, or there was nothing to do (with --dry-run: it could be applied), 1 refused, 2 wrong
usage.

Examples:
  elb export > whole.toml               change it, and then:
  elb apply -f whole.toml --dry-run
  elb apply -f whole.toml -o json | jq .effects")]
pub(super) struct ApplyArgs {
    /// The file, with those that it includes.
    #[arg(short, long)]
    file: PathBuf,
    /// Say what it would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    /// Let a file without load balancers and pools take everything away.
    #[arg(long)]
    allow_empty: bool,
    /// Whose resources those are that are new. Default: the project of the host's keys.
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    #[command(flatten)]
    agent: SocketArg,
    /// How to write the result.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: ApplyArgs) -> Result<ExitCode> {
    let ApplyArgs { file, dry_run, allow_empty, project, agent, output } = args;
    let source = SourceText::read(&file).map_err(|errors| anyhow!("{errors}"))?;
    let SourceText { text, files, .. } = source;
    let file = PlanRequest { name: file.display().to_string(), text, files };
    let request = ApplyRequest { file, dry_run, allow_empty, project };
    let report = block_on(client::apply(&agent.path()?, &request))?;
    match output {
        Output::Json => print_json(&report)?,
        Output::Table => print_text(&text_of(&report, dry_run))?,
    }
    Ok(if report.refused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn text_of(report: &ApplyReport, dry_run: bool) -> String {
    let said = match (report.refused.is_empty(), dry_run) {
        (false, _) => "refused: the store is as it was",
        (true, _) if report.changes.is_empty() => "the store has it already",
        (true, true) => "nothing was changed (--dry-run)",
        (true, false) => "applied",
    };
    let changes = report.changes.iter().map(line);
    let effects = report.effects.iter().map(ToString::to_string);
    let refused = report.refused.iter().map(|why| format!("refused: {why}"));
    let all = changes.chain(effects).chain(refused).chain([said.to_owned()]);
    all.map(|line| line + "\n").collect()
}

fn line(change: &AppliedChange) -> String {
    let AppliedChange { kind, id, name, action, attributes } = change;
    let action = match action {
        AppliedAction::Add => "add",
        AppliedAction::Change => "change",
        AppliedAction::Remove => "remove",
    };
    let name = if name.is_empty() { String::new() } else { format!(" {name:?}") };
    let one = |ChangedAttribute { name, before, after }: &ChangedAttribute| {
        format!("{name} {before} -> {after}")
    };
    let attributes: Vec<_> = attributes.iter().map(one).collect();
    let attributes =
        if attributes.is_empty() { String::new() } else { format!(": {}", attributes.join(", ")) };
    format!("{action}: {kind}{name} {id}{attributes}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::control::change::Effect;

    #[test]
    fn what_changes_is_a_line_each_and_what_came_of_it_the_last() {
        let change = AppliedChange {
            kind: "member".to_owned(),
            id: "5f".to_owned(),
            name: "10.0.0.1".to_owned(),
            action: AppliedAction::Change,
            attributes: vec![ChangedAttribute {
                name: "weight".to_owned(),
                before: json!(1),
                after: json!(0),
            }],
        };
        let effects = vec![Effect::moved("web", 0.5, 0.5)];
        let report = ApplyReport { changes: vec![change], effects, ..ApplyReport::default() };
        let said = text_of(&report, true);
        let lines: Vec<_> = said.lines().collect();
        assert_eq!(lines[0], "change: member \"10.0.0.1\" 5f: weight 1 -> 0");
        assert!(lines[1].starts_with("move: pool \"web\": 50.0 % of the slots move"), "{said}");
        assert_eq!(lines[2], "nothing was changed (--dry-run)");
        assert_eq!(text_of(&ApplyReport::default(), false), "the store has it already\n");
    }
}
