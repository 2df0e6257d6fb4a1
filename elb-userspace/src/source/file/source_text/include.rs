//! Files that a configuration includes: `include = "conf.d/*.toml"`. They hold resources and nothing else, so that
//! one after the other they are TOML as well, and what each says does not depend on the others.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::{SourceText, position};
use crate::source::file::{MAX_FILE_SIZE, read_bounded, unreadable_error};
use crate::source::unreadable;

/// What `include` may say.
pub(in crate::source::file) const RULE: &str =
    "a path, relative to this file's folder, whose last part may have * and ?";
/// Files that may be included.
const MOST: usize = 1_000;
/// What an included file may hold.
const TABLES: [&str; 3] = ["load_balancer", "pool", "ipgroup"];
/// What to do about anything else.
const ONLY_RESOURCES: &str = "an included file has [[load_balancer]], [[pool]] and [[ipgroup]]; move the rest to the file that includes it";

/// Reads the files of a pattern, sorted by name, behind the file that includes them. A pattern that is of no
/// use is reported where the file is read.
pub(super) fn read(source: &mut SourceText, file: &Path, pattern: &str) {
    let Some((folder, pattern)) = parts(pattern) else { return };
    let folder = file.parent().unwrap_or(Path::new("")).join(folder);
    let found = match matching(&folder, pattern) {
        Ok(found) => found,
        Err(error) => {
            let what = format!("cannot be read: {}", unreadable::why(&folder, &error));
            let fix = unreadable::fix(&folder, &error);
            let fix = fix.as_deref().unwrap_or("make it a folder that can be read");
            return source.wrong(&folder.display().to_string(), (0, 0), what, fix);
        }
    };
    if found.len() > MOST {
        let what = format!("has {} files that match {pattern}, of {MOST}", found.len());
        return source.wrong(&folder.display().to_string(), (0, 0), what, "put several into one");
    }
    for path in found {
        match read_bounded(&path) {
            Ok(text) => add(source, &path, &text),
            Err(error) => source.errors.push(unreadable_error(&path, &error)),
        }
    }
}

/// The folder and the pattern of names in it; none: there is no such pattern.
pub(in crate::source::file) fn parts(pattern: &str) -> Option<(&Path, &str)> {
    let path = Path::new(pattern);
    let (folder, names) = (path.parent()?, path.file_name()?.to_str()?);
    let is_plain = !folder.to_str()?.contains(['*', '?']) && !pattern.ends_with('/');
    is_plain.then_some((folder, names))
}

/// Files whose names match, sorted. A folder that is not there has none.
fn matching(folder: &Path, pattern: &str) -> io::Result<Vec<PathBuf>> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = match fs::read_dir(here) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        if name.to_str().is_some_and(|name| is_match(name, pattern)) {
            found.push(folder.join(name));
        }
    }
    found.sort();
    Ok(found)
}

/// As a shell has it: * is any characters, ? is one, and neither is a first dot.
fn is_match(name: &str, pattern: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (name, pattern): (Vec<char>, Vec<char>) =
        (name.chars().collect(), pattern.chars().collect());
    let (mut at, mut next) = (0, 0);
    // Where the last * is, and what it has taken so far.
    let mut star = None;
    while at < name.len() {
        match pattern.get(next) {
            Some('*') => {
                star = Some((next, at));
                next += 1;
            }
            Some(one) if *one == '?' || *one == name[at] => (at, next) = (at + 1, next + 1),
            _ => {
                let Some((before, taken)) = star else { return false };
                star = Some((before, taken + 1));
                (at, next) = (taken + 1, before + 1);
            }
        }
    }
    pattern[next..].iter().all(|one| *one == '*')
}

/// Adds a file that is right by itself.
fn add(source: &mut SourceText, path: &Path, text: &str) {
    let name = path.display().to_string();
    if (source.text.len() + text.len()) as u64 > MAX_FILE_SIZE {
        let what = "makes the configuration larger than 4 MiB".to_owned();
        return source.wrong(&name, (0, 0), what, "split it over several load balancers");
    }
    let (document, errors) = DeTable::parse_recoverable(text);
    let at = |offset: usize| position(text, offset);
    for error in &errors {
        let place = at(error.span().map_or(0, |span| span.start));
        source.wrong(
            &name,
            place,
            error.message().to_owned(),
            "see https://toml.io for the syntax",
        );
    }
    let other = document.get_ref().iter().filter(|(key, value)| {
        let header = text[..key.span().start].trim_end().ends_with("[[");
        let is_list = matches!(value.get_ref(), DeValue::Array(_)) && header;
        !(is_list && TABLES.contains(&key.get_ref().as_ref()))
    });
    let mut other: Vec<_> =
        other.map(|(key, _)| (key.span().start, key.get_ref().to_string())).collect();
    other.sort();
    for (offset, key) in &other {
        source.wrong(&name, at(*offset), format!("{key} cannot be here"), ONLY_RESOURCES);
    }
    if errors.is_empty() && other.is_empty() {
        source.append(name, text);
    }
}

#[cfg(test)]
mod tests;
