//! The thread that writes: what was asked for meanwhile is committed together, and each is answered afterwards.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::thread;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};

use super::database::Database;
use super::documents::Change;
use super::group::{self, Asked, Job};
use super::measured::Measured;
use super::{Body, Documents, StoreCosts, StoreError, Transaction};

/// Writes that wait; who asks for more waits, too.
const WAITING: usize = 1024;
/// Writes of one commit.
const TOGETHER: usize = 128;

/// Whether all documents together can be served; the error says why not.
pub type ModelCheck = Box<dyn Fn(&Documents) -> Result<(), String> + Send + Sync>;

/// What was asked of the store: by what, what was there, what is there now.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditRecord {
    /// When: UTC, to the second.
    pub at: String,
    /// The name of the key that it was asked with.
    pub actor: String,
    /// What was asked for.
    pub operation: String,
    /// The id of the request.
    pub request: String,
    /// Whose resource it is.
    pub project: String,
    /// The resource, where one is known.
    pub id: Option<String>,
    /// As it was before.
    pub before: Option<Body>,
    /// As it is now.
    pub after: Option<Body>,
    /// `ok`, or the code of the error.
    pub result: String,
}

/// What came of a write: what it made, or why it changed nothing.
pub type WriteResult<T, E> = Result<Result<T, E>, Arc<StoreError>>;

/// How far the data path is with what the store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// The revision that is in the maps.
    pub applied: u64,
    /// The last revision that cannot be served, and why.
    pub refused: Option<(u64, String)>,
}

/// A store that is open. Its clones are the same one.
#[derive(Clone)]
pub struct Store {
    path: PathBuf,
    shared: Arc<RwLock<Documents>>,
    jobs: mpsc::Sender<Waiting>,
    committed: watch::Receiver<u64>,
    reached: Arc<watch::Sender<Reached>>,
    pub(super) measured: Arc<Measured>,
}

/// What waits for the thread.
enum Waiting {
    Write(Box<dyn Job>),
    /// A look at the file, with what was asked for before.
    Look(Box<dyn FnOnce(&Database) + Send>),
}

impl Store {
    /// Opens the store in a file, or makes it.
    ///
    /// # Errors
    /// It is damaged, another process has it, or it cannot be read or made.
    pub fn open(path: &Path, check: ModelCheck) -> Result<Self, StoreError> {
        let (database, documents) = Database::open(path)?;
        let measured = Arc::new(Measured::of(database.connection())?);
        let shared = Arc::new(RwLock::new(documents.clone()));
        let (jobs, waiting) = mpsc::channel(WAITING);
        let (commits, committed) = watch::channel(documents.revision);
        let writer = Writer {
            database,
            documents,
            shared: shared.clone(),
            check,
            commits,
            measured: measured.clone(),
        };
        thread::Builder::new()
            .name("elb-store".to_owned())
            .spawn(move || writer.run(waiting))
            .map_err(|error| StoreError::File(path.to_owned(), error))?;
        let reached = Arc::new(watch::channel(Reached::default()).0);
        Ok(Self { path: path.to_owned(), shared, jobs, committed, reached, measured })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What it costs.
    pub fn costs(&self) -> StoreCosts {
        self.measured.costs(&self.path)
    }

    /// What is on the disk.
    pub fn read(&self) -> RwLockReadGuard<'_, Documents> {
        self.shared.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes documents. An error of the work takes its changes back; what it noted is written down all the same.
    /// The work may be done several times, each time as if it had not been done before.
    ///
    /// # Errors
    /// The disk refused, and nothing changed.
    pub async fn write<T, E>(
        &self,
        work: impl FnMut(&mut Transaction<'_>) -> Result<T, E> + Send + 'static,
    ) -> WriteResult<T, E>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let (job, receiver) = Asked::new(work);
        let ended = || Arc::new(StoreError::Ended);
        self.jobs.send(Waiting::Write(Box::new(job))).await.map_err(|_| ended())?;
        receiver.await.map_err(|_| ended())?
    }

    /// Looks at the file on the connection that writes: there is no other.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Arc<StoreError>> {
        let (sender, receiver) = oneshot::channel();
        let job = Waiting::Look(Box::new(move |database| drop(sender.send(look(database)))));
        let ended = || Arc::new(StoreError::Ended);
        self.jobs.send(job).await.map_err(|_| ended())?;
        receiver.await.map_err(|_| ended())?.map_err(Arc::new)
    }

    /// The revision of the last commit, and when there is another.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.committed.clone()
    }

    /// How far the data path is.
    pub fn reached(&self) -> Reached {
        self.reached.borrow().clone()
    }

    /// Notes how far the data path is.
    pub fn reach(&self, reached: Reached) {
        self.reached.send_replace(reached);
    }
}

struct Writer {
    database: Database,
    /// As `shared`, with what is not committed yet.
    documents: Documents,
    shared: Arc<RwLock<Documents>>,
    check: ModelCheck,
    commits: watch::Sender<u64>,
    measured: Arc<Measured>,
}

impl Writer {
    fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        while let Some(job) = waiting.blocking_recv() {
            let mut jobs = vec![job];
            while jobs.len() < TOGETHER
                && let Ok(job) = waiting.try_recv()
            {
                jobs.push(job);
            }
            self.take(jobs);
        }
    }

    fn take(&mut self, jobs: Vec<Waiting>) {
        let mut writes = Vec::new();
        for job in jobs {
            match job {
                Waiting::Write(write) => writes.push(write),
                Waiting::Look(look) => {
                    self.commit(std::mem::take(&mut writes));
                    // Who asked hears that no one answers.
                    let _ = catch_unwind(AssertUnwindSafe(|| look(&self.database)));
                }
            }
        }
        self.commit(writes);
    }

    /// Does what waits, in order, and commits it together.
    fn commit(&mut self, mut jobs: Vec<Box<dyn Job>>) {
        let done = group::settle(&mut self.documents, &self.check, &mut jobs, false);
        let result = self.write(&done.changes, &done.audit).map_err(Arc::new);
        jobs.into_iter().for_each(|job| job.answer(result.clone()));
    }

    fn write(&mut self, changes: &[Change], audit: &[AuditRecord]) -> Result<(), StoreError> {
        if changes.is_empty() && audit.is_empty() {
            return Ok(());
        }
        let before = self.documents.revision;
        self.documents.revision += u64::from(!changes.is_empty());
        let begun = Instant::now();
        let committed = self.database.commit(&self.documents, changes, audit);
        self.measured.committed(begun.elapsed());
        if let Err(error) = committed {
            tracing::error!(%error, "the store cannot be written; nothing of what was asked for changed");
            self.documents.revision = before;
            for (at, before) in changes.iter().rev() {
                self.documents.replace(*at, before.clone());
            }
            return Err(error);
        }
        if changes.is_empty() {
            // Those who follow the store have nothing to take over.
            return Ok(());
        }
        let mut shared = self.shared.write().unwrap_or_else(PoisonError::into_inner);
        for ((kind, id), _) in changes {
            let now = self.documents.get(*kind, *id).cloned();
            shared.replace((*kind, *id), now);
        }
        shared.revision = self.documents.revision;
        drop(shared);
        self.commits.send_replace(self.documents.revision);
        Ok(())
    }
}
