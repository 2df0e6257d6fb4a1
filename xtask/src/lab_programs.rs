//! The programs that a lab runs: `elb`, the servers, and what plays or measures in it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::artifact;
use crate::workspace::Workspace;

/// What is to be built, in one call of cargo: each dependency is then compiled once.
pub(crate) struct LabPrograms<'a> {
    pub(crate) profile: &'a str,
    /// Programs of `tests` besides the servers.
    pub(crate) also: &'a [&'a str],
}

pub(crate) struct Built(Vec<PathBuf>);

impl LabPrograms<'_> {
    pub(crate) fn build(&self, workspace: &Workspace) -> Result<Built> {
        let mut cargo = workspace.cargo(&["build", "--profile", self.profile]);
        cargo.args(["--package", "elb-userspace", "--package", "elb-tests"]);
        for program in ["elb", "lab-server"].iter().chain(self.also) {
            cargo.args(["--bin", program]);
        }
        Ok(Built(artifact::build(&mut cargo)?))
    }
}

impl Built {
    pub(crate) fn program(&self, name: &str) -> Result<&Path> {
        let found = self.0.iter().find(|file| file.file_name() == Some(name.as_ref()));
        found.map(PathBuf::as_path).with_context(|| format!("cargo built no `{name}`"))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::process;
    use crate::workspace::cargo_at_root;

    /// Every package with its version and features, as `cargo` would build it for `selection`.
    fn built_for(selection: &[&str]) -> BTreeSet<String> {
        let mut cargo = cargo_at_root();
        cargo.args(["tree", "--offline", "--prefix", "none", "--no-dedupe"]);
        let said = process::output(cargo.args(["--format", "{p} {f}"]).args(selection)).unwrap();
        said.lines().map(str::to_owned).collect()
    }

    #[test]
    fn whatever_is_built_dependencies_have_the_same_features() {
        let programs = ["--package", "elb-userspace", "--package", "elb-tests"];
        let everything =
            built_for(&["--workspace", "--exclude", "elb-ebpf", "--exclude", "elb-tests-ebpf"]);
        for selection in [
            [&programs[..], &["--edges", "normal,build"]].concat(),
            [&programs[2..], &["--edges", "normal,build,dev"]].concat(),
            vec!["--edges", "normal,build,dev"],
        ] {
            let others = &built_for(&selection) - &everything;
            assert!(others.is_empty(), "{selection:?} compiles anew: {others:#?}");
        }
    }
}
