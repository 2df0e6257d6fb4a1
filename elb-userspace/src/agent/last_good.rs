//! The last good configuration: kept in the state directory, it serves what the file has wrong at a start.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Result, bail};
use serde::{Deserialize, Serialize};
use toml::de::DeTable;

use super::state::LoadedFile;
use super::state::stored::{self, StoredSource};
use super::{now, own_address};
use crate::agent::saved::{self, Folder};
use crate::api::shape::status::timestamp;
use crate::source::file::{self, Config, Errors, STATE_DIR, Severity, SourceText};

/// A configuration that was right throughout when it was taken over.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LastGood {
    /// The file that it was read from.
    file: PathBuf,
    /// When it was taken over.
    at: SystemTime,
    /// The text of the file.
    text: String,
    /// How many texts were taken over.
    #[serde(default)]
    generation: u64,
    /// The revision of the store that is in it, if there is one.
    #[serde(default)]
    revision: u64,
}

/// What an agent begins to serve.
pub(super) struct Beginning {
    pub config: Config,
    /// The text of a file that was right throughout.
    pub right: Option<String>,
    pub problems: Vec<String>,
    /// Where load balancers come from, if not from the file.
    pub stored: Option<StoredSource>,
}

impl LastGood {
    /// The configuration that is served; none: there never was one that was right.
    pub(super) fn of(loaded: &LoadedFile) -> Option<Self> {
        let LoadedFile { path: file, text, generation, .. } = loaded;
        let revision = loaded.stored.as_ref().map_or(0, |stored| stored.taken);
        let (file, text, generation) = (file.clone(), text.clone(), *generation);
        (!text.is_empty()).then(|| Self { file, at: now().wall, text, generation, revision })
    }

    /// Which of the configurations that were taken over it is.
    pub(super) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Writes it down, unless it is there already.
    pub(super) fn keep(&self, folder: &Folder) -> Result<(), String> {
        let path = folder.last_good();
        let known: Option<Self> = saved::read(&path);
        if known.is_some_and(|known| Self { at: self.at, ..known } == *self) {
            return Ok(());
        }
        saved::write(&path, self).map_err(|error| {
            format!(
                "cannot save the last good configuration in {}: {error}; a start with a wrong file \
                 would not have it",
                path.display()
            )
        })
    }

    /// The last good configuration of an agent whose settings are known, or of this file.
    fn find(config: Option<&Config>, file: &Path, text: &str) -> Option<Self> {
        if let Some(config) = config {
            return saved::read(&Folder::of(&config.agent).last_good());
        }
        let folders = state_dirs(text).into_iter().filter_map(|dir| fs::read_dir(dir).ok());
        let files = folders.flatten().flatten().map(|entry| entry.path().join("last-good.json"));
        let all = files.filter_map(|path| saved::read::<Self>(&path));
        all.filter(|good| good.file == file).max_by_key(|good| good.at)
    }
}

/// The number of a configuration at a start: that of the last good one where this is its text, and where the
/// file has errors, so that the last good one serves. A store may have been taken over several times since the last
/// good one was written down: as often as it was changed, at the most.
pub(super) fn generation(folder: &Folder, right: Option<&str>, revision: u64) -> u64 {
    let known: Option<LastGood> = saved::read(&folder.last_good());
    let Some(known) = known else { return 1 };
    let is_news = right.is_some_and(|text| text != known.text);
    let news = if is_news { revision.saturating_sub(known.revision).max(1) } else { 0 };
    known.generation.max(1) + news
}

/// Reads a file for a start: what is right in it, and for the rest the last good configuration.
///
/// # Errors
/// Nothing can be served.
pub(super) fn begin(file: &Path) -> Result<Beginning> {
    let (source, stored) = match SourceText::read(file) {
        Ok(source) => {
            let (source, stored) = stored::begin(source);
            (Ok(source), stored)
        }
        Err(errors) => (Err(errors), None),
    };
    let (text, (config, errors)) = match source {
        Ok(source) => (source.whole(), own_address::read_for_this_host(&source)),
        Err(errors) => (String::new(), (None, errors)),
    };
    errors.log();
    let problems: Vec<String> = errors.iter().map(ToString::to_string).collect();
    match config {
        Some(config) if !errors.has_errors() => {
            Ok(Beginning { config, right: Some(text), problems, stored })
        }
        config => {
            let beginning = fall_back(config, &errors, file, &text)?;
            let stored = stored.or(beginning.stored);
            Ok(Beginning { stored, ..beginning })
        }
    }
}

