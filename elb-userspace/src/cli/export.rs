//! `elb export`: everything that is served as one configuration file with ids, and the change between file and store.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, RwLock};
use std::time::SystemTime;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use toml::Table;

use super::alone::alone;
use super::socket::SocketArg;
use super::{ConfigArg, block_on, print_text};
use crate::api::client;
use crate::api::shape::status::timestamp;
use crate::api::v3::apply::{Applicant, apply};
use crate::api::v3::keys::ClientKeys;
use crate::kernel::replace::replace_like;
use crate::model::Model;
use crate::source::api::ApiSettings;
use crate::source::file::export::{with_ids, without_resources, written};
use crate::source::file::{self, Config, Host, MAX_FILE_SIZE, SourceText};
use crate::source::store::{Documents, Store, text};

#[derive(Debug, Args)]
#[command(after_help = "\
Of a host with a store ([api]), the resources are those of the store, from the agent or, while none runs, from its
file; of another, those of the configuration file. Files that it includes become a part of it. Every resource has
its id, so that it stays the same under another name. `elb check` accepts the file, and `elb apply` too.

Listeners without a pool are left out, since a file has no word for them; and so are descriptions, tags and the
names of members of a store. What would be more than elb reads from a file, 4 MiB, is refused.

Examples:
  elb export > elb-whole.toml
  elb export --config old.toml > whole.toml && elb check --config whole.toml")]
pub(super) struct ExportArgs {
    #[command(flatten)]
    agent: SocketArg,
}

#[derive(Debug, Args)]
pub(super) struct FromFileArgs {
    #[command(flatten)]
    config: ConfigArg,
}

#[derive(Debug, Args)]
pub(super) struct ToFileArgs {
    #[command(flatten)]
    agent: SocketArg,
}

