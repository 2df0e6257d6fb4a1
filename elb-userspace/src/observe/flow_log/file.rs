//! A file that lines are added to, and that gives way to another one in time.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::time::Instant;

use super::rotation::Rules;

/// Who may read a file: root, and its group.
const MODE: u32 = 0o640;
/// Who may read the folder, if it is made.
const FOLDER: u32 = 0o750;

/// The file.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    rules: Rules,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    size: u64,
    begun: Instant,
}

impl LogFile {
    /// Nothing is opened before something is written.
    pub(super) const fn new(path: PathBuf, rules: Rules) -> Self {
        Self { path, rules, open: None }
    }

    /// Adds whole lines, all of them or none.
    pub(super) fn write(&mut self, lines: &[u8], now: Instant) -> io::Result<()> {
        let adding = lines.len() as u64;
        let is_due = |open: &Open| {
            self.rules.is_due(open.size, adding, now.saturating_duration_since(open.begun))
        };
        if self.open.as_ref().is_some_and(is_due) {
            self.open = None;
            self.give_way()?;
        }
        let open = match self.open.take() {
            Some(open) => open,
            None => self.begin(now)?,
        };
        // What was opened may be too large already.
        if is_due(&open) {
            self.give_way()?;
            let mut next = self.begin(now)?;
            let added = next.add(lines);
            self.open = Some(next);
            return added;
        }
        let mut open = open;
        let added = open.add(lines);
        self.open = Some(open);
        added
    }

    fn give_way(&self) -> io::Result<()> {
        if self.rules.keep == 0 {
            return fs::remove_file(&self.path);
        }
        for (from, to) in self.rules.moves(&self.path) {
            match fs::rename(&from, &to) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                renamed => renamed?,
            }
        }
        Ok(())
    }

    fn begin(&self, now: Instant) -> io::Result<Open> {
        if let Some(folder) = self.path.parent().filter(|folder| !folder.exists()) {
            DirBuilder::new().recursive(true).mode(FOLDER).create(folder)?;
        }
        let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
        let file = File::options()
            .append(true)
            .create(true)
            .mode(MODE)
            .custom_flags(flags)
            .open(&self.path)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        // Whatever the umask is.
        file.set_permissions(Permissions::from_mode(MODE))?;
        Ok(Open { file, size: found.len(), begun: now })
    }
}

impl Open {
    /// A part of a line would be of no use: it is taken away again.
    fn add(&mut self, lines: &[u8]) -> io::Result<()> {
        match self.file.write_all(lines) {
            Ok(()) => self.size += lines.len() as u64,
            Err(error) => {
                let _ = self.file.set_len(self.size);
                return Err(error);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;
    use std::time::Duration;

    const RULES: Rules = Rules { size: 10, age: Duration::from_secs(60), keep: 2 };

    fn read(folder: &Path, name: &str) -> Option<String> {
        fs::read_to_string(folder.join(name)).ok()
    }

    #[test]
    fn files_give_way_by_size_and_age() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("f");
        let mut file = LogFile::new(path.clone(), RULES);
        let begun = Instant::now();
        for line in ["aaaa\n", "bbbb\n", "cccc\n"] {
            file.write(line.as_bytes(), begun).unwrap();
        }
        let later = begun + RULES.age;
        file.write(b"d\n", later).unwrap();
        let folder = path.parent().unwrap();
        let all = ["f", "f.1", "f.2"].map(|name| read(folder, name).unwrap());
        assert_eq!(all, ["d\n", "cccc\n", "aaaa\nbbbb\n"]);
        file.write(b"0123456789\n", later).unwrap();
        assert_eq!((read(folder, "f.2").as_deref(), read(folder, "f.3")), (Some("cccc\n"), None));
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
    }

    #[test]
    fn what_was_there_is_added_to_and_a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        fs::write(&path, "old\n").unwrap();
        LogFile::new(path.clone(), RULES).write(b"new\n", Instant::now()).unwrap();
        assert_eq!(read(folder.path(), "f").as_deref(), Some("old\nnew\n"));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(LogFile::new(link, RULES).write(b"x\n", Instant::now()).is_err());
        assert!(LogFile::new("/dev/full".into(), RULES).write(b"x\n", Instant::now()).is_err());
    }
}
