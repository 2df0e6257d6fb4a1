//! Builds elb and one of the programs of `tests`, and lets that program take our place.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result};

use crate::build_ebpf;
use crate::expected::{self, BPF, SETUP, Stage};
use crate::lab_programs::{Built, LabPrograms};
use crate::privilege;
use crate::process;
use crate::setup::{self, Purpose};
use crate::stages::Stages;
use crate::workspace::{BPF_DIR_VARIABLE, Workspace};

/// A program of `tests` that people run.
pub(crate) struct Program {
    name: &'static str,
    profile: &'static str,
    build: Stage,
    run: Stage,
}

/// In the profile of the tests, so that they and the demo are built once.
pub(crate) const DEMO: Program =
    Program { name: "demo", profile: "dev", build: expected::DEMO_BUILD, run: expected::DEMO };

/// In the profile of what people use, whose speed is what it measures.
pub(crate) const BENCH: Program = Program {
    name: "bench",
    profile: "release",
    build: expected::BENCH_BUILD,
    run: expected::BENCH,
};

/// Never returns but with an error: the program's exit code is ours, and Ctrl-C leaves it the time
/// to clean up.
pub(crate) fn to(program: &Program, arguments: &[OsString]) -> Result<()> {
    privilege::require_root(program.name)?;
    let workspace = Workspace::locate()?;
    let mut stages = Stages::begin(&[SETUP, BPF, program.build, program.run]);
    let toolchain = stages.run(SETUP, || setup::prepare(Purpose::BuildAndLabs))?;
    stages.run(BPF, || build_ebpf::build(&toolchain, &workspace, &[]))?;
    let programs = LabPrograms { profile: program.profile, also: &[program.name] };
    let built = stages.run(program.build, || programs.build(&workspace))?;
    stages.run(program.run, || run_instead(&workspace, &built, program.name, arguments))
}

fn run_instead(
    workspace: &Workspace,
    built: &Built,
    name: &str,
    arguments: &[OsString],
) -> Result<()> {
    let program = built.program(name)?;
    let mut command = Command::new(program);
    command
        .env("ELB_BIN", built.program("elb")?)
        .env(BPF_DIR_VARIABLE, workspace.bpf_dir())
        .env("PATH", process::search_path())
        .args(arguments);
    Err(command.exec()).with_context(|| format!("cannot run {}", program.display()))
}