fn fall_back(
    config: Option<Config>,
    errors: &Errors,
    file: &Path,
    text: &str,
) -> Result<Beginning> {
    let absolute = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let good = LastGood::find(config.as_ref(), &absolute, text);
    let was = good.and_then(|good| Some((file::parse_lenient("", &good.text).0?, good.at)));
    let all = || errors.iter().map(ToString::to_string).collect();
    // Who asks the API hears why it has nothing to answer with.
    let is_named = config.as_ref().is_none_or(|config| config.api.is_none() && names_api(text));
    let api = was.as_ref().filter(|_| is_named).and_then(|(was, _)| {
        let why = format!(
            "{} had errors when the agent started; correct it, and start the agent again",
            file.display()
        );
        Some(StoredSource::unopened(was.api.clone()?, was, why))
    });
    let (config, kept, at) = match (config, was) {
        (Some(config), None) => {
            return Ok(Beginning { config, right: None, problems: all(), stored: None });
        }
        (None, None) => bail!("{errors}\n{} cannot be served: {}", file.display(), not_found(text)),
        (None, Some((was, at))) => (was, vec!["everything".to_owned()], at),
        (Some(config), Some((was, at))) => {
            let filled = file::fill(&config.model, &was.model);
            (Config { model: filled.model, ..config }, filled.kept, at)
        }
    };
    let mut problems = only_errors(errors);
    if !kept.is_empty() {
        let said = format!(
            "{} has errors: the last good configuration, of {}, serves {} in its place; correct the \
             file and reload",
            file.display(),
            timestamp(at),
            named(&kept)
        );
        tracing::error!("{said}");
        problems.insert(0, said);
    }
    Ok(Beginning { config, right: None, problems, stored: api })
}

/// Why there is no last good configuration.
fn not_found(text: &str) -> String {
    let places: Vec<String> =
        state_dirs(text).iter().map(|place| place.display().to_string()).collect();
    format!(
        "no last good configuration of this file was found in {}; the file itself names the place \
         ([agent] state_dir), so that where it has another one, correct the file, or make it readable",
        places.join(" or ")
    )
}

/// Objects that are named one by one.
const MOST: usize = 10;

fn named(kept: &[String]) -> String {
    let more = kept.len().saturating_sub(MOST);
    let named = kept[..kept.len() - more].join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

/// What a refused file has wrong; warnings are about a configuration that is not in force.
pub(super) fn only_errors(errors: &Errors) -> Vec<String> {
    let errors = errors.iter().filter(|error| error.severity == Severity::Error);
    errors.map(ToString::to_string).collect()
}

/// Whether a text that has errors has `[api]`.
fn names_api(text: &str) -> bool {
    DeTable::parse_recoverable(text).0.get_ref().contains_key("api")
}

/// Where the state may be, by what can be read of a text that is no valid configuration.
fn state_dirs(text: &str) -> Vec<PathBuf> {
    let (document, _) = DeTable::parse_recoverable(text);
    let agent = document.get_ref().get("agent").and_then(|agent| agent.get_ref().as_table());
    let named = agent.and_then(|agent| agent.get("state_dir")?.get_ref().as_str());
    let line = text.lines().find_map(|line| {
        let value = line.trim().strip_prefix("state_dir")?.trim_start().strip_prefix('=')?;
        value.split(['"', '\'']).nth(1)
    });
    let mut all: Vec<PathBuf> =
        [named, line, Some(STATE_DIR)].into_iter().flatten().map(PathBuf::from).collect();
    all.dedup();
    all
}

#[cfg(test)]
mod tests;
