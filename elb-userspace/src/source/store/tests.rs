//! What was acknowledged is on the disk, whatever else was asked for; a file that is not right is not used.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use rusqlite::Connection;
use serde_json::json;

use super::database::Database;
use super::*;
use crate::model::{Announce, Forwarding, ResourceId};
use crate::source::api::ApiSettings;

fn any_check() -> ModelCheck {
    Box::new(|_| Ok(()))
}

/// Settings of an API whose resources are reached by IPIP.
pub(super) fn settings() -> ApiSettings {
    ApiSettings {
        listen: "127.0.0.1:1".parse().unwrap(),
        tls_certificate: None,
        tls_key: None,
        keys: None,
        store: None,
        forwarding: Forwarding::Ipip,
        announce: Announce::None,
        subnets: Vec::new(),
    }
}

pub(super) fn document(kind: DocumentKind, name: &str, number: u32) -> Document {
    let body = json!({"name": name, "number": number}).as_object().cloned().unwrap();
    Document {
        kind,
        id: ResourceId::of_pool(name),
        project: "p".to_owned(),
        body,
        tags: BTreeMap::from([("k".to_owned(), number.to_string())]),
        created: "2026-01-01T00:00:00Z".to_owned(),
        updated: "2026-01-01T00:00:00Z".to_owned(),
        first: 0,
        revision: 0,
    }
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// One thing that a client asks for: some puts and removes, and whether it is refused in the end.
#[derive(Clone, Debug)]
struct Call {
    steps: Vec<(bool, u8, u32)>,
    refused: bool,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let steps = prop::collection::vec((any::<bool>(), 0_u8..6, any::<u32>()), 0..4);
    let call =
        (steps, prop::bool::weighted(0.3)).prop_map(|(steps, refused)| Call { steps, refused });
    prop::collection::vec(call, 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Memory, a plain map that does the same, and what another process finds in the file are equal.
    #[test]
    fn the_disk_has_what_was_acknowledged_and_nothing_else(calls in calls()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let store = Store::open(&path, any_check()).unwrap();
        let mut expected: BTreeMap<u8, u32> = BTreeMap::new();
        for call in calls {
            if !call.refused {
                for (is_put, name, number) in &call.steps {
                    match is_put {
                        true => drop(expected.insert(*name, *number)),
                        false => drop(expected.remove(name)),
                    }
                }
            }
            let refused = call.refused;
            let result = run(store.write(move |transaction| {
                for (is_put, name, number) in &call.steps {
                    let document = document(DocumentKind::Pool, &name.to_string(), *number);
                    match is_put {
                        true => transaction.put(document),
                        false => transaction.remove(DocumentKind::Pool, document.id),
                    }
                }
                if refused { Err("refused") } else { Ok(()) }
            }));
            prop_assert_eq!(result.unwrap().is_err(), refused);
        }
        let found = |documents: &Documents| -> BTreeMap<u8, u32> {
            let all = documents.of(DocumentKind::Pool);
            all.map(|one| {
                let number = u32::try_from(one.number("number")).unwrap();
                assert_eq!(one.tags["k"], number.to_string());
                (one.text("name").parse().unwrap(), number)
            }).collect()
        };
        prop_assert_eq!(found(&store.read()), expected.clone());
        let in_memory = store.read().clone();
        drop(store);
        let reopened = reopen(&path);
        prop_assert_eq!(&reopened, &in_memory);
        prop_assert_eq!(found(&reopened), expected);
    }
}

proptest! {
    /// Parts are found by what they belong to as by looking all of them through.
    #[test]
    fn parts_are_found_by_what_they_belong_to(
        steps in prop::collection::vec((0_u8..5, prop::option::of(0_u8..4)), 0..40),
    ) {
        let id = |name: u8| ResourceId::of_pool(&name.to_string());
        let mut documents = Documents::default();
        for (name, of) in steps {
            let mut member = document(DocumentKind::Member, &name.to_string(), 0);
            if let Some(of) = of.filter(|of| *of > 0) {
                member.body.insert("pool_id".to_owned(), id(of).to_string().into());
            }
            let at = (DocumentKind::Member, member.id);
            documents.replace(at, of.map(|_| member.into()));
        }
        for pool in 0..4 {
            let all = documents.of(DocumentKind::Member);
            let wanted: Vec<_> =
                all.filter(|one| one.reference("pool_id") == Some(id(pool))).collect();
            let found = documents.referring(DocumentKind::Member, "pool_id", id(pool));
            prop_assert_eq!(found.collect::<Vec<_>>(), wanted);
        }
    }
}

/// What is in the file once the thread that wrote has let go of it.
fn reopen(path: &Path) -> Documents {
    for _ in 0..200 {
        match Database::open(path) {
            Ok((_, documents)) => return documents,
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    }
    panic!("the store stays locked");
}

#[test]
fn a_second_agent_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(&path, any_check()).unwrap();
    let second = Store::open(&path, any_check()).err().unwrap();
    assert!(second.to_string().contains("locked"), "{second}");
    drop(store);
}

#[test]
fn a_damaged_file_is_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(&path, any_check()).unwrap();
    for n in 0..200 {
        let document = document(DocumentKind::Pool, &format!("pool-{n}"), n);
        let done: WriteResult<(), ()> = run(store.write(move |transaction| {
            transaction.put(document.clone());
            Ok(())
        }));
        done.unwrap().unwrap();
    }
    drop(store);
    reopen(&path);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 2000].fill(0xa5);
    std::fs::write(&path, bytes).unwrap();
    let error = Database::open(&path).err().unwrap();
    assert!(matches!(error, StoreError::Damaged(_) | StoreError::Sqlite(_)), "{error}");
    std::fs::write(&path, "no database at all, and long enough to be looked at as one").unwrap();
    assert!(Database::open(&path).is_err());
}

