//! Builds the `elb` that is packed.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use super::target::Target;
use crate::artifact;
use crate::expected::ELB_DIST;
use crate::paths;
use crate::process;
use crate::setup::musl;
use crate::stages::Stages;
use crate::workspace::{Workspace, cargo_at_root};

/// Puts the list of crates into the binary, for `cargo audit bin`, trivy and syft.
const AUDITABLE: &str = "cargo-auditable";
const AUDITABLE_VERSION: &str = "0.7.7";
const LIMIT: Duration = Duration::from_secs(120);

/// The binary for `target`, and one that runs on this machine: it writes manual pages and completions.
pub(crate) fn elb(
    stages: &mut Stages,
    workspace: &Workspace,
    target: &Target,
) -> Result<(PathBuf, PathBuf)> {
    let auditable = auditable(workspace);
    if let Err(error) = &auditable {
        stages.skip(format!("the list of crates in the binary: {error:#}"));
    }
    let auditable = auditable.ok();
    stages.run(ELB_DIST, || {
        let elb = build(workspace, target, auditable.as_deref())?;
        if target.is_of_this_machine() {
            return Ok((elb.clone(), elb));
        }
        let here = workspace.cargo(&["build", "--package", "elb-userspace", "--bin", "elb"]);
        Ok((elb, artifact::build_one(&mut { here }, "elb")?))
    })
}

fn build(workspace: &Workspace, target: &Target, auditable: Option<&Path>) -> Result<PathBuf> {
    musl::provide_std(&target.triple, LIMIT)?;
    let mut words = vec!["build", "--profile", "dist", "--locked", "--target", &target.triple];
    words.extend(["--package", "elb-userspace", "--bin", "elb"]);
    if let Some(folder) = auditable {
        words.insert(0, "auditable");
        let mut cargo = workspace.cargo(&words);
        let path = process::search_path();
        let folders = std::env::split_paths(&path).chain([folder.to_owned()]);
        cargo.env("PATH", std::env::join_paths(folders)?);
        return finish(cargo, workspace, target);
    }
    finish(workspace.cargo(&words), workspace, target)
}

fn finish(mut cargo: Command, workspace: &Workspace, target: &Target) -> Result<PathBuf> {
    let mut flags = paths::without_places(&rustc()?, workspace);
    if let Some(compiler) = c_compiler(target)? {
        cargo.env(musl::compiler_variable(&target.triple), compiler);
    }
    if !target.is_of_this_machine() && target.is_static() {
        // What rustc brings with it links it: no linker of Debian's knows musl.
        flags.extend(["-Clinker=rust-lld".to_owned(), "-Clink-self-contained=yes".to_owned()]);
    }
    cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.join("\x1f")).env_remove("RUSTFLAGS");
    artifact::build_one(&mut cargo, "elb")
}

/// The compiler of crates with C code, if it is not the usual one.
fn c_compiler(target: &Target) -> Result<Option<&'static str>> {
    let need = match (target.is_of_this_machine(), target.is_static()) {
        (true, false) => return Ok(None),
        (true, true) => musl::c_compiler(),
        (false, _) if target.triple == musl::AARCH64 => musl::cross_compiler(),
        (false, _) => bail!("{} can be built on a machine of that kind only", target.triple),
    };
    musl::provide_compiler(need).map(Some)
}

/// Finds the tool, or builds it in a minute.
fn auditable(workspace: &Workspace) -> Result<PathBuf> {
    let tools = workspace.tools_dir();
    let folder = tools.join("bin");
    if !folder.join(AUDITABLE).is_file() {
        let mut cargo = cargo_at_root();
        cargo.args(["install", AUDITABLE, "--locked", "--version", AUDITABLE_VERSION, "--root"]);
        process::run(cargo.arg(&tools).env_remove("CARGO_TARGET_DIR"))?;
    }
    Ok(folder)
}

fn rustc() -> Result<PathBuf> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "sysroot"]).current_dir(crate::workspace::root());
    Ok(Path::new(process::output(&mut rustc)?.trim()).join("bin/rustc"))
}
