//! Records are written, found and taken away.

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

/// Ids are the same however they are spelled; names are what they are.
#[test]
fn a_resource_is_found_by_its_id_in_any_spelling() {
    const ID: &str = "1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b";
    let connection = tables();
    let records = [
        of(ID, "2026-01-01T00:00:00Z", "createPool", "web"),
        of("b", "2026-01-01T00:00:00Z", "createPool", "WEB"),
    ];
    Trail::default().extended(&connection, &[&records[0], &records[1]]).unwrap();
    for (resource, expected) in [
        (ID.to_owned(), vec![1]),
        (ID.to_uppercase(), vec![1]),
        (ID.replace('-', ""), vec![1]),
        ("web".to_owned(), vec![1]),
        ("WEB".to_owned(), vec![2]),
        ("B".to_owned(), vec![]),
    ] {
        let query = AuditQuery { resource: Some(resource.clone()), ..AuditQuery::default() };
        assert_eq!(found(&connection, &query), expected, "{resource}");
    }
}