#[test]
fn an_older_file_is_copied_and_a_newer_one_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut connection = Connection::open(&path).unwrap();
    migrations::migrate(&mut connection, &path, &migrations::ALL[..1]).unwrap();
    drop(connection);
    drop(Database::open(&path).unwrap());
    let known = migrations::ALL.len();
    let mut connection = Connection::open(&path).unwrap();
    let later = [migrations::ALL, &["CREATE TABLE later (x TEXT) STRICT;"]].concat();
    migrations::migrate(&mut connection, &path, &later).unwrap();
    let version = |connection: &Connection| -> u32 {
        connection.query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap()
    };
    assert_eq!(version(&connection) as usize, known + 1);
    for before in [1, known] {
        let copy = migrations::copy_of(&path, before);
        let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "it may have private keys");
        let copy = Connection::open(copy).unwrap();
        assert_eq!(version(&copy) as usize, before);
        copy.query_row("SELECT count(*) FROM object", [], |row| row.get::<_, i64>(0)).unwrap();
    }
    drop(connection);
    let error = Database::open(&path).err().unwrap();
    let is_newer = matches!(error, StoreError::Newer { found, known: last } if found == known + 1 && last == known);
    assert!(is_newer, "{error}");
}

#[test]
fn a_panic_changes_nothing_and_the_next_write_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store.db"), any_check()).unwrap();
    let result: WriteResult<(), ()> = run(store.write(|transaction| {
        transaction.put(document(DocumentKind::Pool, "a", 1));
        panic!("on purpose")
    }));
    assert!(result.is_err());
    let result: WriteResult<(), ()> = run(store.write(|transaction| {
        transaction.put(document(DocumentKind::Pool, "b", 2));
        Ok(())
    }));
    result.unwrap().unwrap();
    let names: Vec<_> =
        store.read().of(DocumentKind::Pool).map(|one| one.text("name").to_owned()).collect();
    assert_eq!(names, ["b"]);
}

