//! The file system of a machine: an archive that the kernel unpacks into memory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use cpio::newc::{self, ModeFileType};

use crate::process;

pub(crate) struct Initramfs {
    archive: BufWriter<File>,
    /// What it has, as paths without the leading slash.
    entries: BTreeSet<PathBuf>,
}

impl Initramfs {
    pub(crate) fn create(file: &Path) -> Result<Self> {
        let archive =
            File::create(file).with_context(|| format!("cannot create {}", file.display()))?;
        Ok(Self { archive: BufWriter::new(archive), entries: BTreeSet::new() })
    }

    /// Adds a program, and every library that it needs where it looks for it.
    pub(crate) fn add_program(&mut self, place: &str, program: &Path) -> Result<()> {
        self.add_file(place, program)?;
        let libraries = process::output(Command::new("ldd").arg(program))?;
        libraries
            .lines()
            .filter_map(library)
            .try_for_each(|path| self.add_file(path, path.as_ref()))
    }

    pub(crate) fn add_file(&mut self, place: &str, file: &Path) -> Result<()> {
        let content = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        self.add(place, &content)
    }

    /// Adds a file, and the folders that it is in. A place that is taken stays as it is.
    pub(crate) fn add(&mut self, place: &str, content: &[u8]) -> Result<()> {
        let path = PathBuf::from(place.trim_start_matches('/'));
        for folder in path.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
            if !folder.as_os_str().is_empty() {
                self.write(folder, ModeFileType::Directory, &[])?;
            }
        }
        self.write(&path, ModeFileType::Regular, content)
    }

    fn write(&mut self, path: &Path, kind: ModeFileType, content: &[u8]) -> Result<()> {
        if !self.entries.insert(path.to_owned()) {
            return Ok(());
        }
        let name = path.to_str().context("a name that is not UTF-8")?;
        let entry = newc::Builder::new(name)
            .ino(u32::try_from(self.entries.len())?)
            .nlink(1)
            .mode(0o755)
            .set_mode_file_type(kind);
        let mut entry = entry.write(&mut self.archive, u32::try_from(content.len())?);
        entry.write_all(content)?;
        entry.finish()?;
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<()> {
        newc::trailer(self.archive)?.flush()?;
        Ok(())
    }
}

/// The path in a line of ldd: after an arrow, or alone for the loader; the kernel's own has none.
fn library(line: &str) -> Option<&str> {
    line.split_whitespace().find(|word| word.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_ldd() {
        let libc = "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f13)";
        assert_eq!(library(libc), Some("/lib/x86_64-linux-gnu/libc.so.6"));
        let loader = "\t/lib64/ld-linux-x86-64.so.2 (0x00007f15)";
        assert_eq!(library(loader), Some("/lib64/ld-linux-x86-64.so.2"));
        assert_eq!(library("\tlinux-vdso.so.1 (0x00007ffe)"), None);
        assert_eq!(library("\tstatically linked"), None);
    }

    #[test]
    fn folders_come_before_what_is_in_them_and_nothing_comes_twice() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("archive");
        let mut initramfs = Initramfs::create(&file).unwrap();
        initramfs.add("/a/b/one", b"1").unwrap();
        initramfs.add("/a/two", b"22").unwrap();
        initramfs.add("/a/two", b"other").unwrap();
        initramfs.finish().unwrap();

        let mut archive = File::open(&file).unwrap();
        let mut found = Vec::new();
        loop {
            let reader = newc::Reader::new(archive).unwrap();
            if reader.entry().is_trailer() {
                break;
            }
            found.push((reader.entry().name().to_owned(), reader.entry().file_size()));
            archive = reader.finish().unwrap();
        }
        let expected = [("a", 0), ("a/b", 0), ("a/b/one", 1), ("a/two", 2)];
        assert_eq!(found, expected.map(|(name, size)| (name.to_owned(), size)));
    }
}
