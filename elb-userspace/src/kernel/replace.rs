//! Replaces a file as a whole: a reader finds the old one or the new one, never a part.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// The extension that is added to the name of a file while it is written. It is always the same, so that a
/// process that is killed meanwhile leaves one such file at most.
pub const UNFINISHED: &str = "new";

/// Replaces a file, and returns when the disk has it.
///
/// # Errors
/// The folder cannot be written to; the file is as it was.
pub fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let new = path.with_added_extension(UNFINISHED);
    let replaced = write(&new, text).and_then(|()| fs::rename(&new, path));
    if replaced.is_err() {
        // A part of a file takes up room that a full disk does not have.
        let _ = fs::remove_file(&new);
    }
    replaced
}

fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(text)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
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
    fn nothing_is_left_of_a_file_that_cannot_take_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.json");
        fs::create_dir(&path).unwrap();
        assert!(replace(&path, b"one").is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
