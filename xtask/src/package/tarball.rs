//! The archive for every other system, and the checksums of all.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::release::Release;
use super::target::Target;
use super::tree::Tree;
use crate::process;

pub(crate) const SUMS: &str = "SHA256SUMS";

/// Returns the archive's name. It holds one folder with the files as they are below `/`.
pub(crate) fn write(release: &Release, target: &Target, tree: &Tree, out: &Path) -> Result<String> {
    let folder = format!("elb-{}-{}", release.version, target.triple);
    let name = format!("{folder}.tar.gz");
    let archive = out.join(format!("{folder}.tar"));
    tar(release, &tree.root, &archive, &[&format!("--transform=s,^\\.,{folder},"), "."])?;
    process::output(release.tool("gzip").args(["-9", "-n", "-f"]).arg(archive))?;
    Ok(name)
}

/// An archive of what is in `folder`, the same for the same content.
pub(crate) fn tar(release: &Release, folder: &Path, archive: &Path, what: &[&str]) -> Result<()> {
    let mut tar = release.tool("tar");
    tar.args(["--sort=name", "--format=gnu", "--owner=0", "--group=0", "--numeric-owner"]);
    tar.arg(format!("--mtime=@{}", release.time)).arg("-C").arg(folder).arg("-cf").arg(archive);
    process::output(tar.args(what)).map(drop)
}

/// Writes the checksums, of earlier packages for other targets too.
pub(crate) fn sums(out: &Path, made: &[String]) -> Result<()> {
    let file = out.join(SUMS);
    let before = fs::read_to_string(&file).unwrap_or_default();
    let named = |line: &str| line.split_whitespace().nth(1).map(str::to_owned);
    let mut names: Vec<String> = before.lines().filter_map(named).collect();
    names.extend(made.iter().cloned());
    names.retain(|name| out.join(name).is_file());
    names.sort();
    names.dedup();
    let sums =
        process::output(std::process::Command::new("sha256sum").args(names).current_dir(out))?;
    Ok(fs::write(file, sums)?)
}
