//! The versions of the store's tables: forward only, and the file is copied before.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::StoreError;

/// What makes each version of the one before; the first makes an empty file a store.
pub(super) const ALL: &[&str] = &[
    "
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO meta VALUES ('revision', '0');
    CREATE TABLE object (
        kind TEXT NOT NULL, id TEXT NOT NULL, project TEXT NOT NULL, name TEXT NOT NULL,
        body TEXT NOT NULL, created TEXT NOT NULL, updated TEXT NOT NULL,
        first INTEGER NOT NULL, revision INTEGER NOT NULL,
        PRIMARY KEY (kind, id)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE tag (
        kind TEXT NOT NULL, id TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL,
        PRIMARY KEY (kind, id, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE audit (
        number INTEGER PRIMARY KEY, at TEXT NOT NULL, actor TEXT NOT NULL, operation TEXT NOT NULL,
        request TEXT NOT NULL, project TEXT NOT NULL, id TEXT, before TEXT, after TEXT,
        result TEXT NOT NULL
    ) STRICT;
",
    "
    CREATE INDEX audit_done ON audit (number) WHERE result = 'ok';
    CREATE INDEX audit_refused ON audit (number) WHERE result <> 'ok';
",
];

/// Brings the tables to the version of `migrations`. A copy of a file that has an older one is made next to it.
pub(super) fn migrate(
    connection: &mut Connection,
    path: &Path,
    migrations: &[&str],
) -> Result<(), StoreError> {
    let found: u32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let found = found as usize;
    if found > migrations.len() {
        return Err(StoreError::Newer { found, known: migrations.len() });
    }
    if found == migrations.len() {
        return Ok(());
    }
    if found > 0 {
        copy(connection, &copy_of(path, found))?;
    }
    let transaction = connection.transaction()?;
    for migration in migrations.iter().skip(found) {
        transaction.execute_batch(migration)?;
    }
    let version = u32::try_from(migrations.len()).unwrap_or(u32::MAX);
    transaction.pragma_update(None, "user_version", version)?;
    transaction.commit()?;
    Ok(())
}

/// Where the copy of a version is.
pub(super) fn copy_of(path: &Path, version: usize) -> PathBuf {
    path.with_added_extension(format!("v{version}"))
}

/// A copy that was made before, and after which the agent was killed, is of the same content. No other user may read
/// it: it has private keys.
fn copy(connection: &Connection, to: &Path) -> Result<(), StoreError> {
    let cannot = |error| StoreError::File(to.to_owned(), error);
    if to.exists() {
        fs::remove_file(to).map_err(cannot)?;
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(cannot)?;
    connection.execute("VACUUM INTO ?1", [to.to_string_lossy()])?;
    Ok(())
}
