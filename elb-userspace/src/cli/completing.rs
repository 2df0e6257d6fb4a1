//! Completion of command lines: the shell asks `elb` what a word may be, and `elb` its agent, where that is a resource.

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Command;
use clap_complete::CompleteEnv;
use clap_complete::env::{Bash, Elvish, EnvCompleter, Fish, Powershell, Shells, Zsh};

use super::help;

/// What a shell sets where it asks.
const VARIABLE: &str = "ELB_COMPLETE";

const SHELLS: Shells<'static> =
    Shells(&[&Quiet(&Bash), &Quiet(&Elvish), &Quiet(&Fish), &Quiet(&Powershell), &Quiet(&Zsh)]);

/// Answers a shell that asks, and ends; otherwise goes on.
pub(super) fn answer() {
    CompleteEnv::with_factory(help::command).var(VARIABLE).shells(SHELLS).complete();
}

/// Prints what a shell has to read to ask.
pub(super) fn print_script(shell: clap_complete::Shell) -> Result<()> {
    let name = shell.to_string();
    let shell =
        SHELLS.completer(&name).with_context(|| format!("there is no script for {name}"))?;
    let mut out = io::stdout().lock();
    Ok(shell.write_registration(VARIABLE, "elb", "elb", "elb", &mut out)?)
}

/// The words of the command line that a shell asks about.
pub(super) fn words() -> impl Iterator<Item = OsString> {
    env::args_os().skip_while(|word| word != "--").skip(1)
}

/// A shell that gets options only where one begins, or nothing else is possible.
struct Quiet(&'static (dyn EnvCompleter + Sync));

impl EnvCompleter for Quiet {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn is(&self, name: &str) -> bool {
        self.0.is(name)
    }

    fn write_registration(
        &self,
        var: &str,
        name: &str,
        bin: &str,
        completer: &str,
        buf: &mut dyn Write,
    ) -> io::Result<()> {
        self.0.write_registration(var, name, bin, completer, buf)
    }

    fn write_complete(
        &self,
        command: &mut Command,
        words: Vec<OsString>,
        folder: Option<&Path>,
        buf: &mut dyn Write,
    ) -> io::Result<()> {
        // Shells that do not say which word they mean mean the last one.
        let index = env::var("_CLAP_COMPLETE_INDEX").ok().and_then(|index| index.parse().ok());
        let word = words.get(index.unwrap_or(words.len().saturating_sub(1)));
        let begins_one = word.is_some_and(|word| word.to_string_lossy().starts_with('-'));
        if !begins_one {
            *command = with_hidden_options(command.clone());
        }
        self.0.write_complete(command, words, folder, buf)
    }
}

fn with_hidden_options(command: Command) -> Command {
    let hide = |argument: clap::Arg| {
        let is_option = !argument.is_positional();
        if is_option { argument.hide(true) } else { argument }
    };
    command.mut_args(hide).mut_subcommands(with_hidden_options)
}
