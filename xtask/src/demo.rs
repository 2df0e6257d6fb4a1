//! `demo`: builds elb and hands over to the demonstration.

use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::artifact;
use crate::build;
use crate::privilege;
use crate::process;
use crate::setup::Purpose;
use crate::workspace::{BPF_DIR_VARIABLE, Workspace};

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Leave everything running, to look at, until Ctrl-C
    #[arg(long)]
    hold: bool,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    privilege::require_root("demo")?;
    let workspace = Workspace::locate()?;
    let elb = build::release(Purpose::BuildAndLabs, &workspace)?;
    let package = ["build", "--release", "--package", "elb-tests", "--bins"];
    let demo = artifact::build_one(&mut workspace.cargo(&package), "demo")?;

    let mut command = Command::new(&demo);
    command
        .env("ELB_BIN", elb)
        .env(BPF_DIR_VARIABLE, workspace.bpf_dir())
        .env("PATH", process::search_path());
    if options.hold {
        command.arg("--hold");
    }
    // The demo takes our place: its exit code is ours, and Ctrl-C leaves it the time to clean up.
    Err(command.exec()).with_context(|| format!("cannot run {}", demo.display()))
}
