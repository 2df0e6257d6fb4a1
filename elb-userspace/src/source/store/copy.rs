//! Copies of a store: made while it is in use, looked through, and put in its place.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rusqlite::{Connection, ErrorCode};

use super::database::{copy_of, make, quick_check, read};
use super::{DocumentKind, Store, StoreError, migrations};

/// What a sound store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreFacts {
    /// The version of its tables.
    pub version: usize,
    /// Its last revision.
    pub revision: u64,
    /// Its resources, of all kinds.
    pub resources: usize,
    /// Its audit records.
    pub records: u64,
}

/// What came of a restore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What is in its place now.
    pub facts: StoreFacts,
    /// Where the store is that was there before, if there was one.
    pub before: Option<PathBuf>,
}

impl Store {
    /// A copy of what is on the disk now, as a file without a name, at its beginning. That it was made at this time is
    /// written down.
    ///
    /// # Errors
    /// There is no room for it next to the store.
    pub async fn copy(&self, at: SystemTime) -> Result<File, Arc<StoreError>> {
        let (to, measured) = (copy_of(self.path()), self.measured.clone());
        self.look(move |database| {
            // One that a killed agent left.
            remove(&to)?;
            make(&to).map_err(|error| StoreError::File(to.clone(), error))?;
            let copied = database.connection().execute("VACUUM INTO ?1", [to.to_string_lossy()]);
            let file = File::open(&to).map_err(|error| StoreError::File(to.clone(), error));
            remove(&to)?;
            copied?;
            measured.copied(database.connection(), at);
            file
        })
        .await
    }
}

/// Looks a file through that no one uses: it is a store of this version or an earlier one, and sound.
///
/// # Errors
/// It is not.
pub fn examine(path: &Path) -> Result<StoreFacts, StoreError> {
    // Otherwise SQLite would make an empty one.
    fs::metadata(path).map_err(|error| StoreError::File(path.to_owned(), error))?;
    let connection = Connection::open(path)?;
    // A copy is one file: what is in a log next to it becomes part of it.
    connection.execute_batch("PRAGMA journal_mode = DELETE;").map_err(foreign)?;
    quick_check(&connection)?;
    let version: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let version = version as usize;
    if version > migrations::ALL.len() {
        return Err(StoreError::Newer { found: version, known: migrations::ALL.len() });
    }
    let has_tables = "SELECT count(*) FROM sqlite_schema WHERE name IN ('meta', 'object', 'audit')";
    if version == 0 || connection.query_row(has_tables, [], |row| row.get::<_, i64>(0))? != 3 {
        return Err(StoreError::Foreign);
    }
    let documents = read(&connection)?;
    let resources = DocumentKind::ALL.iter().filter(|kind| **kind != DocumentKind::Job);
    let records: i64 = connection.query_row("SELECT count(*) FROM audit", [], |row| row.get(0))?;
    Ok(StoreFacts {
        version,
        revision: documents.revision,
        resources: resources.map(|kind| documents.of(*kind).count()).sum(),
        records: records.unsigned_abs(),
    })
}

fn foreign(error: rusqlite::Error) -> StoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => StoreError::Foreign,
        _ => error.into(),
    }
}

/// Puts a copy of a sound file in the place of a store that no one uses. What was there stays next to it, with `mark`
/// at the end of its name. Until the very last step, the store is what it was.
///
/// # Errors
/// The file is no sound store, or cannot be copied; or another process has the store open.
pub fn restore(from: &Path, to: &Path, mark: &str) -> Result<Restored, StoreError> {
    let new = to.with_added_extension("new");
    let cannot = |path: &Path| {
        let path = path.to_owned();
        move |error| StoreError::File(path, error)
    };
    let result = (|| {
        remove_all(&new)?;
        make(&new).map_err(cannot(&new))?;
        fs::copy(from, &new).map_err(cannot(from))?;
        fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).map_err(cannot(&new))?;
        if log_of(from).exists() {
            fs::copy(log_of(from), log_of(&new)).map_err(cannot(&log_of(from)))?;
        }
        let facts = examine(&new)?;
        File::open(&new).and_then(|file| file.sync_all()).map_err(cannot(&new))?;
        let before = if to.exists() { Some(keep(to, mark)?) } else { None };
        fs::rename(&new, to).map_err(cannot(to))?;
        let folder = to.parent().unwrap_or(Path::new("/"));
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(cannot(folder))?;
        Ok(Restored { facts, before })
    })();
    if result.is_err() {
        remove_all(&new)?;
    }
    result
}

/// Gives a store another name, in addition to its own. What is in its log becomes part of it, unless it is damaged.
fn keep(store: &Path, mark: &str) -> Result<PathBuf, StoreError> {
    let kept = store.with_added_extension(mark);
    let cannot = |error| StoreError::File(kept.clone(), error);
    if let Err(error) = settle(store)
        && matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        )
    {
        return Err(error.into());
    }
    if log_of(store).exists() {
        // It must not be taken for that of the file which comes in its place.
        fs::rename(log_of(store), log_of(&kept)).map_err(cannot)?;
    }
    remove(&with_suffix(store, "-shm"))?;
    fs::hard_link(store, &kept).map_err(cannot)?;
    Ok(kept)
}

/// Closed last, a database has no log any more.
fn settle(store: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(store)?;
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; COMMIT; PRAGMA wal_checkpoint(TRUNCATE);",
    )
}

/// The log of a database: what was committed and is not in its file yet.
pub(super) fn log_of(path: &Path) -> PathBuf {
    with_suffix(path, "-wal")
}

