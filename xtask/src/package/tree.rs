//! The files of a package, laid out below a folder as they will be below `/`.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::components::Components;
use super::copyright;
use super::family::Family;
use super::release::Release;
use crate::process;
use crate::workspace::root;

/// Files below `etc` that the administrator changes, and that no upgrade replaces.
pub(crate) const CONFIGURATION: [&str; 2] = ["etc/elb/elb.toml", "etc/elb/backend.toml"];

/// What is copied as it is: from `elb-userspace/dist`, to below `/`.
const COPIED: [(&str, &str); 8] = [
    ("packages/elb.toml", "etc/elb/elb.toml"),
    ("packages/backend.toml", "etc/elb/backend.toml"),
    ("packages/elb.sysusers", "usr/lib/sysusers.d/elb.conf"),
    ("elb.service", "usr/lib/systemd/system/elb.service"),
    ("elb-backend.service", "usr/lib/systemd/system/elb-backend.service"),
    ("elb-backend@.service", "usr/lib/systemd/system/elb-backend@.service"),
    ("elb.toml", "usr/share/doc/elb/elb.toml"),
    ("monitoring", "usr/share/elb/monitoring"),
];

pub(crate) struct Tree {
    pub(crate) root: PathBuf,
}

impl Tree {
    /// Lays out `elb` and all that belongs to it; `here` is an `elb` that runs on this machine.
    pub(crate) fn lay(
        release: &Release,
        folder: &Path,
        family: Family,
        elb: &Path,
        here: &Path,
        components: &Components,
    ) -> Result<Self> {
        let tree = Self { root: folder.to_owned() };
        fs::create_dir_all(folder)?;
        fs::set_permissions(folder, Permissions::from_mode(0o755))?;
        tree.put("usr/bin/elb", &fs::read(elb)?, 0o755)?;
        for (from, to) in COPIED {
            tree.copy(&dist().join(from), to)?;
        }
        tree.manual(here)?;
        tree.completions(here, family)?;
        let doc = "usr/share/doc/elb";
        tree.put(&format!("{doc}/copyright"), copyright::ours(family)?.as_bytes(), 0o644)?;
        let others = copyright::others(components)?;
        tree.put_packed(&format!("{doc}/third-party-licenses"), others.as_bytes())?;
        let changes = fs::read(root().join("CHANGELOG.md"))?;
        tree.put_packed(&format!("{doc}/CHANGELOG.md"), &changes)?;
        if family == Family::Deb {
            let changelog = release.debian_changelog()?;
            tree.put_packed(&format!("{doc}/changelog"), changelog.as_bytes())?;
        }
        Ok(tree)
    }

    /// Every file, as a path below the root, in order.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        walk(&self.root, &mut files)?;
        let inside = |file: PathBuf| Ok(file.strip_prefix(&self.root)?.to_owned());
        files.into_iter().map(inside).collect()
    }

    /// The manual pages that `elb man` writes, each in the folder of its section.
    fn manual(&self, here: &Path) -> Result<()> {
        let written = self.root.with_extension("man");
        fs::create_dir_all(&written)?;
        process::output(Command::new(here).arg("man").arg(&written))?;
        for page in sorted(&written)? {
            let name = page.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let section = page.extension().unwrap_or_default().to_string_lossy().into_owned();
            let place = format!("usr/share/man/man{section}/{name}");
            self.put_packed(&place, &fs::read(&page)?)?;
        }
        Ok(())
    }

    fn completions(&self, here: &Path, family: Family) -> Result<()> {
        let zsh = match family {
            Family::Deb => "zsh/vendor-completions/_elb",
            Family::Rpm => "zsh/site-functions/_elb",
        };
        let places = [
            ("bash", "bash-completion/completions/elb"),
            ("zsh", zsh),
            ("fish", "fish/vendor_completions.d/elb.fish"),
        ];
        for (shell, place) in places {
            let script = process::output(Command::new(here).args(["completions", shell]))?;
            self.put(&format!("usr/share/{place}"), script.as_bytes(), 0o644)?;
        }
        Ok(())
    }

    /// A file, or a folder with all that is in it; nothing where there is none.
    fn copy(&self, from: &Path, to: &str) -> Result<()> {
        if from.is_file() {
            return self.put(to, &fs::read(from)?, 0o644);
        }
        let mut files = Vec::new();
        if from.is_dir() {
            walk(from, &mut files)?;
        }
        for file in files {
            let inside = file.strip_prefix(from)?.to_string_lossy().into_owned();
            self.put(&format!("{to}/{inside}"), &fs::read(&file)?, 0o644)?;
        }
        Ok(())
    }

    /// A file that is packed as manual pages and changelogs are.
    fn put_packed(&self, place: &str, content: &[u8]) -> Result<()> {
        self.put(place, content, 0o644)?;
        process::output(Command::new("gzip").args(["-9", "-n"]).arg(self.root.join(place)))?;
        Ok(())
    }

    fn put(&self, place: &str, content: &[u8], mode: u32) -> Result<()> {
        let file = self.root.join(place);
        let mut folder = self.root.clone();
        for part in Path::new(place).parent().unwrap_or(Path::new("")).components() {
            folder.push(part);
            if !folder.is_dir() {
                fs::create_dir(&folder)?;
                fs::set_permissions(&folder, Permissions::from_mode(0o755))?;
            }
        }
        fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(fs::set_permissions(&file, Permissions::from_mode(mode))?)
    }
}

/// The folder of what is installed besides the binary.
pub(crate) fn dist() -> PathBuf {
    root().join("elb-userspace/dist")
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in sorted(folder)? {
        if entry.is_dir() {
            walk(&entry, files)?;
        } else {
            files.push(entry);
        }
    }
    Ok(())
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    let mut entries = read.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}
