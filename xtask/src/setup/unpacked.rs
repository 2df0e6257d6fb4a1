//! Debian packages that are unpacked into a folder of ours instead of installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::apt;
use crate::process;

/// Makes `folder` hold the files of `packages`. A folder that is there is left alone.
pub(crate) fn unpack(folder: &Path, packages: impl Fn() -> Result<Vec<String>>) -> Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    for program in ["apt-get", "dpkg-deb"] {
        ensure!(process::find_program(program).is_some(), "no {program} to fetch it with");
    }
    let attempt = || fetch(&packages()?, folder);
    // Lists of packages may be missing, or name versions that the mirrors no longer have.
    attempt().or_else(|_| {
        apt::update()?;
        attempt()
    })
}

/// All or nothing: the folder gets its name when it is complete.
fn fetch(packages: &[String], folder: &Path) -> Result<()> {
    let mut incoming = folder.as_os_str().to_owned();
    incoming.push(".new");
    let incoming = PathBuf::from(incoming);
    if incoming.exists() {
        fs::remove_dir_all(&incoming)?;
    }
    fs::create_dir_all(&incoming)
        .with_context(|| format!("cannot create {}", incoming.display()))?;
    process::run(apt::download(packages).current_dir(&incoming))?;
    for entry in fs::read_dir(&incoming)?.collect::<Result<Vec<_>, _>>()? {
        let archive = entry.path();
        process::output(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&incoming))?;
        fs::remove_file(archive)?;
    }
    Ok(fs::rename(&incoming, folder)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_left_alone() {
        let scratch = tempfile::tempdir().unwrap();
        unpack(scratch.path(), || unreachable!("nothing is asked for")).unwrap();
    }
}
