//! The API's store as the source of what is served: opened at the start, read with the file at each reload.

mod subnets;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use super::LoadedFile;
use crate::api::v3::SignedGap;
use crate::source::api::ApiSettings;
use crate::source::file::{self, Config, Errors, Host, Piece, SourceText};
use crate::source::store::{Pieces, Store, text};
use crate::source::subnet::{Subnet, Subnets};

/// The store of a host whose file has `[api]`.
pub(in crate::agent) struct StoredSource {
    path: PathBuf,
    /// As they were at the start.
    pub(in crate::agent) settings: ApiSettings,
    /// Those of the file that was taken over last.
    pub(in crate::agent) subnets: Subnets,
    /// All that there were since the start.
    former: Vec<Subnet>,
    /// Or why it cannot be used.
    pub(in crate::agent) store: Result<Store, String>,
    /// The file that writes are judged with: as it is now or, while that cannot be read, as it was last.
    file: Arc<RwLock<SourceText>>,
    /// What was made of the store's resources so far.
    pieces: Mutex<Pieces>,
    /// The revision that was taken over last, and why one behind it was not.
    pub(in crate::agent) taken: u64,
    pub(in crate::agent) refused: Option<(u64, String)>,
    /// What is not known of signed requests since the start.
    pub(in crate::agent) gap: Option<SignedGap>,
}

impl StoredSource {
    /// Opens the store that a file names; `None`: it names none.
    pub(in crate::agent) fn open(source: &SourceText) -> Option<Self> {
        let config = file::parse_source(source, &Host::default()).0?;
        let settings = config.api?;
        let path = settings.store_file(&config.agent.state_dir);
        let file = Arc::new(RwLock::new(source.clone()));
        let check = text::check(path.clone(), settings.clone(), file.clone());
        let pieces = Mutex::new(Pieces::new(settings.clone()));
        let store = Store::open(&path, check).map_err(|error| error.to_string());
        match &store {
            Ok(_) => {
                tracing::info!(store = %path.display(), "load balancers are those of the API's store");
            }
            Err(why) => {
                tracing::error!(store = %path.display(), why, "the API's store cannot be used");
            }
        }
        let subnets = Subnets::new(&settings.subnets, file::own_addresses);
        let former = settings.subnets.clone();
        Some(Self {
            path,
            settings,
            subnets,
            former,
            store,
            file,
            pieces,
            taken: 0,
            refused: None,
            gap: None,
        })
    }

    /// The API of a host whose file was right once and cannot be read now: it says so. Which store it names, and by which
    /// rules its documents are served, is not known.
    pub(in crate::agent) fn unopened(settings: ApiSettings, config: &Config, why: String) -> Self {
        let path = settings.store_file(&config.agent.state_dir);
        tracing::error!(store = %path.display(), why, "the API's store is not opened");
        let (file, pieces) = (Arc::default(), Mutex::new(Pieces::new(settings.clone())));
        let (subnets, former) = (Subnets::none(), Vec::new());
        let (store, taken, refused, gap) = (Err(why), 0, None, None);
        Self { path, settings, subnets, former, store, file, pieces, taken, refused, gap }
    }

    /// From now on, writes are judged with this file, if it can be read: with another one, everything would be right.
    fn judge_by(&self, source: &SourceText) {
        let config = file::parse_source(source, &Host::default()).0;
        if config.is_some_and(|config| config.api.is_some()) {
            *self.file.write().unwrap_or_else(PoisonError::into_inner) = source.clone();
        }
    }

    /// A file with what the store holds, and the revision of it.
    fn complete(&self, source: SourceText) -> (SourceText, u64) {
        match &self.store {
            Ok(store) => {
                let documents = store.read();
                let pieces =
                    self.pieces.lock().unwrap_or_else(PoisonError::into_inner).of(&documents);
                (source.with_store(&self.path, pieces), documents.revision)
            }
            Err(why) => {
                let what = format!("the store cannot be used: {why}");
                let fix = "put that right (a damaged store: restore a copy of it, or remove it to begin with an empty one), \
                           and start the agent again";
                (source.with_error(&self.path, what, fix), 0)
            }
        }
    }
}

/// A file as it is served, for a start: with what its store holds.
pub(in crate::agent) fn begin(source: SourceText) -> (SourceText, Option<StoredSource>) {
    let Some(mut stored) = StoredSource::open(&source) else {
        tracing::info!("load balancers are those of the file");
        return (source, None);
    };
    let (source, revision) = stored.complete(source);
    stored.taken = revision;
    (source, Some(stored))
}

impl LoadedFile {
    /// The file as it is now, with what the store holds.
    pub(in crate::agent) fn read(&mut self) -> Result<SourceText, Errors> {
        let source = SourceText::read(&self.path)?;
        if let Some(stored) = &self.stored {
            stored.judge_by(&source);
        }
        Ok(self.complete(source))
    }

    /// As [`Self::read`], of a file that is not to be taken over yet.
    pub(in crate::agent) fn peek(&self) -> Result<SourceText, Errors> {
        SourceText::read(&self.path).map(|source| self.complete(source))
    }

    /// As [`Self::peek`], with what the store could hold.
    pub(in crate::agent) fn peek_with(
        &self,
        pieces: Vec<Arc<Piece>>,
    ) -> Result<SourceText, Errors> {
        let source = SourceText::read(&self.path)?;
        Ok(match &self.stored {
            Some(stored) => source.with_store(&stored.path, pieces),
            None => source,
        })
    }

    /// A file, with what the store holds.
    pub(in crate::agent) fn complete(&self, source: SourceText) -> SourceText {
        match &self.stored {
            Some(stored) => stored.complete(source).0,
            None => source,
        }
    }

    /// What is wrong with the API, apart from what it serves.
    pub(in crate::agent) fn api_problem(&self, wall: SystemTime) -> Option<&str> {
        self.stored.as_ref()?.gap.as_ref()?.problem(wall)
    }

    /// Whether the store is where load balancers come from.
    pub(in crate::agent) const fn is_stored(&self) -> bool {
        self.stored.is_some()
    }

    /// The revision of the store.
    pub(in crate::agent) fn revision(&self) -> u64 {
        let store = self.stored.as_ref().and_then(|stored| stored.store.as_ref().ok());
        store.map_or(0, |store| store.read().revision)
    }

    /// A reload took over what the store held at this revision, or did not.
    pub(in crate::agent) fn note_taken(&mut self, revision: u64, refused: Option<String>) {
        if let Some(stored) = &mut self.stored {
            match refused {
                None => (stored.taken, stored.refused) = (revision, None),
                Some(why) => stored.refused = Some((revision, why)),
            }
        }
    }
}

/// Why a reload with another file cannot go on: where load balancers come from is known from the start.
pub(in crate::agent) fn other_source(running: &LoadedFile, file: &Config) -> Option<String> {
    let what = match (running.is_stored(), file.api.is_some()) {
        (true, false) => {
            "the file has no [api] any more, and load balancers are those of its store"
        }
        (false, true) => "the file has [api], and this agent began without its store",
        (true, true) | (false, false) => return None,
    };
    Some(format!("{what}: restart the agent to change that"))
}

#[cfg(test)]
mod tests;
