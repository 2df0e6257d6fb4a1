//! A process that writes to a store is killed again and again: every write that it acknowledged is there
//! afterwards, and none is there in half.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use elb_userspace::model::ResourceId;
use elb_userspace::source::store::{Document, DocumentKind, Store, WriteResult};
use serde_json::json;

const FILE: &str = "ELB_STORE_KILLED_FILE";
const FROM: &str = "ELB_STORE_KILLED_FROM";

/// Rounds, unless `ELB_STORE_KILLS` says otherwise.
const ROUNDS: usize = 6;

/// Two documents of one write: they are there together or not at all.
fn pair(number: u64) -> [Document; 2] {
    [DocumentKind::Pool, DocumentKind::IpGroup].map(|kind| Document {
        kind,
        id: ResourceId::of_pool(&number.to_string()),
        project: String::new(),
        body: json!({"name": number.to_string()}).as_object().cloned().unwrap_or_default(),
        tags: BTreeMap::from([("number".to_owned(), number.to_string())]),
        created: String::new(),
        updated: String::new(),
        first: 0,
        revision: 0,
    })
}

/// What is killed: it does nothing unless it is started by the other test.
#[test]
fn writes_until_it_is_killed() {
    let (Some(file), Some(from)) = (std::env::var_os(FILE), std::env::var(FROM).ok()) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let store = Store::open(Path::new(&file), Box::new(|_| Ok(()))).expect("the store opens");
    let mut number: u64 = from.parse().expect("a number");
    loop {
        let documents = pair(number);
        let done: WriteResult<(), ()> = runtime.block_on(store.write(move |transaction| {
            documents.clone().into_iter().for_each(|document| transaction.put(document));
            Ok(())
        }));
        done.expect("the disk takes it").expect("it is not refused");
        // A line is written at once, and in one piece: the pipe takes it before the process can be killed in it.
        std::io::stderr().write_all(format!("wrote {number}\n").as_bytes()).expect("someone reads");
        number += 1;
    }
}

#[test]
fn no_acknowledged_write_is_lost_and_none_is_half_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("store.db");
    let rounds = std::env::var("ELB_STORE_KILLS").ok().and_then(|text| text.parse().ok());
    let mut acknowledged: Vec<u64> = Vec::new();
    let mut next = 0;
    for round in 0..rounds.unwrap_or(ROUNDS) {
        let more = write_and_kill(&file, next, 5 + round * 7 % 40);
        next = more.last().map_or(next, |last| last + 2);
        acknowledged.extend(more);
        let store = Store::open(&file, Box::new(|_| Ok(()))).expect("the store opens");
        let numbers = |kind| -> Vec<u64> {
            let documents = store.read();
            let mut all: Vec<u64> = documents
                .of(kind)
                .map(|one| {
                    assert_eq!(one.tags["number"], one.text("name"), "a document without its tags");
                    one.text("name").parse().expect("a number")
                })
                .collect();
            all.sort_unstable();
            all
        };
        let (pools, groups) = (numbers(DocumentKind::Pool), numbers(DocumentKind::IpGroup));
        assert_eq!(pools, groups, "round {round}: a write is there in half");
        let lost: Vec<_> = acknowledged.iter().filter(|one| !pools.contains(one)).collect();
        assert!(lost.is_empty(), "round {round}: {lost:?} of {} are lost", acknowledged.len());
        drop(store);
        // The thread of the store lets go of the file when it notices.
        std::thread::sleep(Duration::from_millis(100));
    }
    println!("{} writes were acknowledged, none is lost", acknowledged.len());
    assert!(acknowledged.len() > 20, "{}", acknowledged.len());
}

/// Lets a process write from this number on, and kills it after so many writes; those that it acknowledged.
fn write_and_kill(file: &Path, from: u64, writes: usize) -> Vec<u64> {
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .args(["--exact", "writes_until_it_is_killed", "--nocapture"])
        .env(FILE, file)
        .env(FROM, from.to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut numbers = Vec::new();
    let number =
        |line: String| line.strip_prefix("wrote ").and_then(|text| text.parse::<u64>().ok());
    while numbers.len() < writes {
        let line = lines.next().expect("it writes until it is killed").expect("text");
        numbers.extend(number(line));
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("it ends");
    // What it said before the signal reached it counts, too.
    numbers.extend(lines.map_while(Result::ok).filter_map(number));
    numbers
}
