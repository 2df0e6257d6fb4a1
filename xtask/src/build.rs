//! `build`: the `elb` binary for use, with its BPF programs inside.

use anyhow::Result;

use crate::artifact;
use crate::build_ebpf;
use crate::expected::{BPF, ELB_RELEASE, SETUP};
use crate::setup::{self, Purpose};
use crate::stages::Stages;
use crate::workspace::Workspace;

const ELB: [&str; 6] = ["build", "--release", "--package", "elb-userspace", "--bin", "elb"];

pub(crate) fn run() -> Result<()> {
    let workspace = Workspace::locate()?;
    let mut stages = Stages::begin(&[SETUP, BPF, ELB_RELEASE]);
    let toolchain = stages.run(SETUP, || setup::prepare(Purpose::Build))?;
    stages.run(BPF, || build_ebpf::build(&toolchain, &workspace, &[]))?;
    let build = || artifact::build_one(&mut workspace.cargo(&ELB), "elb");
    let elb = stages.run(ELB_RELEASE, build)?;
    // Below the summary, where people and scripts look for it.
    drop(stages);
    println!("{}", elb.display());
    Ok(())
}
