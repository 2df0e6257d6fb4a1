//! `elb schema`: what `-o json` of a command prints, as a JSON Schema.

use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use clap::builder::PossibleValuesParser;

use super::{print_json, print_text};
use crate::api::shape::schema::{ALL, Printed};

#[derive(Debug, Args)]
#[command(after_help = "\
The schemas are JSON Schema, draft 2020-12. A required field is one that this version prints and later ones
will, too. Objects may have more fields than their schema lists, and lists of words may grow: read what you
know, and pass over what you do not. `top`, `events` and `trace` print an object a line; the schema is that of a
line. `error` is what a command with -o json writes to standard error when it fails, `flow-log` a line of the
flow log.

Examples:
  elb schema                                 the commands that have one
  elb schema status
  elb schema \"backend status\" > status.schema.json
  elb schema --write /usr/local/share/elb    a file for each: status.schema.json, backend-up.schema.json, …")]
pub(super) struct SchemaArgs {
    /// The command; without one, the names of all are printed.
    #[arg(value_name = "COMMAND", value_parser = commands())]
    command: Option<String>,
    /// Write all schemas into this folder, which must exist.
    #[arg(long, value_name = "FOLDER", conflicts_with = "command")]
    write: Option<PathBuf>,
}

fn commands() -> PossibleValuesParser {
    PossibleValuesParser::new(ALL.iter().map(|printed| printed.command))
}

pub(super) fn run(args: &SchemaArgs) -> Result<ExitCode> {
    match (args.command.as_deref().and_then(Printed::by), &args.write) {
        (Some(printed), _) => print_json(&printed.schema())?,
        (None, Some(folder)) => ALL.iter().try_for_each(|printed| {
            let name = printed.command.replace(' ', "-");
            let file = folder.join(format!("{name}.schema.json"));
            let text = serde_json::to_string_pretty(&printed.schema())? + "\n";
            fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
        })?,
        (None, None) => {
            print_text(
                &ALL.iter().map(|printed| format!("{}\n", printed.command)).collect::<String>(),
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Command, CommandFactory as _};

    use super::*;
    use crate::cli::Cli;

    /// Commands below this one that take `-o json`, each with the words before it.
    fn with_json(command: &Command, words: &str, found: &mut BTreeSet<String>) {
        let takes_json = command.get_arguments().any(|argument| {
            let values = argument.get_possible_values();
            argument.get_id() == "output" && values.iter().any(|value| value.get_name() == "json")
        });
        if takes_json {
            found.insert(words.trim().to_owned());
        }
        for below in command.get_subcommands() {
            with_json(below, &format!("{words} {}", below.get_name()), found);
        }
    }

    #[test]
    fn every_command_that_prints_json_has_a_schema() {
        let mut found = BTreeSet::new();
        with_json(&Cli::command(), "", &mut found);
        assert!(found.contains("backend status") && found.len() >= 16, "{found:?}");
        let known: BTreeSet<String> = ALL
            .iter()
            .map(|printed| printed.command.to_owned())
            .filter(|command| !["error", "flow-log"].contains(&&**command))
            .collect();
        assert_eq!(found, known);
    }

    #[test]
    fn files_are_written_for_all() {
        let folder = tempfile::tempdir().unwrap();
        let write = Some(folder.path().to_owned());
        run(&SchemaArgs { command: None, write }).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), ALL.len());
        let text = fs::read_to_string(folder.path().join("backend-up.schema.json")).unwrap();
        assert!(text.contains("\"title\": \"elb backend up -o json\""), "{text}");
    }
}
