//! What is built in one folder is the same as what is built in another: compilers are asked to leave out
//! where sources are on this machine.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process;
use crate::setup::linker::cargo_home;
use crate::workspace::{Workspace, root};

/// Flags for `rustc`.
pub(crate) fn without_places(rustc: &Path, workspace: &Workspace) -> Vec<String> {
    let version = process::output(Command::new(rustc).arg("-vV")).unwrap_or_default();
    let sysroot = rustc.parent().and_then(Path::parent);
    flags(sysroot, &version, cargo_home(), workspace.target_dir())
}

fn flags(
    sysroot: Option<&Path>,
    version: &str,
    cargo: Option<PathBuf>,
    target: &Path,
) -> Vec<String> {
    // As its makers name the source of the standard library, whether that is installed or not.
    let commit = version.lines().find_map(|line| line.strip_prefix("commit-hash: "));
    let library = format!("/rustc/{}", commit.unwrap_or("unknown"));
    let source = sysroot.map(|sysroot| sysroot.join("lib/rustlib/src/rust"));
    let is_elsewhere = !target.starts_with(root());
    let places = [
        (Some(root()), "elb"),
        (cargo, "cargo"),
        (source, &library),
        (is_elsewhere.then(|| target.to_owned()), "elb/target"),
    ];
    let named = places.into_iter().filter_map(|(place, name)| Some((place?, name)));
    named.map(|(place, name)| format!("--remap-path-prefix={}={name}", place.display())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_has_another_name() {
        let version = "rustc 1.95.0\ncommit-hash: 59807616\n";
        let flags = flags(
            Some("/opt/rust".as_ref()),
            version,
            Some("/home/me/.cargo".into()),
            "/var/build".as_ref(),
        );
        assert_eq!(
            flags,
            [
                format!("--remap-path-prefix={}=elb", root().display()),
                "--remap-path-prefix=/home/me/.cargo=cargo".to_owned(),
                "--remap-path-prefix=/opt/rust/lib/rustlib/src/rust=/rustc/59807616".to_owned(),
                "--remap-path-prefix=/var/build=elb/target".to_owned(),
            ]
        );
    }
}
