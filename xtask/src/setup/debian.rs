//! A bare Debian root, for labs that install packages: what is essential, and the tools that look at it. Nothing of
//! this machine is in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::apt;
use crate::privilege::is_root;
use crate::process;

/// What is in it beside what these need.
const PACKAGES: [&str; 3] = ["?essential", "iproute2", "mount"];

/// Lays out the root in the current folder, whose `debs` holds the packages, and lets dpkg configure them there.
const MAKE: &str = r#"
mkdir usr
for folder in bin sbin lib lib64; do mkdir "usr/$folder"; ln -s "usr/$folder" "$folder"; done
for deb in debs/*.deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x --keep-directory-symlink -f -; done
for file in passwd group; do cp "usr/share/base-passwd/$file.master" "etc/$file"; done
: > var/lib/dpkg/status
: > var/lib/dpkg/available
printf '#!/bin/sh\nexit 101\n' > usr/sbin/policy-rc.d
chmod 755 usr/sbin/policy-rc.d
unshare --mount --pid --fork --uts chroot . sh -ec 'dpkg --force-depends --install /debs/*.deb; dpkg --configure -a'
rm -r debs usr/sbin/policy-rc.d
"#;

/// Makes the root unless it is there. A line that says why where this system cannot.
pub(super) fn find_or_make(folder: &Path) -> Option<String> {
    let made = if folder.is_dir() { Ok(()) } else { make(folder) };
    match made {
        Ok(()) => {
            super::found(&format!("a bare Debian root: {}", folder.display()));
            None
        }
        Err(error) => Some(format!("a bare Debian root cannot be made here: {error:#}")),
    }
}

/// All or nothing: the folder gets its name when it is complete.
fn make(folder: &Path) -> Result<()> {
    ensure!(is_root(), "not root");
    for program in ["apt-get", "dpkg-deb", "chroot", "unshare"] {
        ensure!(process::find_program(program).is_some(), "there is no {program}");
    }
    let mut incoming = folder.as_os_str().to_owned();
    incoming.push(".new");
    let incoming = PathBuf::from(incoming);
    if incoming.exists() {
        fs::remove_dir_all(&incoming)?;
    }
    let debs = incoming.join("debs");
    fs::create_dir_all(debs.join("partial"))
        .with_context(|| format!("cannot create {}", debs.display()))?;
    let attempt = || process::run(&mut apt::download_all(&PACKAGES, &debs));
    // Lists of packages may be missing, or name versions that the mirrors no longer have.
    attempt().or_else(|_| {
        apt::update()?;
        attempt()
    })?;
    fs::remove_dir_all(debs.join("partial"))?;
    let mut shell = Command::new("sh");
    shell.args(["-ec", MAKE]).current_dir(&incoming);
    shell.env("DEBIAN_FRONTEND", "noninteractive").env("LC_ALL", "C");
    process::output(&mut shell)?;
    Ok(fs::rename(&incoming, folder)?)
}
