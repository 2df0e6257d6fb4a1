//! What a store holds, as text of the configuration file: so the same rules hold for it, and the same reload
//! takes it over.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::pieces::Pieces;
use super::{Documents, ModelCheck};
use crate::model::Model;
use crate::source::api::ApiSettings;
use crate::source::file::{self, ConfigError, Host, Piece, Severity, SourceText};

/// The resources that can be served, as TOML. Listeners without a pool are not among them: no packet has a
/// member there.
pub fn text(documents: &Documents, settings: &ApiSettings) -> String {
    let pieces = pieces(documents, settings);
    pieces.iter().map(|piece| piece.text()).collect::<Vec<_>>().join("\n")
}

/// The same, each resource by itself.
pub fn pieces(documents: &Documents, settings: &ApiSettings) -> Vec<Arc<Piece>> {
    Pieces::new(settings.clone()).of(documents)
}

/// What can be served of it on a host with as much room as there can be, as a model.
pub fn model(documents: &Documents, settings: &ApiSettings) -> Model {
    let source = SourceText::of("store", ROOMY);
    let source = source.with_store(Path::new("store"), pieces(documents, settings));
    let (config, _) = file::parse_source(&source, &Host::default());
    config.map(|config| config.model).unwrap_or_default()
}

/// The head of a file without which a store is no configuration: what fits into a host's maps is judged where its
/// own file is known.
const ROOMY: &str = "[agent]\ninterfaces = [\"lo\"]\nring_slots = 268435456\nmax_backends = 65535\n\
                     max_listeners = 65535\n";

/// Whether documents can be served with a file; what is wrong with the file alone does not count, as long as it can be
/// read with them.
pub fn check(path: PathBuf, settings: ApiSettings, file: Arc<RwLock<SourceText>>) -> ModelCheck {
    let known = Mutex::new(Pieces::new(settings));
    Box::new(move |documents: &Documents| {
        let pieces = known.lock().unwrap_or_else(PoisonError::into_inner).of(documents);
        let source = file.read().unwrap_or_else(PoisonError::into_inner).clone();
        let source = source.with_store(&path, pieces);
        let (config, errors) = file::parse_source(&source, &Host::default());
        let mut errors = errors.iter().filter(|error| error.severity == Severity::Error);
        if config.is_none() {
            // Nothing of the store was looked at.
            let first = errors.next().map(said).unwrap_or_default();
            return Err(format!("the configuration file cannot be read: {first}"));
        }
        let name = path.display().to_string();
        let all: Vec<String> = errors.filter(|error| error.file == name).map(said).collect();
        if all.is_empty() { Ok(()) } else { Err(all.join("; ")) }
    })
}

fn said(error: &ConfigError) -> String {
    let ConfigError { object, what, fix, .. } = error;
    if object.is_empty() { format!("{what}; {fix}") } else { format!("{object}: {what}; {fix}") }
}

#[cfg(test)]
mod tests;
