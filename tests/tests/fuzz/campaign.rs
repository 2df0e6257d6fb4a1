//! One target's campaign: every file of its corpus, then mutations of them until the time is over.

use std::cell::Cell;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::{Duration, Instant};
use std::{env, fs};

use crate::mutation::Mutator;

/// How long a target is fuzzed, unless `ELB_FUZZ_SECONDS` says otherwise.
pub const SECONDS: u64 = 3;
/// An input that takes so long hangs.
const STUCK: Duration = Duration::from_secs(60);

thread_local! {
    /// Whether anything panicked on this thread, tasks of its runtime included, which swallow it.
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Lets a target meet its corpus, these seeds, and what becomes of both.
///
/// # Panics
/// Something panicked or hung; the input is written to a file first.
pub fn run(target: &str, seeds: Vec<Vec<u8>>, mut meet: impl FnMut(&[u8])) {
    note_panics();
    let mut corpus = committed(target);
    corpus.extend(seeds);
    assert!(!corpus.is_empty(), "{target} has no corpus");
    for input in &corpus {
        check(target, "of the corpus", input, &mut meet);
    }
    let seed = number("ELB_FUZZ_SEED").unwrap_or(0);
    let end = Instant::now() + Duration::from_secs(number("ELB_FUZZ_SECONDS").unwrap_or(SECONDS));
    let mutator = Mutator::new(&corpus);
    let mut runs = 0;
    while Instant::now() < end {
        let mut random = fastrand::Rng::with_seed(seed.wrapping_add(runs));
        let input = mutator.next(&mut random);
        check(target, &format!("of seed {seed}, run {runs}"), &input, &mut meet);
        runs += 1;
    }
    println!("{target}: {} of the corpus and {runs} mutations from seed {seed}", corpus.len());
}

fn check(target: &str, what: &str, input: &[u8], meet: &mut impl FnMut(&[u8])) {
    let begun = Instant::now();
    PANICKED.set(false);
    let met = panic::catch_unwind(AssertUnwindSafe(|| meet(input)));
    let took = begun.elapsed();
    if met.is_ok() && !PANICKED.get() && took < STUCK {
        return;
    }
    let file = keep(target, input);
    let how = if met.is_ok() && !PANICKED.get() { "hung on" } else { "panicked at" };
    panic!("{target} {how} an input {what}, after {took:?}; it is in {}", file.display());
}

/// The files of a target's corpus, in the order of their names.
fn committed(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn keep(target: &str, input: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../fuzz").join(target);
    let mut hash = DefaultHasher::new();
    input.hash(&mut hash);
    let file = folder.join(format!("{:016x}", hash.finish()));
    fs::create_dir_all(&folder).and_then(|()| fs::write(&file, input)).unwrap();
    file.canonicalize().unwrap()
}

fn number(variable: &str) -> Option<u64> {
    let said = env::var(variable).ok()?;
    Some(said.parse().unwrap_or_else(|_| panic!("{variable} is not a number: {said}")))
}

fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICKED.set(true);
            usual(info);
        }));
    });
}