fn with_suffix(path: &Path, suffix: impl AsRef<OsStr>) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Removes a database with what SQLite has next to it.
fn remove_all(path: &Path) -> Result<(), StoreError> {
    let others = ["-wal", "-shm", "-journal"].map(|suffix| with_suffix(path, suffix));
    others.iter().map(PathBuf::as_path).chain([path]).try_for_each(remove)
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::File(path.to_owned(), error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Read as _;
    use std::time::Duration;

    use super::*;
    use crate::model::ResourceId;
    use crate::source::store::{AuditRecord, Document};

    const COPIED: SystemTime = SystemTime::UNIX_EPOCH;

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
    }

    /// Waits for the thread of a store that is dropped.
    fn open(path: &Path) -> Store {
        for _ in 0..500 {
            match Store::open(path, Box::new(|_| Ok(()))) {
                Ok(store) => return store,
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        }
        panic!("the store stays locked");
    }

    fn add(store: &Store, name: &str) {
        let document = Document {
            kind: DocumentKind::Pool,
            id: ResourceId::of_pool(name),
            project: "p".to_owned(),
            body: serde_json::Map::new(),
            tags: BTreeMap::from([("k".to_owned(), name.to_owned())]),
            created: String::new(),
            updated: String::new(),
            first: 0,
            revision: 0,
        };
        let done = store.write(move |transaction| {
            transaction.put(document.clone());
            transaction.note(AuditRecord::default());
            Ok::<_, ()>(())
        });
        run(done).unwrap().unwrap();
    }

    fn copy(store: &Store, to: &Path) {
        let mut bytes = Vec::new();
        run(store.copy(COPIED)).unwrap().read_to_end(&mut bytes).unwrap();
        fs::write(to, bytes).unwrap();
    }

    #[test]
    fn a_copy_has_what_was_acknowledged_and_takes_the_place_of_what_came_later() {
        let folder = tempfile::tempdir().unwrap();
        let (path, saved) = (folder.path().join("store.db"), folder.path().join("saved.db"));
        let store = open(&path);
        add(&store, "one");
        // One that a killed agent left.
        fs::write(path.with_added_extension("copy"), "half").unwrap();
        copy(&store, &saved);
        assert!(!path.with_added_extension("copy").exists());
        let costs = store.costs();
        assert_eq!((costs.copied, costs.commits.iter().sum::<u64>()), (Some(COPIED), 1));
        assert!(costs.bytes > 0 && costs.time > Duration::ZERO, "{costs:?}");
        let facts = examine(&saved).unwrap();
        assert_eq!((facts.resources, facts.records, facts.revision), (1, 1, 1));
        let copied = store.read().clone();
        add(&store, "two");

        let refused = restore(&saved, &path, "old").unwrap_err().to_string();
        assert!(refused.contains("locked"), "{refused}");
        drop(store);
        fs::write(copy_of(&path), "half").unwrap();
        let again = open(&path).costs();
        assert_eq!((again.copied, again.commits.iter().sum::<u64>()), (Some(COPIED), 0));
        assert!(!copy_of(&path).exists(), "it is gone with the next start");
        let restored = (0..500).find_map(|_| {
            std::thread::sleep(Duration::from_millis(10));
            restore(&saved, &path, "old").ok()
        });
        let restored = restored.unwrap();
        assert_eq!(restored.facts, facts);
        let before = restored.before.unwrap();
        assert_eq!(examine(&before).unwrap().resources, 2, "what was there is kept");
        assert_eq!(*open(&path).read(), copied);
        assert!(!path.with_added_extension("new").exists());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_sound_store_is_refused_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let store = open(&at("store.db"));
        add(&store, "one");
        copy(&store, &at("good.db"));
        drop(store);
        let good = fs::read(at("good.db")).unwrap();
        fs::write(at("text.db"), "no database at all, whatever its name says".repeat(99)).unwrap();
        fs::write(at("empty.db"), "").unwrap();
        fs::write(at("half.db"), &good[..good.len() / 2]).unwrap();
        fs::write(at("newer.db"), &good).unwrap();
        let newer = Connection::open(at("newer.db")).unwrap();
        newer.pragma_update(None, "user_version", 99).unwrap();
        drop(newer);
        let other = Connection::open(at("other.db")).unwrap();
        other.execute_batch("CREATE TABLE x (y); PRAGMA user_version = 1;").unwrap();
        drop(other);
        for (name, said) in [
            ("text.db", "no store of elb"),
            ("empty.db", "no store of elb"),
            ("other.db", "no store of elb"),
            ("half.db", ""),
            ("newer.db", "version 99"),
            ("nothing.db", "No such file"),
        ] {
            let why = restore(&at(name), &at("store.db"), "old").unwrap_err().to_string();
            assert!(why.contains(said), "{name}: {why}");
            assert!(!at("store.db.new").exists() && !at("store.db.old").exists(), "{name}");
        }
        assert_eq!(open(&at("store.db")).read().of(DocumentKind::Pool).count(), 1);
    }

    /// A damaged store is no reason not to have another one.
    #[test]
    fn a_damaged_store_is_replaced_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let store = open(&at("a.db"));
        add(&store, "one");
        copy(&store, &at("good.db"));
        fs::write(at("store.db"), [0xa5; 9000]).unwrap();
        fs::write(at("store.db-wal"), [0xa5; 900]).unwrap();
        let restored = restore(&at("good.db"), &at("store.db"), "old").unwrap();
        assert_eq!(fs::read(restored.before.unwrap()).unwrap(), [0xa5; 9000]);
        assert_eq!(open(&at("store.db")).read().of(DocumentKind::Pool).count(), 1);
    }
}
