//! Which modules of a crate use which others, by what their source says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A module by its path in the crate; empty: the crate itself.
pub type Module = Vec<String>;

/// The modules of a crate with their files and those that they use, unit tests aside.
pub fn modules(source: &Path) -> io::Result<BTreeMap<Module, (PathBuf, BTreeSet<Module>)>> {
    let mut files = BTreeMap::new();
    collect(source, &Vec::new(), &mut files)?;
    let used = |(module, file): (&Module, &PathBuf)| {
        let paths = paths(&code(&fs::read_to_string(file)?));
        let used = paths.iter().filter_map(|path| resolve(&files, module, path));
        let used = used.filter(|other| other != module).collect();
        Ok((module.clone(), (file.clone(), used)))
    };
    files.iter().map(used).collect()
}

/// The files of a folder, by their modules.
fn collect(
    folder: &Path,
    within: &Module,
    files: &mut BTreeMap<Module, PathBuf>,
) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let module = [&within[..], std::slice::from_ref(&name)].concat();
        if name == "tests" {
            continue;
        }
        if path.is_dir() {
            collect(&path, &module, files)?;
        } else if matches!(name.as_str(), "mod" | "lib" | "main") {
            files.insert(within.clone(), path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.insert(module, path);
        }
    }
    Ok(())
}

/// A source without its comments and its unit tests.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let lines = code.lines().map(|line| line.split("//").next().unwrap_or_default());
    lines.collect::<Vec<_>>().join("\n")
}

/// All paths that begin with `crate`, `self` or `super`.
fn paths(code: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for begin in ["crate::", "super::", "self::"] {
        for (at, _) in code.match_indices(begin) {
            let inside = code[..at].ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c));
            if !inside {
                spread("", &code[at..], &mut paths);
            }
        }
    }
    paths
}

/// Adds the paths of a tree, `a::{b, c::{d, e}}`, that a text begins with; returns where it ends.
fn spread(prefix: &str, text: &str, paths: &mut Vec<String>) -> usize {
    let is_of_paths = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let end = text.find(|c| !is_of_paths(c)).unwrap_or(text.len());
    let path = format!("{prefix}{}", &text[..end]);
    if !(path.ends_with("::") && text[end..].starts_with('{')) {
        paths.push(path);
        return end;
    }
    let mut at = end + 1;
    loop {
        at += text[at..].len() - text[at..].trim_start_matches([' ', '\n', ',']).len();
        match text[at..].chars().next() {
            None | Some('}') => return at + 1,
            Some(c) if is_of_paths(c) => at += spread(&path, &text[at..], paths),
            // `*`, and `as NAME` after a path.
            Some(c) => at += c.len_utf8(),
        }
    }
}

/// The module that a path is in.
fn resolve(files: &BTreeMap<Module, PathBuf>, module: &Module, path: &str) -> Option<Module> {
    let mut found = module.clone();
    for part in path.split("::").filter(|part| !part.is_empty()) {
        match part {
            "crate" => found.clear(),
            "super" => drop(found.pop()),
            "self" => {}
            name => found.push(name.to_owned()),
        }
    }
    while !files.contains_key(&found) {
        found.pop()?;
    }
    Some(found)
}

#[test]
fn paths_are_found_in_trees() {
    let text = "use super::a::{self, b::{c, D as E}, f};\nlet x = crate::g::h(super::super::I);";
    let found = paths(text);
    for path in
        ["crate::g::h", "super::a::b::c", "super::a::b::D", "super::a::f", "super::super::I"]
    {
        assert!(found.contains(&path.to_owned()), "{path}: {found:?}");
    }
}
