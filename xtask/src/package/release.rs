//! What is released: its version, its words, and the time that all files in packages have.

use std::env;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::process;
use crate::workspace::{cargo_at_root, root};

pub(crate) const SUMMARY: &str = "load balancer for Linux hosts (XDP, Maglev, health checks)";
pub(crate) const DESCRIPTION: &[&str] = &[
    "An XDP program forwards each packet before the kernel's network stack sees",
    "it, by Maglev consistent hashing; an agent probes the backend servers, keeps",
    "the program's maps up to date, and says why something is not forwarded.",
    "Backend servers answer clients directly.",
    "",
    "Nothing is enabled or started by the installation, and nothing stops",
    "forwarding when the package is upgraded or removed.",
];
pub(crate) const MAINTAINER: &str = "The elb developers <elb@elb.invalid>";

pub(crate) struct Release {
    pub(crate) version: String,
    /// Seconds since 1970.
    pub(crate) time: String,
}

impl Release {
    /// The version of the workspace unless another is given, at `SOURCE_DATE_EPOCH` or else the time of the
    /// last commit.
    pub(crate) fn of(version: Option<&str>) -> Result<Self> {
        let version = version.map_or_else(workspace_version, |version| Ok(version.to_owned()))?;
        let time = env::var("SOURCE_DATE_EPOCH").or_else(|_| last_commit())?;
        Ok(Self { version, time })
    }

    /// In the form of Debian's packages; what changed is in a file of its own.
    pub(crate) fn debian_changelog(&self) -> Result<String> {
        let mut date = self.tool("date");
        let date = process::output(
            date.args(["--utc", "--rfc-email", "--date"]).arg(format!("@{}", self.time)),
        )?;
        Ok(format!(
            "elb ({}) unstable; urgency=medium\n\n  * See CHANGELOG.md.gz.\n\n -- {MAINTAINER}  {}\n",
            self.version,
            date.trim()
        ))
    }

    /// A tool that takes times from the environment.
    pub(crate) fn tool(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SOURCE_DATE_EPOCH", &self.time).env("LC_ALL", "C.UTF-8").env("TZ", "UTC");
        command
    }
}

fn workspace_version() -> Result<String> {
    let said = process::output(cargo_at_root().args(["pkgid", "--package", "elb-userspace"]))?;
    let version = said.trim().rsplit(['#', '@']).next().context("cargo names no version")?;
    Ok(version.to_owned())
}

fn last_commit() -> Result<String> {
    let mut git = Command::new("git");
    let said = process::output(git.args(["log", "-1", "--format=%ct"]).current_dir(root()));
    Ok(said.context("no time for the files: set SOURCE_DATE_EPOCH")?.trim().to_owned())
}
