//! The public SDK that labs drive the API with, what judges its document, and servers of mail and WebSockets: a virtual
//! environment of Python, of pinned versions from PyPI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::process;
use crate::workspace::{self, Workspace};

/// The versions, for pip, and in an environment those that it has.
const LIST: &str = "requirements.txt";

/// Makes the environment, unless it is there and of these versions. Where it cannot be made, tests that need it
/// are skipped, and say so.
pub(crate) fn find_or_fetch(workspace: &Workspace) {
    let folder = workspace.python_dir();
    match make(&folder, &list()) {
        Ok(()) => super::found(&format!("the SDK in {}", folder.display())),
        Err(error) => println!("  MISSING  the SDK for the labs of the API: {error:#}"),
    }
}

/// Whether the environment is there.
pub(crate) fn is_there(workspace: &Workspace) -> bool {
    fs::read_to_string(list()).is_ok_and(|wanted| is_made(&workspace.python_dir(), &wanted))
}

fn list() -> PathBuf {
    workspace::root().join("tests/python").join(LIST)
}

fn is_made(folder: &Path, wanted: &str) -> bool {
    fs::read_to_string(folder.join(LIST)).is_ok_and(|made| made == wanted)
}

fn make(folder: &Path, list: &Path) -> Result<()> {
    let wanted = fs::read_to_string(list)?;
    if is_made(folder, &wanted) {
        return Ok(());
    }
    ensure!(
        process::find_program("python3").is_some(),
        "no python3: install it (Debian's is python3-venv)"
    );
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    process::run(Command::new("python3").args(["-m", "venv"]).arg(folder))?;
    let pip = folder.join("bin/pip");
    let quiet = ["install", "--quiet", "--disable-pip-version-check", "--no-deps", "-r"];
    process::run(Command::new(pip).args(quiet).arg(list))?;
    // Written at last: an environment without it is begun again.
    Ok(fs::write(folder.join(LIST), wanted)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_of_these_versions_is_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let list = scratch.path().join("list");
        fs::write(&list, "x==1\n").unwrap();
        let folder = scratch.path().join("python");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("requirements.txt"), "x==1\n").unwrap();
        fs::write(folder.join("mark"), "").unwrap();
        make(&folder, &list).unwrap();
        assert!(folder.join("mark").exists());
    }
}
