//! The rooms of the crate keep their order: each uses only those that `src/lib.rs` lists before it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

#[test]
fn no_room_uses_one_above_it() -> io::Result<()> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let front = fs::read_to_string(source.join("lib.rs"))?;
    let rooms: Vec<&str> =
        front.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(rooms.len() > 5, "lib.rs lists {rooms:?}");
    for (at, room) in rooms.iter().enumerate() {
        let (_, above) = rooms.split_at(at + 1);
        for file in sources(&source.join(room))? {
            let text = fs::read_to_string(&file)?;
            let used = used(&text);
            let wrong: Vec<_> = above.iter().filter(|one| used.contains(one)).collect();
            assert!(wrong.is_empty(), "{} uses {wrong:?}, above {room}", file.display());
        }
    }
    Ok(())
}

/// What follows `crate::` in the code of a file, without its comments and its unit tests.
fn used(text: &str) -> Vec<&str> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    let paths = lines.flat_map(|line| line.split("crate::").skip(1));
    let names = paths.map(|path| {
        path.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
    });
    names.collect()
}

/// The files of a folder, those of tests aside.
fn sources(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_tests = path.file_stem().is_some_and(|name| name == "tests");
        if is_tests {
            continue;
        }
        if path.is_dir() {
            found.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    Ok(found)
}