pub(super) fn run(args: &ExportArgs) -> Result<ExitCode> {
    let (source, config) = read(args.agent.file())?;
    let text = match &config.api {
        Some(api) => whole(&source, &resources(&args.agent, &config, api)?)?,
        None => readable(with_ids(&source, &config.model)?)?,
    };
    print_text(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// Makes a file's resources those of a store, which the agent has from its next start on.
pub(super) fn from_file(args: &FromFileArgs) -> Result<()> {
    let path = &args.config.config;
    let (source, config) = read(path)?;
    if config.api.is_some() {
        bail!("{} has [api]: the resources of this host are in its store already", path.display());
    }
    let settings = settings(&config.model)?;
    let store = settings.store_file(&config.agent.state_dir);
    let mut rest = without_resources(&source, &[])?;
    let api =
        [("forwarding", settings.forwarding.as_str()), ("announce", settings.announce.as_str())];
    let api = api.map(|(key, value)| (key.to_owned(), value.into()));
    rest.insert("api".to_owned(), Table::from_iter(api).into());
    let new = readable(written(&rest))?;
    let keys = ClientKeys::read(&settings.keys_file(&config.agent.state_dir))?;
    let by = Applicant {
        actor: "local:elb store from-file".to_owned(),
        project: keys.project_for_new()?,
        request: String::new(),
        now: timestamp(now()),
    };
    let count = block_on(fill(&store, &new, settings, config.model, by))?;
    let before = put(path, &new)?;
    print_text(&format!(
        "{count} resources are in {}, and {} has [api]; {} is the file of before.\nRestart the agent \
         (`systemctl restart elb`): until then it serves what it did, and refuses to reload.\n",
        store.display(),
        path.display(),
        before.display()
    ))
}

/// Brings a store that no agent uses to what a model says: how many resources that changed.
async fn fill(
    path: &Path,
    file: &str,
    settings: ApiSettings,
    model: Model,
    by: Applicant,
) -> Result<usize> {
    let source = Arc::new(RwLock::new(SourceText::of("the new file", file)));
    let check = text::check(path.to_owned(), settings.clone(), source);
    let store =
        Store::open(path, check).with_context(|| format!("cannot use {}", path.display()))?;
    let done = store.write(move |transaction| {
        let applied = apply(transaction, &settings, &model, &by)?;
        applied.records.into_iter().for_each(|record| transaction.note(record));
        Ok::<_, String>(applied.changes.len())
    });
    done.await?.map_err(|why| anyhow!("{why}"))
}

/// What the resources of a file have alike, as the API's store wants it.
fn settings(model: &Model) -> Result<ApiSettings> {
    let mut forwarding: Vec<_> =
        model.pools().iter().map(|pool| pool.forwarding.as_str()).collect();
    let balancers = model.load_balancers().iter();
    let mut announce: Vec<_> = balancers.map(|lb| lb.announce.as_str()).collect();
    for (what, found) in
        [("forwarding of pools", &mut forwarding), ("announce of load balancers", &mut announce)]
    {
        found.sort_unstable();
        found.dedup();
        if found.len() > 1 {
            bail!(
                "the {what} is {}: with a store it is one for all, in [api]",
                found.join(" and ")
            );
        }
    }
    let Some(forwarding) = forwarding.first() else {
        bail!("the file has no pools: nothing is to be taken over, write [api] into it");
    };
    let announce = announce.first().map_or("arp", |one| *one);
    let text = format!(
        "[agent]\ninterfaces = [\"lo\"]\n[api]\nforwarding = \"{forwarding}\"\nannounce = \"{announce}\"\n"
    );
    let config = file::parse("[api]", &text).map_err(|errors| anyhow!("{errors}"))?;
    config.api.context("[api] was written")
}

/// Makes the resources of a store those of the file, which the agent has from its next start on.
pub(super) fn to_file(args: &ToFileArgs) -> Result<()> {
    let path = args.agent.file();
    let (source, config) = read(path)?;
    let Some(api) = &config.api else {
        bail!("{} has no [api]: its resources are in it already", path.display());
    };
    let new = whole(&source, &resources(&args.agent, &config, api)?)?;
    let before = put(path, &new)?;
    print_text(&format!(
        "{} has the resources of the store; {} is the file of before. The store stays as it is.\nRestart the agent \
         (`systemctl restart elb`): what is changed by the API until then is in the store only.\n",
        path.display(),
        before.display()
    ))
}

/// A file that is right throughout.
fn read(path: &Path) -> Result<(SourceText, Config)> {
    let source = SourceText::read(path).map_err(|errors| anyhow!("{errors}"))?;
    let (config, errors) = file::parse_source(&source, &Host::default());
    let config = config.filter(|_| !errors.has_errors()).ok_or_else(|| anyhow!("{errors}"))?;
    Ok((source, config))
}

/// What a store holds, as text: from the agent, or from its file while there is none.
fn resources(agent: &SocketArg, config: &Config, api: &ApiSettings) -> Result<String> {
    match block_on(client::export(&agent.path()?)) {
        Err(error) if client::is_absence(&error) => {}
        answer => return answer,
    }
    let _locks = alone(&config.agent)?;
    let path = api.store_file(&config.agent.state_dir);
    if !path.exists() {
        bail!("no agent runs, and there is no store {}", path.display());
    }
    let store = Store::open(&path, Box::new(|_: &Documents| Ok(())))
        .with_context(|| format!("cannot use {}", path.display()))?;
    Ok(text::text(&store.read(), api))
}

/// A file with these resources, in place of [api].
fn whole(source: &SourceText, resources: &str) -> Result<String> {
    let text = written(&without_resources(source, &["api"])?) + "\n" + resources;
    let text = readable(text)?;
    file::parse("the exported file", &text).map_err(|errors| anyhow!("{errors}"))?;
    Ok(text)
}

/// Bytes of a file that the head of one that is put into its place may take.
const HEAD: u64 = 8 << 10;

/// A text, unless a file with it could not be read again.
fn readable(text: String) -> Result<String> {
    let size = text.len() as u64;
    if size > MAX_FILE_SIZE - HEAD {
        bail!(
            "as one file, the configuration has {size} bytes, and elb reads files of at most {} MiB: nothing was written; \
             keep it in a store ([api] and `elb store from-file`), of which `elb store backup` makes a copy of any size, \
             or serve a part of it from another host",
            MAX_FILE_SIZE >> 20
        );
    }
    Ok(text)
}

/// Replaces a file, and keeps the old one under another name.
fn put(path: &Path, text: &str) -> Result<PathBuf> {
    let mark = format!("before-{}", timestamp(now()).replace(':', ""));
    let before = path.with_added_extension(mark);
    fs::copy(path, &before).with_context(|| format!("cannot write {}", before.display()))?;
    let text = format!("# Written by elb; {} is the file of before.\n{text}", before.display());
    replace_like(path, text.as_bytes())
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(before)
}

#[expect(clippy::disallowed_methods, reason = "it is a part of a name, and of what is shown")]
fn now() -> SystemTime {
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_not_be_read_again_is_not_written() {
        let file = "[agent]\ninterfaces = [\"lo\"]\n[api]\nforwarding = \"ipip\"\n";
        let source = SourceText::of("elb.toml", file);
        let rest = whole(&source, "").unwrap().len();
        let most = usize::try_from(MAX_FILE_SIZE - HEAD).unwrap() - rest;
        let text = whole(&source, &"#".repeat(most)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("elb.toml");
        fs::write(&path, file).unwrap();
        put(&path, &text).unwrap();
        assert!(SourceText::read(&path).is_ok(), "with its head");
        let why = whole(&source, &"#".repeat(most + 1)).unwrap_err().to_string();
        assert!(why.contains("files of at most 4 MiB: nothing was written; keep it in a"), "{why}");
    }
}
