//! What the agent said when a panic of its main loop ended it, for the next one to show.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::PathBuf;

use super::Folder;

/// Bytes of it that are kept.
const MOST: usize = 1000;

fn place(folder: &Folder) -> PathBuf {
    folder.path().join("panicked.txt")
}

/// Writes it down, if that is possible: the agent ends in any case.
pub(in crate::agent) fn note_panic(folder: &Folder, message: &str) {
    let end =
        message.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= MOST);
    let kept = message.get(..end.last().unwrap_or(0)).unwrap_or_default();
    let written =
        fs::File::create(place(folder)).and_then(|mut file| file.write_all(kept.as_bytes()));
    if let Err(error) = written {
        tracing::error!(%error, "the next agent will not know of the panic");
    }
}

/// What the agent before this one wrote down, once.
pub(in crate::agent) fn take_panic(folder: &Folder) -> Option<String> {
    let place = place(folder);
    let file = fs::File::open(&place).ok()?;
    let mut bytes = Vec::new();
    let read = file.take(MOST as u64).read_to_end(&mut bytes);
    let _ = fs::remove_file(&place);
    read.ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_once_and_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let folder = Folder::new(&path("state"), &path("pins"), &path("socket"));
        folder.make().unwrap();
        assert_eq!(take_panic(&folder), None);
        note_panic(&folder, "index out of bounds");
        assert_eq!(take_panic(&folder).as_deref(), Some("index out of bounds"));
        assert_eq!(take_panic(&folder), None);
        note_panic(&folder, &"é".repeat(2000));
        assert_eq!(take_panic(&folder), Some("é".repeat(500)));
    }
}
