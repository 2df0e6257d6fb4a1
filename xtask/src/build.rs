//! `build`: the `elb` binary for use, with its BPF programs inside.

use std::path::PathBuf;

use anyhow::Result;

use crate::artifact;
use crate::build_ebpf;
use crate::setup::{self, Purpose};
use crate::workspace::Workspace;

pub(crate) fn run() -> Result<()> {
    let elb = release(Purpose::Build, &Workspace::locate()?)?;
    println!("{}", elb.display());
    Ok(())
}

/// Sets up, builds the BPF programs and then `elb` in its release profile.
pub(crate) fn release(purpose: Purpose, workspace: &Workspace) -> Result<PathBuf> {
    let toolchain = setup::prepare(purpose)?;
    build_ebpf::build(&toolchain, workspace, &[])?;
    let package = ["build", "--release", "--package", "elb-userspace", "--bin", "elb"];
    artifact::build_one(&mut workspace.cargo(&package), "elb")
}
