//! The package for Red Hat and its kin, by `rpmbuild`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use super::deb::script_text;
use super::family::Compression;
use super::release::{DESCRIPTION, Release, SUMMARY};
use super::target::Target;
use super::tree::{CONFIGURATION, Tree};
use crate::process;
use crate::setup::apt::{self, Need};

/// Returns the package's name; none where there is no `rpmbuild`, which it says.
pub(crate) fn write(
    release: &Release,
    target: &Target,
    tree: &Tree,
    work: &Path,
    out: &Path,
    compression: Compression,
) -> Result<Option<String>> {
    if let Some(unmet) = missing()? {
        println!("SKIPPED  the package for rpm: {unmet}");
        return Ok(None);
    }
    let file = work.join("elb.spec");
    fs::write(&file, spec(release, target, tree)?)?;
    // With more threads, the bytes depend on how many.
    let payload = match compression {
        Compression::Small => "w9T1.xzdio",
        Compression::Fast => "w1.gzdio",
    };
    let mut rpmbuild = release.tool("rpmbuild");
    rpmbuild.arg("-bb").args(["--target", target.processor.name]);
    for (name, value) in [
        ("_topdir", work.join("rpmbuild").display().to_string()),
        ("_dbpath", work.join("rpmdb").display().to_string()),
        ("_rpmdir", out.display().to_string()),
        ("_rpmfilename", "%{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm".to_owned()),
        ("_binary_payload", payload.to_owned()),
    ] {
        rpmbuild.args(["--define", &format!("{name} {value}")]);
    }
    process::output(rpmbuild.arg(&file))?;
    Ok(Some(format!("elb-{}-1.{}.rpm", release.version, target.processor.name)))
}

fn missing() -> Result<Option<String>> {
    if process::find_program("rpmbuild").is_some() {
        return Ok(None);
    }
    let otherwise = "install your system's package of it (Debian's is rpm)".to_owned();
    let need = Need { what: "rpmbuild", packages: vec!["rpm"], least: None, otherwise };
    Ok(apt::install(&[need])?.into_iter().next())
}

fn spec(release: &Release, target: &Target, tree: &Tree) -> Result<String> {
    let mut files = String::new();
    for file in tree.files()? {
        let file = file.to_str().context("a file's name is no text")?;
        let kind = if CONFIGURATION.contains(&file) { "%config(noreplace) " } else { "" };
        files += &format!("{kind}/{file}\n");
    }
    let requires = if target.is_static() { "" } else { "Requires: glibc >= 2.36\n" };
    Ok(script_text("elb.spec")?
        .replace("@VERSION@", &release.version)
        .replace("@SUMMARY@", SUMMARY)
        .replace("@DESCRIPTION@", &DESCRIPTION.join("\n"))
        .replace("@REQUIRES@", requires)
        .replace("@TREE@", &tree.root.display().to_string())
        .replace("@KEEP@", script_text("keep.sh")?.trim_end())
        .replace("@FILES@", "%defattr(-,root,root,-)\n%dir /etc/elb\n")
        + &files)
}
