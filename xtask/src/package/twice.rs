//! `--twice`: everything is built a second time, from a copy of the sources in another folder and into another target
//! folder. The same sources must give the same bytes.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::release::Release;
use super::tarball::SUMS;
use super::target::Target;
use crate::process;
use crate::workspace::{BPF_DIR_VARIABLE, Workspace, root};

/// Builds the packages again and compares them with those in `first`. What differs is left to be looked at.
pub(crate) fn compare(
    workspace: &Workspace,
    release: &Release,
    target: &Target,
    first: &Path,
) -> Result<()> {
    let place = workspace.second_dir();
    if place.exists() {
        fs::remove_dir_all(&place)?;
    }
    let (sources, build, out) = (place.join("sources"), place.join("build"), place.join("package"));
    copy_sources(&sources)?;
    fs::create_dir_all(&build)?;
    // Not part of what is compared, and a minute's work.
    symlink(workspace.tools_dir(), build.join("tools"))?;
    let mut again = Command::new(std::env::current_exe()?);
    again.args(["package", "--target", &target.triple, "--package-version", &release.version]);
    again.arg("--out").arg(&out).env("SOURCE_DATE_EPOCH", &release.time);
    again.env("CARGO_MANIFEST_DIR", sources.join("xtask")).env("CARGO_TARGET_DIR", &build);
    process::run(again.env_remove(BPF_DIR_VARIABLE).current_dir(&sources))?;
    let different = different(&sums(first)?, &sums(&out)?);
    if !different.is_empty() {
        bail!(
            "two builds of the same sources differ in {}; compare {} with {}",
            different.join(", "),
            first.display(),
            out.display()
        );
    }
    println!("built twice, in {} too: every byte is the same", sources.display());
    Ok(fs::remove_dir_all(&place)?)
}

/// Those that git knows or would take, as they are now.
fn copy_sources(to: &Path) -> Result<()> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let files = process::output(git.current_dir(root())).context("which files are the sources?")?;
    for name in files.split_terminator('\0') {
        let (from, to) = (root().join(name), to.join(name));
        if from.is_file() {
            fs::create_dir_all(to.parent().unwrap_or(&to))?;
            fs::copy(&from, to).with_context(|| from.display().to_string())?;
        }
    }
    Ok(())
}

/// Checksums by file name.
fn sums(folder: &Path) -> Result<BTreeMap<String, String>> {
    let file: PathBuf = folder.join(SUMS);
    let text = fs::read_to_string(&file).with_context(|| file.display().to_string())?;
    Ok(read(&text))
}

fn read(text: &str) -> BTreeMap<String, String> {
    let line = |line: &str| {
        let (sum, name) = line.split_once("  ")?;
        Some((name.to_owned(), sum.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

/// The files of the second build that the first one did not make the same. The first folder may hold
/// packages for other targets as well.
fn different(first: &BTreeMap<String, String>, second: &BTreeMap<String, String>) -> Vec<String> {
    let other = |(name, sum): &(&String, &String)| first.get(*name) != Some(sum);
    second.iter().filter(other).map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_second_build_is_compared() {
        let first = read("aa  elb.deb\nbb  elb.rpm\ncc  elb-for-arm.rpm\n");
        assert_eq!(different(&first, &read("aa  elb.deb\nbb  elb.rpm\n")), Vec::<String>::new());
        assert_eq!(different(&first, &read("aa  elb.deb\nbc  elb.rpm\n")), ["elb.rpm"]);
        assert_eq!(different(&first, &read("dd  elb.tar.gz\n")), ["elb.tar.gz"]);
    }
}
