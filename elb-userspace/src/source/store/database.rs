//! The file of a store: opened by one agent, looked through at the start, written by one thread.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rusqlite::{Connection, Row, params};

use super::audit::Trail;
use super::documents::Change;
use super::refused::RefusedCalls;
use super::{AuditRecord, Document, DocumentKind, Documents, migrations};
use crate::model::ResourceId;

/// Why a store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite refused.
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
    /// The file cannot be made or copied.
    #[error("cannot use {}: {_1}", _0.display())]
    File(PathBuf, io::Error),
    /// A later version wrote it.
    #[error(
        "its tables have version {found}, and this elb knows {known}: use the elb that wrote it, or a later one"
    )]
    Newer {
        /// The version that was found.
        found: usize,
        /// The last one that is known.
        known: usize,
    },
    /// SQLite found the file damaged.
    #[error("it is damaged ({0}): restore a copy of it, and start the agent again")]
    Damaged(String),
    /// A row is no document.
    #[error("{kind} {id} in it cannot be read: {why}")]
    Unreadable {
        /// The kind.
        kind: String,
        /// The id.
        id: String,
        /// What is wrong with it.
        why: String,
    },
    /// It is of SQLite, and not one of elb.
    #[error("it is no store of elb")]
    Foreign,
    /// The thread that writes ended.
    #[error("its thread ended; the agent has to be started again")]
    Ended,
}

/// The connection that writes.
pub(super) struct Database {
    connection: Connection,
    trail: Trail,
    refused: RefusedCalls,
}

impl Database {
    /// Opens a store, makes it where there is none, and reads all of it.
    pub(super) fn open(path: &Path) -> Result<(Self, Documents), StoreError> {
        make(path).map_err(|error| StoreError::File(path.to_owned(), error))?;
        let mut connection = Connection::open(path)?;
        // Exclusive: a second agent with this file is refused, and there is never a second connection.
        connection.execute_batch(
            "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;",
        )?;
        quick_check(&connection)?;
        migrations::migrate(&mut connection, path, migrations::ALL)?;
        // Takes the lock now and not with the first write.
        connection.execute_batch("BEGIN IMMEDIATE; COMMIT;")?;
        // A killed agent may have left a copy half made, which takes room.
        let _ = fs::remove_file(copy_of(path));
        let documents = read(&connection)?;
        let trail = Trail::of(&connection)?;
        Ok((Self { connection, trail, refused: RefusedCalls::default() }, documents))
    }

    pub(super) const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Writes changes and records down, all or nothing; they are on the disk when this returns.
    pub(super) fn commit(
        &mut self,
        documents: &Documents,
        changes: &[Change],
        audit: &[AuditRecord],
    ) -> Result<(), StoreError> {
        let audit = self.refused.admitted(audit, Instant::now());
        if changes.is_empty() && audit.is_empty() {
            return Ok(());
        }
        let transaction = self.connection.transaction()?;
        let places: std::collections::BTreeSet<_> = changes.iter().map(|(at, _)| *at).collect();
        for (kind, id) in places {
            let (kind_text, id_text) = (kind.as_str(), id.to_string());
            transaction
                .prepare("DELETE FROM tag WHERE kind = ?1 AND id = ?2")?
                .execute([kind_text, &id_text])?;
            match documents.get(kind, id) {
                Some(document) => write(&transaction, document)?,
                None => {
                    let sql = "DELETE FROM object WHERE kind = ?1 AND id = ?2";
                    transaction.prepare(sql)?.execute([kind_text, &id_text])?;
                }
            }
        }
        let trail = self.trail.extended(&transaction, &audit)?;
        let revision = documents.revision.to_string();
        transaction.execute("UPDATE meta SET value = ?1 WHERE key = 'revision'", [revision])?;
        transaction.commit()?;
        self.trail = trail;
        Ok(())
    }
}

/// Where a copy is while it is made.
pub(super) fn copy_of(store: &Path) -> PathBuf {
    store.with_added_extension("copy")
}

/// Looks through the file.
pub(super) fn quick_check(connection: &Connection) -> Result<(), StoreError> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" {
        return Ok(());
    }
    Err(StoreError::Damaged(found.lines().next().unwrap_or_default().to_owned()))
}

/// Makes the folder, and a file that no other user may read.
pub(super) fn make(path: &Path) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map(drop)
}

fn write(connection: &Connection, document: &Document) -> Result<(), StoreError> {
    let sql = "INSERT OR REPLACE INTO object VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let (kind, id) = (document.kind.as_str(), document.id.to_string());
    let body = serde_json::Value::Object(document.body.clone()).to_string();
    connection.prepare(sql)?.execute(params![
        kind,
        id,
        document.project,
        document.text("name"),
        body,
        document.created,
        document.updated,
        signed(document.first),
        signed(document.revision),
    ])?;
    for (key, value) in &document.tags {
        let sql = "INSERT INTO tag VALUES (?1, ?2, ?3, ?4)";
        connection.prepare(sql)?.execute([kind, &id, key, value])?;
    }
    Ok(())
}

pub(super) fn read(connection: &Connection) -> Result<Documents, StoreError> {
    let mut documents = Documents::default();
    let revision: String =
        connection
            .query_row("SELECT value FROM meta WHERE key = 'revision'", [], |row| row.get(0))?;
    documents.revision = revision.parse().unwrap_or(0);
    let mut tags: BTreeMap<(String, String), BTreeMap<String, String>> = BTreeMap::new();
    let mut statement = connection.prepare("SELECT kind, id, key, value FROM tag")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        tags.entry((row.get(0)?, row.get(1)?)).or_default().insert(row.get(2)?, row.get(3)?);
    }
    let mut statement = connection
        .prepare("SELECT kind, id, project, body, created, updated, first, revision FROM object")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let mut document = document(row)?;
        let key = (document.kind.to_string(), document.id.to_string());
        document.tags = tags.remove(&key).unwrap_or_default();
        documents.replace((document.kind, document.id), Some(Arc::new(document)));
    }
    Ok(documents)
}

fn document(row: &Row<'_>) -> Result<Document, StoreError> {
    let (kind_text, id_text): (String, String) = (row.get(0)?, row.get(1)?);
    let unreadable =
        |why: String| StoreError::Unreadable { kind: kind_text.clone(), id: id_text.clone(), why };
    let kind: DocumentKind = kind_text.parse().map_err(|_| unreadable("its kind".to_owned()))?;
    let id: ResourceId = id_text.parse().map_err(|_| unreadable("its id".to_owned()))?;
    let body: String = row.get(3)?;
    let body = serde_json::from_str(&body).map_err(|error| unreadable(error.to_string()))?;
    let revision = |at: usize| row.get(at).map(|number: i64| number.unsigned_abs());
    Ok(Document {
        kind,
        id,
        project: row.get(2)?,
        body,
        tags: BTreeMap::new(),
        created: row.get(4)?,
        updated: row.get(5)?,
        first: revision(6)?,
        revision: revision(7)?,
    })
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
