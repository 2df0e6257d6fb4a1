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
    /// Writes a configuration down, unless it is there already.
    pub(super) fn keep(folder: &Folder, loaded: &LoadedFile) -> Result<(), String> {
        let LoadedFile { path: file, text, generation, .. } = loaded;
        let path = folder.last_good();
        let known: Option<Self> = saved::read(&path);
        if known.is_some_and(|known| {
            known.file == *file && known.text == *text && known.generation == *generation
        }) {
            return Ok(());
        }
        let (file, text) = (file.clone(), text.clone());
        let good = Self { file, at: now().wall, text, generation: *generation };
        saved::write(&path, &good).map_err(|error| {
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
/// file has errors, so that the last good one serves.
pub(super) fn generation(folder: &Folder, right: Option<&str>) -> u64 {
    let known: Option<LastGood> = saved::read(&folder.last_good());
    let Some(known) = known else { return 1 };
    let is_news = right.is_some_and(|text| text != known.text);
    known.generation.max(1) + u64::from(is_news)
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
        Ok(source) => (source.text.clone(), own_address::read_for_this_host(&source)),
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
    Ok(Beginning { config, right: None, problems, stored: None })
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
mod tests {
    use super::*;

    fn text(folder: &Path, weight: u8) -> String {
        format!(
            "[agent]\ninterfaces = [\"eth0\"]\nstate_dir = {:?}\n[[pool]]\nname = \"web\"\n\
             protocol = \"TCP\"\nforwarding = \"ipip\"\n[[pool.member]]\naddress = \"10.0.0.1\"\n\
             protocol_port = 80\nweight = {weight}\n",
            folder.display().to_string()
        )
    }

    /// A file that was taken over, and is `text` now.
    fn begin_with(text_now: impl Fn(&Path) -> String) -> Result<Beginning> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("elb.toml");
        let good = file::parse("", &text(folder.path(), 7)).unwrap();
        let state = Folder::of(&good.agent);
        state.make().unwrap();
        keep(&state, &file, &text(folder.path(), 7), 1);
        fs::write(&file, text_now(folder.path())).unwrap();
        begin(&file)
    }

    fn keep(state: &Folder, file: &Path, text: &str, generation: u64) {
        let (path, text) = (file.to_owned(), text.to_owned());
        let (problems, is_wrong, published) = (Vec::new(), false, None);
        let loaded = now();
        let stored = None;
        let loaded =
            LoadedFile { path, text, loaded, generation, published, problems, is_wrong, stored };
        LastGood::keep(state, &loaded).unwrap();
    }

    #[test]
    fn the_generation_goes_on_where_the_last_agent_left_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = Folder::of(&file::parse("", &text(folder.path(), 7)).unwrap().agent);
        state.make().unwrap();
        assert_eq!(generation(&state, Some("one")), 1);
        keep(&state, Path::new("/x"), "one", 4);
        assert_eq!(generation(&state, Some("one")), 4);
        assert_eq!(generation(&state, None), 4, "the last good one serves");
        assert_eq!(generation(&state, Some("two")), 5);
    }

    fn weight(beginning: &Beginning) -> Option<u32> {
        Some(beginning.config.model.pools().first()?.members[0].weight.get())
    }

    #[test]
    fn a_right_file_is_served() {
        let begun = begin_with(|folder| text(folder, 9)).unwrap();
        assert!(begun.right.is_some());
        assert_eq!(weight(&begun), Some(9));
    }

    #[test]
    fn a_wrong_pool_is_served_as_it_was() {
        let begun = begin_with(|folder| text(folder, 101)).unwrap();
        assert_eq!((begun.right.is_some(), weight(&begun)), (false, Some(7)));
        let problems = begun.problems.join("\n");
        assert!(problems.contains("serves pool \"web\" in its place"), "{problems}");
        assert!(problems.contains("101"), "{problems}");
    }

    #[test]
    fn a_file_that_says_nothing_leaves_everything() {
        let broken: [fn(&Path) -> String; 3] = [
            |folder| text(folder, 9) + "[[pool",
            |folder| text(folder, 9).replace("interfaces", "interface"),
            |folder| text(folder, 9).replace("[agent]", "[agent"),
        ];
        for text_now in broken {
            let begun = begin_with(text_now).unwrap();
            assert_eq!(weight(&begun), Some(7));
            assert!(begun.problems[0].contains("serves everything in its place"));
        }
    }

    #[test]
    fn without_a_last_good_one_what_is_right_is_served_or_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("elb.toml");
        fs::write(&file, text(folder.path(), 101)).unwrap();
        let begun = begin(&file).unwrap();
        assert_eq!((begun.right.is_some(), weight(&begun)), (false, None));
        fs::write(&file, "[agent").unwrap();
        let why = begin(&file).err().unwrap().to_string();
        let said = format!("no last good configuration of this file was found in {STATE_DIR};");
        assert!(why.contains(&said) && why.contains("[agent] state_dir"), "{why}");
        fs::remove_file(&file).unwrap();
        assert!(begin(&file).err().unwrap().to_string().contains(&said));
    }
}
