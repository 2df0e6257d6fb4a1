//! Builds elb and one of the programs of `tests`, and lets that program take our place.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::artifact;
use crate::build;
use crate::privilege;
use crate::process;
use crate::setup::Purpose;
use crate::workspace::{BPF_DIR_VARIABLE, Workspace};

/// Never returns but with an error: the program's exit code is ours, and Ctrl-C leaves it the time
/// to clean up.
pub(crate) fn to(program: &str, arguments: &[OsString]) -> Result<()> {
    privilege::require_root(program)?;
    let workspace = Workspace::locate()?;
    let elb = build::release(Purpose::BuildAndLabs, &workspace)?;
    let package = ["build", "--release", "--package", "elb-tests", "--bins"];
    let built = artifact::build_one(&mut workspace.cargo(&package), program)?;
    let mut command = Command::new(&built);
    command
        .env("ELB_BIN", elb)
        .env(BPF_DIR_VARIABLE, workspace.bpf_dir())
        .env("PATH", process::search_path())
        .args(arguments);
    Err(command.exec()).with_context(|| format!("cannot run {}", built.display()))
}
