//! Replaces a file as a whole: a reader finds the old one or the new one, never a part.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::Path;

/// The extension that is added to the name of a file while it is written. It is always the same, so that a
/// process that is killed meanwhile leaves one such file at most.
pub const UNFINISHED: &str = "new";

/// Replaces a file, and returns when the disk has it.
///
/// # Errors
/// The folder cannot be written to; the file is as it was, or, where only the folder could not be synced, the new one
/// that a loss of power may take back.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    put(path, |new| File::create(new).and_then(|file| write(file, text)))
}

/// As [`replace`], by a file that only its owner may read, from the beginning.
///
/// # Errors
/// As there.
pub fn replace_private(path: &Path, text: &[u8]) -> io::Result<()> {
    put(path, |new| private(new).and_then(|file| write(file, text)))
}

/// As [`replace`], for a file that is there: with its owner, group and mode, and behind a link that leads to it.
///
/// # Errors
/// As there, or there is no file.
pub fn replace_like(path: &Path, text: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let found = fs::metadata(&path)?;
    put(&path, |new| {
        // It is for the same readers as the old one before there is anything to read.
        let file = private(new)?;
        fchown(&file, Some(found.uid()), Some(found.gid()))?;
        file.set_permissions(found.permissions())?;
        write(file, text)
    })
}

/// A new file for its owner; one that a killed process left may have another mode.
fn private(new: &Path) -> io::Result<File> {
    let _ = fs::remove_file(new);
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(new)
}

fn put(path: &Path, make: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let new = path.with_added_extension(UNFINISHED);
    let replaced = make(&new).and_then(|()| fs::rename(&new, path));
    if replaced.is_err() {
        // A part of a file takes up room that a full disk does not have.
        let _ = fs::remove_file(&new);
    }
    replaced?;
    // Until the folder is on the disk, too, a host that loses power may come back with the old file.
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or_else(|| Path::new(".")))?.sync_all()
}

fn write(mut file: File, text: &[u8]) -> io::Result<()> {
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_replaced_or_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        fs::create_dir(folder.path().join("state.json.new")).unwrap();
        assert!(replace(&path, b"three").is_err());
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }

    #[test]
    fn a_file_is_replaced_by_one_like_it() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("elb.toml"), folder.path().join("link"));
        fs::write(&path, "one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let before = fs::metadata(&path).unwrap();
        replace_like(&link, b"two").unwrap();
        let after = fs::metadata(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(
            (after.mode(), after.uid(), after.gid()),
            (before.mode(), before.uid(), before.gid())
        );
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(replace_like(&folder.path().join("none"), b"").is_err());
    }

    #[test]
    fn a_private_file_is_for_its_owner_whatever_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        for left in [&path, &path.with_added_extension(UNFINISHED)] {
            fs::write(left, "old").unwrap();
            fs::set_permissions(left, fs::Permissions::from_mode(0o644)).unwrap();
        }
        replace_private(&path, b"new").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_left_of_a_file_that_cannot_take_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"one").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
