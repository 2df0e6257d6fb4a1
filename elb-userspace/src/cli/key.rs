//! `elb key`: the keys that clients of the API sign with, or show.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};

use super::ConfigArg;
use crate::api::shape::status::timestamp;
use crate::api::v3::keys::{ClientKeys, KeyRole, NewKey};
use crate::source::file;

#[derive(Debug, Subcommand)]
pub(super) enum KeyCommand {
    /// Make a key, and show its secrets: once, and never again.
    #[command(after_help = "\
A client signs with access and secret (SDK-HMAC-SHA256, as the SDKs do), or shows the token in the header
X-Auth-Token. The agent knows the key at once.

Example:
  elb key create deploy
  elb key create dashboard --read-only")]
    Create(CreateArgs),
    /// Show the keys, without their secrets.
    List(ListArgs),
    /// Make a key worthless, at once.
    Revoke(RevokeArgs),
}

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// What it is called; the audit log names it.
    name: String,
    /// Whose resources it is for: 32 hexadecimal digits. Default: the project of the other keys, or the one in which
    /// this host makes resources without a key.
    #[arg(long, value_name = "ID")]
    project: Option<String>,
    /// It changes nothing.
    #[arg(long)]
    read_only: bool,
}

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    config: ConfigArg,
    /// What it is called.
    name: String,
}

pub(super) fn run(command: &KeyCommand) -> Result<ExitCode> {
    match command {
        KeyCommand::Create(args) => create(args)?,
        KeyCommand::List(args) => print!("{}", list(&ClientKeys::read(&path(&args.config)?)?)),
        KeyCommand::Revoke(args) => {
            let path = path(&args.config)?;
            ClientKeys::change(&path, |keys| keys.revoke(&args.name))?;
            println!("key {:?} is revoked", args.name);
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn create(args: &CreateArgs) -> Result<()> {
    let path = path(&args.config)?;
    let role = if args.read_only { KeyRole::ReadOnly } else { KeyRole::Full };
    let made = ClientKeys::change(&path, |keys| {
        keys.create(&args.name, args.project.as_deref(), role, timestamp(now()))
    })?;
    print!("{}", shown(&made));
    Ok(())
}

fn shown(made: &NewKey) -> String {
    let NewKey { key, secret, token } = made;
    format!(
        "name     {}\nproject  {}\nrole     {}\naccess   {}\nsecret   {secret}\ntoken    {token}\n",
        key.name,
        key.project,
        role(key.role),
        key.access
    )
}

fn list(keys: &ClientKeys) -> String {
    let line = |[name, project, role, access, created]: [&str; 5]| {
        format!("{name:<24}  {project:<32}  {role:<9}  {access:<20}  {created}\n")
    };
    let lines = keys
        .keys
        .iter()
        .map(|key| line([&key.name, &key.project, role(key.role), &key.access, &key.created]));
    line(["NAME", "PROJECT", "ROLE", "ACCESS", "CREATED"]) + &lines.collect::<String>()
}

const fn role(role: KeyRole) -> &'static str {
    match role {
        KeyRole::Full => "full",
        KeyRole::ReadOnly => "read-only",
    }
}

/// The file of the keys, as the configuration names it.
fn path(config: &ConfigArg) -> Result<PathBuf> {
    let file = &config.config;
    let (read, errors) = file::load_lenient(file);
    let Some(read) = read else { bail!("{errors}") };
    let api = read.api.with_context(|| {
        format!(
            "{} has no [api], so that no key is of any use: docs/api.md has one",
            file.display()
        )
    })?;
    Ok(api.keys_file(&read.agent.state_dir))
}

#[expect(clippy::disallowed_methods, reason = "it is shown and decides nothing")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_shown_once() {
        let mut keys = ClientKeys::default();
        let made = keys.create("deploy", None, KeyRole::ReadOnly, "2026".to_owned()).unwrap();
        let first = shown(&made);
        assert!(first.contains(&made.secret) && first.contains(&made.token), "{first}");
        let later = list(&keys);
        assert!(later.contains("deploy") && later.contains("read-only"), "{later}");
        assert!(!later.contains(&made.secret) && !later.contains(&made.token), "{later}");
    }
}
