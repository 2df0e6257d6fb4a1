//! `ci`: every check, every test of `test`, those on other kernels, and instructions a packet; what a
//! change must pass.

use anyhow::Result;

use crate::bpf;
use crate::build_ebpf;
use crate::guest::Guests;
use crate::insns;
use crate::kernels;
use crate::privilege;
use crate::process;
use crate::setup::{self, Purpose, Toolchain};
use crate::stages::Stages;
use crate::test;
use crate::workspace::{Workspace, cargo_at_root};

pub(crate) fn run() -> Result<()> {
    privilege::require_root("ci")?;
    let workspace = Workspace::locate()?;
    let mut stages = Stages::begin();
    stages.run("format", || process::run(&mut workspace.cargo(&["fmt", "--all", "--check"])))?;
    let toolchain = stages.run("setup", || setup::prepare(Purpose::BuildAndLabs))?;
    stages.run("BPF programs", || build_ebpf::build(&toolchain, &workspace, &[]))?;
    stages.run("clippy, host", || clippy_host(&workspace))?;
    stages.run_what_can_be("clippy, BPF", || clippy_bpf(&toolchain, &workspace))?;
    stages.run_what_can_be("dependencies", || check_dependencies(&workspace))?;
    stages.run("documentation", || document(&workspace))?;
    let mut tally = test::run_tests(&mut stages, &workspace, &[])?;
    if let Some(guests) = Guests::prepare(&mut stages, &workspace)? {
        let tests = stages.run("tests on other kernels", || kernels::run(&guests))?;
        tally = tally.and(&tests);
        let count = || insns::run(&guests, &toolchain, false);
        stages.run_what_can_be("instructions a packet", count)?;
    }
    println!("\n{}", tally.describe());
    Ok(())
}

fn clippy_host(workspace: &Workspace) -> Result<()> {
    let everything = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    process::run(&mut workspace.cargo(&everything))
}

fn clippy_bpf(toolchain: &Toolchain, workspace: &Workspace) -> Result<Option<String>> {
    let Some(clippy) = toolchain.compiler.clippy() else {
        let rustc = toolchain.compiler.rustc.display();
        return Ok(Some(format!(
            "clippy for BPF: no cargo-clippy beside {rustc}; run: rustup component add clippy"
        )));
    };
    let mut command = bpf::clippy(&clippy, toolchain, workspace);
    process::run(command.args(["--", "-D", "warnings"]))?;
    Ok(None)
}

/// Licences, duplicates and sources need no network; the list of advisories has to be fetched.
fn check_dependencies(workspace: &Workspace) -> Result<Option<String>> {
    if process::output(cargo_at_root().args(["deny", "--version"])).is_err() {
        let install = "cargo install cargo-deny --locked";
        return Ok(Some(format!("dependencies: cargo-deny is not there; run: {install}")));
    }
    process::run(&mut workspace.cargo(&["deny", "check", "licenses", "bans", "sources"]))?;
    if process::output(cargo_at_root().args(["deny", "fetch", "db"])).is_err() {
        return Ok(Some("advisories: their list cannot be fetched from here".to_owned()));
    }
    process::run(&mut workspace.cargo(&["deny", "check", "advisories"]))?;
    Ok(None)
}

fn document(workspace: &Workspace) -> Result<()> {
    let mut cargo = workspace.cargo(&["doc", "--workspace", "--no-deps"]);
    process::run(cargo.env("RUSTDOCFLAGS", "-D warnings"))
}
