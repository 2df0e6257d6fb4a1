//! `elb store`: copies of the store of the API's resources.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};

use super::alone::alone;
use super::export::{FromFileArgs, ToFileArgs, from_file, to_file};
use super::socket::SocketArg;
use super::{ConfigArg, block_on, print_text};
use crate::api::client;
use crate::api::shape::status::timestamp;
use crate::source::file::{self, Config};
use crate::source::store::{StoreFacts, examine, restore};

#[derive(Debug, Subcommand)]
pub(super) enum StoreCommand {
    /// Copy the store into a file, while the agent runs.
    #[command(after_help = "\
The agent makes the copy, of one moment, and serves on meanwhile; changes wait until it is made. It is looked
through before it gets its name, and only its owner may read it. A file that is there is replaced. The keys of
clients are not in the store: they are in api-keys.json.

Example:
  elb store backup /var/backups/elb-store.db")]
    Backup(BackupArgs),
    /// Put a copy in the place of the store, while the agent is stopped.
    #[command(after_help = "\
The file is looked through first: it is a store of this version of elb or an earlier one, and sound. The store that
was there is kept next to it, and its new name is printed.

Example:
  systemctl stop elb && elb store restore /var/backups/elb-store.db && systemctl start elb")]
    Restore(RestoreArgs),
    /// Make the resources of the configuration file those of a store.
    #[command(after_help = "\
The store gets the resources with their ids, and the file gets [api] in their place: comments are lost, and the file
of before is kept next to it. The agent may run; its next start changes over, and no connection ends. If the
host already has the file of a store, what a configuration file cannot say (descriptions, tags) is kept from it.

Example:
  elb store from-file && systemctl restart elb")]
    FromFile(FromFileArgs),
    /// Make the resources of the store those of the configuration file.
    #[command(after_help = "\
The file gets the resources with their ids in place of [api]; the file of before is kept next to it, and so is the
store. The agent may run; its next start changes over, and no connection ends.

Example:
  elb store to-file && systemctl restart elb")]
    ToFile(ToFileArgs),
}

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// Where the copy goes.
    file: PathBuf,
    #[command(flatten)]
    agent: SocketArg,
}

#[derive(Debug, Args)]
pub(super) struct RestoreArgs {
    /// The copy.
    file: PathBuf,
    #[command(flatten)]
    config: ConfigArg,
}

pub(super) fn run(command: &StoreCommand) -> Result<ExitCode> {
    match command {
        StoreCommand::Backup(args) => backup(args)?,
        StoreCommand::Restore(args) => put_back(args)?,
        StoreCommand::FromFile(args) => from_file(args)?,
        StoreCommand::ToFile(args) => to_file(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn backup(args: &BackupArgs) -> Result<()> {
    let socket = args.agent.path()?;
    let new = args.file.with_added_extension("new");
    let made = fetch(&socket, &new).and_then(|()| {
        let facts =
            examine(&new).with_context(|| format!("the copy {} is not right", new.display()))?;
        std::fs::rename(&new, &args.file)
            .with_context(|| format!("cannot write {}", args.file.display()))?;
        Ok(facts)
    });
    let facts = made.inspect_err(|_| drop(std::fs::remove_file(&new)))?;
    print_text(&format!("{}: {}\n", args.file.display(), said(facts)))
}

/// Asks the agent for a copy, and writes it.
fn fetch(socket: &Path, to: &Path) -> Result<()> {
    let cannot = || format!("cannot write {}", to.display());
    let mut open = OpenOptions::new();
    let mut file: Option<File> = None;
    block_on(client::copy_store(socket, |piece| {
        // Nothing is made where the agent refuses.
        let file = match &mut file {
            Some(file) => file,
            none => {
                let _ = std::fs::remove_file(to);
                let opened = open.write(true).create_new(true).mode(0o600).open(to);
                none.insert(opened.with_context(cannot)?)
            }
        };
        file.write_all(piece).with_context(cannot)
    }))?;
    file.context("the agent's copy is empty")?.sync_all().with_context(cannot)
}

#[expect(clippy::disallowed_methods, reason = "the time is a part of a name")]
fn put_back(args: &RestoreArgs) -> Result<()> {
    let config = stored(&args.config.config)?;
    let Some(api) = &config.api else { bail!("the file has no [api]") };
    let _locks = alone(&config.agent)?;
    let store = api.store_file(&config.agent.state_dir);
    let mark = format!("before-{}", timestamp(SystemTime::now()).replace(':', ""));
    let done = restore(&args.file, &store, &mark)
        .with_context(|| format!("cannot restore {}", args.file.display()))?;
    let before = match done.before {
        Some(before) => format!("; the store that was there is {}", before.display()),
        None => String::new(),
    };
    print_text(&format!("{} restored: {}{before}\n", store.display(), said(done.facts)))
}

fn said(facts: StoreFacts) -> String {
    let StoreFacts { version, revision, resources, records } = facts;
    format!(
        "{resources} resources, {records} audit records, revision {revision}, version {version}"
    )
}

/// The configuration of a host with a store.
fn stored(path: &Path) -> Result<Config> {
    let (read, errors) = file::load_lenient(path);
    let Some(read) = read else { bail!("{errors}") };
    if read.api.is_none() {
        bail!(
            "{} has no [api], so that this host has no store: docs/api.md has one",
            path.display()
        );
    }
    Ok(read)
}