/// What waits at the same time is asked about once; what is wrong with one is not laid to the others.
#[test]
fn writes_that_wait_are_checked_together_and_refused_alone() {
    const WRONG: u32 = 37;
    let folder = tempfile::tempdir().unwrap();
    let checks = Arc::new(AtomicUsize::new(0));
    let counter = checks.clone();
    let check = move |documents: &Documents| {
        counter.fetch_add(1, Ordering::Relaxed);
        let mut all = documents.of(DocumentKind::Pool);
        if all.any(|one| one.number("number") == i64::from(WRONG)) {
            return Err("wrong".to_owned());
        }
        Ok(())
    };
    let store = Store::open(&folder.path().join("store.db"), Box::new(check)).unwrap();
    let put = |number: u32| {
        store.write(move |transaction| {
            transaction.put(document(DocumentKind::Pool, &number.to_string(), number));
            transaction
                .note(AuditRecord { operation: number.to_string(), ..AuditRecord::default() });
            transaction.check()
        })
    };
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let results = run(async {
        // While the thread is held up, all others wait.
        let held = store.write(move |_| {
            let _ = wait.recv();
            Ok::<_, ()>(())
        });
        let others = futures_util::future::join_all((0..100).map(put));
        let released = async {
            tokio::task::yield_now().await;
            drop(go);
        };
        tokio::join!(held, others, released).1
    });
    for (number, result) in (0..).zip(results) {
        let expected = if number == WRONG { Err("wrong".to_owned()) } else { Ok(()) };
        assert_eq!(result.unwrap(), expected, "{number}");
    }
    assert_eq!(store.read().of(DocumentKind::Pool).count(), 99);
    assert!(checks.load(Ordering::Relaxed) <= 20, "{checks:?}");
}

/// A write that wants what it saw before knows of writes that are committed with it, also where these are done again.
#[test]
fn documents_are_of_a_revision_unless_something_waits_for_its_commit() {
    let folder = tempfile::tempdir().unwrap();
    let check = |documents: &Documents| {
        let mut all = documents.of(DocumentKind::Pool);
        if all.any(|one| one.number("number") == 0) { Err("wrong".to_owned()) } else { Ok(()) }
    };
    let store = Store::open(&folder.path().join("store.db"), Box::new(check)).unwrap();
    let put = |number: u32| {
        store.write(move |transaction| {
            let before = transaction.settled();
            transaction.put(document(DocumentKind::Pool, &number.to_string(), number));
            assert_eq!(transaction.settled(), None, "it changed something itself");
            transaction.check().map(|()| before)
        })
    };
    let look = || store.write(|transaction| Ok::<_, ()>(transaction.settled()));
    let undone = || {
        store.write(|transaction| {
            transaction.put(document(DocumentKind::Pool, "none", 9));
            Err::<(), _>(())
        })
    };
    for wrong in [7, 0] {
        let before = store.read().revision;
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (begun, begins) = tokio::sync::oneshot::channel::<()>();
        let mut begun = Some(begun);
        let (first, second, third, wrong_one, last) = run(async {
            let held = store.write(move |_| {
                drop(begun.take());
                let _ = wait.recv();
                Ok::<_, ()>(())
            });
            // What is asked for while another write is done is done together.
            let together = async {
                let _ = begins.await;
                let release = async { drop(go) };
                let (first, second) = (put(1 + wrong), put(wrong));
                tokio::join!(undone(), look(), first, look(), second, look(), release)
            };
            let (_, (_, first, second, third, wrong_one, last, ())) = tokio::join!(held, together);
            (first, second, third, wrong_one, last)
        });
        assert_eq!(first.unwrap(), Ok(Some(before)), "what was taken back changed nothing");
        assert_eq!(second.unwrap(), Ok(Some(before)));
        assert_eq!((third.unwrap(), last.unwrap()), (Ok(None), Ok(None)));
        let expected = if wrong == 0 { Err("wrong".to_owned()) } else { Ok(None) };
        assert_eq!(wrong_one.unwrap(), expected);
        assert_eq!(run(look()).unwrap(), Ok(Some(before + 1)));
    }
}

/// The agent takes over what is new in the store, which is much work: a refused call is nothing new.
#[test]
fn those_who_follow_hear_of_changes_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("store.db"), any_check()).unwrap();
    let mut commits = store.commits();
    let refused = run(store.write(|transaction| {
        transaction.note(AuditRecord { operation: "x".to_owned(), ..AuditRecord::default() });
        Err::<(), _>(())
    }));
    assert_eq!((refused.unwrap(), commits.has_changed().unwrap()), (Err(()), false));
    let done = run(store.write(|transaction| {
        transaction.put(document(DocumentKind::Pool, "a", 1));
        Ok::<_, ()>(())
    }));
    assert_eq!((done.unwrap(), commits.has_changed().unwrap()), (Ok(()), true));
    assert_eq!(*commits.borrow_and_update(), 1);
}
