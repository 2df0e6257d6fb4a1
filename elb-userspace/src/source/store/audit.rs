//! The audit records of a store: written with what they are about, bounded in number and bytes, read in pages.

use std::sync::Arc;

use rusqlite::{Connection, Row, params};

use super::{AuditRecord, Body, Store, StoreError};

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
               AND (?4 IS NULL OR id = ?4 OR before ->> 'name' = ?4 OR after ->> 'name' = ?4)
               ORDER BY number LIMIT ?5";
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let mut statement = connection.prepare(sql)?;
    let AuditQuery { since, operation, resource } = query;
    let rows = statement.query_map(params![after, since, operation, resource, most], record)?;
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
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use crate::source::store::migrations;

    fn tables() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        migrations::migrate(&mut connection, Path::new(""), migrations::ALL).unwrap();
        connection
    }

    fn of(id: &str, at: &str, operation: &str, name: &str) -> AuditRecord {
        AuditRecord {
            at: at.to_owned(),
            actor: "deploy".to_owned(),
            operation: operation.to_owned(),
            id: Some(id.to_owned()),
            after: json!({"name": name}).as_object().cloned(),
            result: "ok".to_owned(),
            ..AuditRecord::default()
        }
    }

    fn found(connection: &Connection, query: &AuditQuery) -> Vec<i64> {
        let all = records(connection, query, 0, 100).unwrap();
        all.into_iter().map(|(number, _)| number).collect()
    }

    #[test]
    fn records_are_found_by_time_operation_and_resource() {
        let connection = tables();
        let all = [
            of("a", "2026-01-01T00:00:00Z", "createPool", "web"),
            of("b", "2026-01-02T00:00:00Z", "createPool", "api"),
            of("a", "2026-01-03T00:00:00Z", "deletePool", "web"),
        ];
        Trail::default().extended(&connection, &all.each_ref()).unwrap();
        let some = |text: &str| Some(text.to_owned());
        let any = AuditQuery::default();
        assert_eq!(found(&connection, &any), [1, 2, 3]);
        let since = AuditQuery { since: some("2026-01-02T00:00:00Z"), ..any.clone() };
        assert_eq!(found(&connection, &since), [2, 3]);
        let operation = AuditQuery { operation: some("createPool"), ..any.clone() };
        assert_eq!(found(&connection, &operation), [1, 2]);
        for resource in ["a", "web"] {
            let query = AuditQuery { resource: some(resource), ..since.clone() };
            assert_eq!(found(&connection, &query), [3], "{resource}");
        }
        let page = records(&connection, &any, 1, 1).unwrap();
        assert_eq!(page, [(2, all[1].clone())], "a record is read as it was written");
    }

    #[test]
    fn the_oldest_records_go_first() {
        let connection = tables();
        let trail = Trail::default();
        let one = of("a", "2026-01-01T00:00:00Z", "createPool", "web");
        let own = 1 + i64::try_from(r#"{"name":"web"}"#.len()).unwrap();
        let none = Bound { records: 0, bytes: 0 };
        let by_number = Bound { records: 4, bytes: i64::MAX };
        let trail = trail.within(&connection, &[&one; 10], [by_number, none]).unwrap();
        assert_eq!(found(&connection, &AuditQuery::default()), [7, 8, 9, 10]);
        assert_eq!(trail, Trail::of(&connection).unwrap());
        let by_bytes = Bound { records: 100, bytes: 3 * own };
        let trail = trail.within(&connection, &[&one], [by_bytes, none]).unwrap();
        assert_eq!(found(&connection, &AuditQuery::default()), [9, 10, 11]);
        assert_eq!((trail.done.bytes, trail), (3 * own, Trail::of(&connection).unwrap()));
    }

    #[test]
    fn refused_calls_push_out_refused_ones_only() {
        let connection = tables();
        let done = of("a", "2026-01-01T00:00:00Z", "createPool", "web");
        let refused = AuditRecord { result: "SYS.0403".to_owned(), after: None, ..done.clone() };
        let bounds = [4, 3].map(|records| Bound { records, bytes: i64::MAX });
        let mut trail = Trail::default();
        for records in [&[&done, &refused][..], &[&refused; 10], &[&done], &[&refused; 10]] {
            trail = trail.within(&connection, records, bounds).unwrap();
        }
        assert_eq!(found(&connection, &AuditQuery::default()), [1, 13, 21, 22, 23]);
        trail = trail.within(&connection, &[&done; 10], bounds).unwrap();
        let all = found(&connection, &AuditQuery::default());
        assert_eq!(all, [21, 22, 23, 30, 31, 32, 33], "nor do others push out refused ones");
        assert_eq!(trail, Trail::of(&connection).unwrap());
        let few = Bound { records: 100, bytes: 2 };
        trail = trail.within(&connection, &[&refused], [bounds[0], few]).unwrap();
        assert_eq!((trail.refused.records, trail), (2, Trail::of(&connection).unwrap()));
    }
}
