//! Why a file or a folder cannot be opened: whose it is, and what this process may do about it.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH in linux/capability.h.
const PASSES_OVER_MODES: u64 = 1 << 1 | 1 << 2;

/// What the kernel said, and where it said that permission is denied: who may, and who this is.
pub fn why(path: &Path, error: &io::Error) -> String {
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    let facts = denied.then(|| facts(path)).flatten();
    facts.map_or_else(|| error.to_string(), |facts| format!("{error}: {facts}"))
}

/// What to do about it.
pub fn fix(path: &Path, error: &io::Error) -> Option<String> {
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    let (named, _) = nearest(path).filter(|_| denied)?;
    let (uid, named) = (rustix::process::geteuid().as_raw(), named.display());
    Some(format!("make {named} accessible to uid {uid} (`chown {uid} {named}`, or `chmod`)"))
}

/// The path, or the nearest folder above it that can be looked at.
fn nearest(path: &Path) -> Option<(&Path, fs::Metadata)> {
    path.ancestors().find_map(|path| Some((path, fs::metadata(path).ok()?)))
}

fn facts(path: &Path) -> Option<String> {
    let (named, found) = nearest(path)?;
    let uid = rustix::process::geteuid().as_raw();
    let mut text = format!(
        "{} belongs to uid {} and gid {}, mode {:04o}, and this process is uid {uid}",
        named.display(),
        found.uid(),
        found.gid(),
        found.mode() & 0o7777
    );
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    if uid == 0 && effective(&status).is_some_and(|set| set & PASSES_OVER_MODES == 0) {
        text.push_str(
            " without CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH (elb.service leaves them out of \
             CapabilityBoundingSet), so that modes bind it like any other user",
        );
    }
    Some(text)
}

/// The effective capabilities in `/proc/self/status`.
fn effective(status: &str) -> Option<u64> {
    let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
    u64::from_str_radix(set.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_names_owner_and_mode() {
        let folder = tempfile::tempdir().unwrap();
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let text = why(&folder.path().join("not/there"), &denied);
        let owner = fs::metadata(folder.path()).unwrap().uid();
        assert!(text.contains(&format!("belongs to uid {owner}")), "{text}");
        assert!(text.contains(", mode 07") && text.contains(" and this process is uid "), "{text}");
        assert!(fix(folder.path(), &denied).unwrap().contains("chown"));
    }

    #[test]
    fn other_errors_are_as_they_are() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(why(Path::new("/x"), &missing), missing.to_string());
        assert_eq!(fix(Path::new("/x"), &missing), None);
    }

    #[test]
    fn capabilities_are_read() {
        assert_eq!(effective("Name:\telb\nCapEff:\t000000c000003000\n"), Some(0xc0_0000_3000));
        assert_eq!(effective(""), None);
    }
}
