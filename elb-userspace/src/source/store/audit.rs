//! The audit records of a store: written with what they are about, bounded in number and bytes, read in pages.

use std::sync::Arc;

use rusqlite::{Connection, Row, params};

use super::{AuditRecord, Body, Store, StoreError};
use crate::model::ResourceId;

/// What is kept at the most of calls that were done; the oldest records go first.
const DONE: Bound = Bound { records: 100_000, bytes: 256 << 20 };
/// What is kept of calls that were refused: keys that may change nothing make such records, too, and push out no others.
const REFUSED: Bound = Bound { records: 10_000, bytes: 16 << 20 };

/// How much is kept.
#[derive(Clone, Copy, Debug)]
struct Bound {
    records: i64,
    /// Of what resources were before and after.
    bytes: i64,
}

/// How much there is: of calls that were done, and of those that were refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Trail {
    done: Amount,
    refused: Amount,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    records: i64,
    bytes: i64,
}

/// Which records are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditQuery {
    /// Those of this time and later: RFC 3339, UTC, to the second.
    pub since: Option<String>,
    /// Those of this operation.
    pub operation: Option<String>,
    /// Those of the resource with this id, or this name before or after.
    pub resource: Option<String>,
}

/// A record, and its place among all.
pub type NumberedRecord = (i64, AuditRecord);

impl Store {
    /// So many records behind a number, in their order.
    ///
    /// # Errors
    /// The disk cannot be read.
    pub async fn records(
        &self,
        query: AuditQuery,
        after: i64,
        most: usize,
    ) -> Result<Vec<NumberedRecord>, Arc<StoreError>> {
        self.look(move |database| records(database.connection(), &query, after, most)).await
    }
}

impl AuditRecord {
    /// The call was done, and not refused.
    pub(super) fn is_done(&self) -> bool {
        self.result == "ok"
    }
}

/// Records of calls that were done, and of refused ones, as SQL.
const IS_DONE: &str = "result = 'ok'";
const IS_REFUSED: &str = "result <> 'ok'";

impl Trail {
    /// What a file has.
    pub(super) fn of(connection: &Connection) -> Result<Self, StoreError> {
        let amount = |which: &str| {
            let sql =
                format!("SELECT count(*), coalesce(sum({BYTES}), 0) FROM audit WHERE {which}");
            connection
                .query_row(&sql, [], |row| Ok(Amount { records: row.get(0)?, bytes: row.get(1)? }))
        };
        Ok(Self { done: amount(IS_DONE)?, refused: amount(IS_REFUSED)? })
    }

    /// Writes records down, and takes away what is too much: how much there is then.
    pub(super) fn extended(
        self,
        connection: &Connection,
        records: &[&AuditRecord],
    ) -> Result<Self, StoreError> {
        self.within(connection, records, [DONE, REFUSED])
    }

    fn within(
        mut self,
        connection: &Connection,
        records: &[&AuditRecord],
        [done, refused]: [Bound; 2],
    ) -> Result<Self, StoreError> {
        for record in records {
            let amount = if record.is_done() { &mut self.done } else { &mut self.refused };
            amount.bytes += insert(connection, record)?;
            amount.records += 1;
        }
        if !records.is_empty() {
            self.done.shrink(connection, IS_DONE, done)?;
            self.refused.shrink(connection, IS_REFUSED, refused)?;
        }
        Ok(self)
    }
}

impl Amount {
    /// Takes the oldest records of these away as long as there is too much.
    fn shrink(
        &mut self,
        connection: &Connection,
        which: &str,
        bound: Bound,
    ) -> Result<(), StoreError> {
        let is_too_much =
            |amount: &Self| amount.records > bound.records || amount.bytes > bound.bytes;
        if !is_too_much(self) {
            return Ok(());
        }
        let sql = format!("SELECT number, {BYTES} FROM audit WHERE {which} ORDER BY number");
        let (mut statement, mut last) = (connection.prepare(&sql)?, None);
        let mut rows = statement.query([])?;
        while is_too_much(self)
            && let Some(row) = rows.next()?
        {
            let (number, bytes): (i64, i64) = (row.get(0)?, row.get(1)?);
            (self.records, self.bytes, last) = (self.records - 1, self.bytes - bytes, Some(number));
        }
        drop(rows);
        if let Some(last) = last {
            let sql = format!("DELETE FROM audit WHERE number <= ?1 AND {which}");
            connection.prepare(&sql)?.execute([last])?;
        }
        Ok(())
    }
}

/// Bytes of a record that nothing else bounds.
const BYTES: &str = "octet_length(coalesce(before, '')) + octet_length(coalesce(after, '')) + octet_length(coalesce(id, ''))";

fn insert(connection: &Connection, record: &AuditRecord) -> Result<i64, StoreError> {
    let sql =
        "INSERT INTO audit (at, actor, operation, request, project, id, before, after, result)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let text = |body: &Option<Body>| {
        body.as_ref().map(|body| serde_json::Value::Object(body.clone()).to_string())
    };
    let (before, after) = (text(&record.before), text(&record.after));
    connection.prepare(sql)?.execute(params![
        record.at,
        record.actor,
        record.operation,
        record.request,
        record.project,
        record.id,
        before,
        after,
        record.result,
    ])?;
    let bytes = [&record.id, &before, &after].map(|text| text.as_ref().map_or(0, String::len));
    Ok(i64::try_from(bytes.iter().sum::<usize>()).unwrap_or(i64::MAX))
}

fn records(
    connection: &Connection,
    query: &AuditQuery,
    after: i64,
    most: usize,
) -> Result<Vec<NumberedRecord>, StoreError> {
    // Times of one form, in UTC, have the order of their texts.
    let sql = "SELECT number, at, actor, operation, request, project, id, before, after, result FROM audit
               WHERE number > ?1 AND (?2 IS NULL OR at >= ?2) AND (?3 IS NULL OR operation = ?3)
               AND (?4 IS NULL OR id = ?6 OR before ->> 'name' = ?4 OR after ->> 'name' = ?4)
               ORDER BY number LIMIT ?5";
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut statement = connection.prepare(sql)?;
    let AuditQuery { since, operation, resource } = query;
    // An id is the same in any letters, and a name is not.
    let id = resource
        .as_ref()
        .map(|text| text.parse::<ResourceId>().map_or_else(|_| text.clone(), |id| id.to_string()));
    let values = params![after, since, operation, resource, most, id];
    let rows = statement.query_map(values, record)?;
    rows.map(|row| row.map_err(StoreError::from)).collect()
}

fn record(row: &Row<'_>) -> rusqlite::Result<NumberedRecord> {
    let body = |at: usize| -> rusqlite::Result<Option<Body>> {
        let text: Option<String> = row.get(at)?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
    };
    let record = AuditRecord {
        at: row.get(1)?,
        actor: row.get(2)?,
        operation: row.get(3)?,
        request: row.get(4)?,
        project: row.get(5)?,
        id: row.get(6)?,
        before: body(7)?,
        after: body(8)?,
        result: row.get(9)?,
    };
    Ok((row.get(0)?, record))
}

#[cfg(test)]
mod tests;
