//! Installs Debian packages.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, ensure};

use super::services::{self, NoServices};
use super::version::Version;
use crate::privilege::is_root;
use crate::process;

const INSTALL: [&str; 3] = ["install", "-y", "--no-install-recommends"];

/// Something that is missing here and that Debian packages.
pub(crate) struct Need {
    pub(crate) what: &'static str,
    pub(crate) packages: Vec<&'static str>,
    /// Older packages do not do.
    pub(crate) least: Option<Version>,
    /// What to do where there is no such package.
    pub(crate) otherwise: String,
}

/// Installs what is needed in one go. Returns a line for each need that was not met.
pub(crate) fn install(needs: &[Need]) -> Result<Vec<String>> {
    if needs.is_empty() {
        return Ok(Vec::new());
    }
    if process::find_program("apt-get").is_none() {
        return Ok(needs.iter().map(unavailable).collect());
    }
    let packages = packages_of(needs);
    if !is_root() {
        let all = [&INSTALL[..], &packages].concat().join(" ");
        let run = format!("sudo apt-get update && sudo apt-get {all}");
        return Ok(vec![format!("not root, cannot install packages; run: {run}")]);
    }
    let mut policy = policy(&packages)?;
    let mut lists_are_fresh = false;
    if !needs.iter().all(|need| available(need, &policy)) {
        update()?;
        lists_are_fresh = true;
        policy = self::policy(&packages)?;
    }
    let (available, not): (Vec<_>, Vec<_>) =
        needs.iter().partition(|need| available(need, &policy));
    let packages = packages_of(available);
    if !packages.is_empty() {
        install_packages(&packages, lists_are_fresh)?;
    }
    Ok(not.into_iter().map(unavailable).collect())
}

/// The first package that `package` depends on and whose name begins with `prefix`.
pub(crate) fn dependency(package: &str, prefix: &str) -> Option<String> {
    let said = process::output(Command::new("apt-cache").args(["depends", package])).ok()?;
    let mut depends = said.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    depends.find(|depends| depends.starts_with(prefix)).map(str::to_owned)
}

/// `package` and what is not installed of all that it depends on.
pub(crate) fn missing_with(package: &str) -> Result<Vec<String>> {
    let said = process::output(apt_get(&INSTALL).args(["--simulate", package]))?;
    let missing = missing_in(&said);
    ensure!(!missing.is_empty(), "apt-get would install nothing for {package}");
    Ok(missing)
}

/// Fetches packages into the current folder.
pub(crate) fn download(packages: &[String]) -> Command {
    // Its own user, who else fetches, may not write to our folders.
    let mut command = apt_get(&["-o", "APT::Sandbox::User=root", "download"]);
    command.args(packages);
    command
}

/// Fetches packages and all that they need into a folder, as if nothing were installed here.
pub(crate) fn download_all(packages: &[&str], folder: &Path) -> Command {
    let mut command = apt_get(&INSTALL);
    for option in [
        "APT::Sandbox::User=root",
        "Dir::State::status=/dev/null",
        "Dir::Cache::pkgcache=",
        "Dir::Cache::srcpkgcache=",
        "Debug::NoLocking=1",
    ] {
        command.args(["-o", option]);
    }
    command.args(["-o", &format!("Dir::Cache::archives={}/", folder.display())]);
    command.arg("--download-only").args(packages);
    command
}

fn missing_in(simulation: &str) -> Vec<String> {
    let installed = simulation.lines().filter_map(|line| line.strip_prefix("Inst "));
    installed.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn packages_of<'a>(needs: impl IntoIterator<Item = &'a Need>) -> Vec<&'static str> {
    let mut packages: Vec<_> = needs.into_iter().flat_map(|need| need.packages.clone()).collect();
    packages.sort_unstable();
    packages.dedup();
    packages
}

/// Lists of some weeks ago name versions that the mirrors no longer have.
fn install_packages(packages: &[&str], lists_are_fresh: bool) -> Result<()> {
    let _quiet = NoServices::from_now_on(Path::new(services::POLICY))?;
    let install = || process::run(apt_get(&INSTALL).args(packages));
    match install() {
        Err(_) if !lists_are_fresh => {
            update()?;
            install()
        }
        result => result,
    }
}

pub(crate) fn update() -> Result<()> {
    process::run(&mut apt_get(&["update"]))
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.args(["-q", "-o", "DPkg::Lock::Timeout=120"]).args(arguments);
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn policy(packages: &[&str]) -> Result<String> {
    process::output(Command::new("apt-cache").arg("policy").args(packages).env("LC_ALL", "C"))
}

fn available(need: &Need, policy: &str) -> bool {
    need.packages.iter().all(|package| match (candidate(policy, package), need.least) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(version), Some(least)) => Version::find(version).is_some_and(|found| found >= least),
    })
}

fn unavailable(need: &Need) -> String {
    format!("{} is missing; {}", need.what, need.otherwise)
}

/// The version of `package` that would be installed, from what `apt-cache policy` printed.
fn candidate<'a>(policy: &'a str, package: &str) -> Option<&'a str> {
    let mut lines = policy.lines().skip_while(|line| line.strip_suffix(':') != Some(package));
    let indented = lines.by_ref().skip(1).take_while(|line| line.starts_with(' '));
    let version = indented.filter_map(|line| line.trim().strip_prefix("Candidate: ")).next()?;
    Some(version).filter(|version| *version != "(none)")
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = "\
rustc-web:
  Installed: (none)
  Candidate: 1.85.0+dfsg3-1~deb12u3
  Version table:
     1.85.0+dfsg3-1~deb12u3 500
llvm-22-dev:
  Installed: (none)
  Candidate: (none)
  Version table:
iproute2:
  Installed: 6.1.0-3
  Candidate: 6.1.0-3
";

    fn need(package: &'static str, least: Option<Version>) -> Need {
        Need { what: "it", packages: vec![package], least, otherwise: "do without".to_owned() }
    }

    #[test]
    fn a_candidate_is_read_from_its_own_paragraph() {
        assert_eq!(candidate(POLICY, "rustc-web"), Some("1.85.0+dfsg3-1~deb12u3"));
        assert_eq!(candidate(POLICY, "llvm-22-dev"), None);
        assert_eq!(candidate(POLICY, "iproute2"), Some("6.1.0-3"));
        assert_eq!(candidate(POLICY, "ethtool"), None);
    }

    #[test]
    fn what_would_be_installed_is_read_from_a_simulation() {
        let said = "Remv qemu-utils [1:10.0]\nInst seabios (1.16.2-1 Debian:12 [all])\n\
                    Inst qemu-system-x86 (1:7.2 Debian:12 [amd64])\nConf seabios (1.16.2-1)\n";
        assert_eq!(missing_in(said), ["seabios", "qemu-system-x86"]);
    }

    #[test]
    fn an_old_candidate_does_not_do() {
        assert!(available(&need("rustc-web", Some(Version(1, 85, 0))), POLICY));
        assert!(!available(&need("rustc-web", Some(Version(1, 95, 0))), POLICY));
        assert!(available(&need("iproute2", None), POLICY));
        assert!(!available(&need("llvm-22-dev", None), POLICY));
    }
}
