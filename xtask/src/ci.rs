//! `ci`: every check, every test of `test`, those on other kernels, and instructions a packet; what a
//! change must pass.

use anyhow::Result;

use crate::bpf;
use crate::build_ebpf;
use crate::expected::{
    BPF, CLIPPY_BPF, CLIPPY_HOST, DEPENDENCIES, DOCUMENTATION, FORMAT, GUEST_TESTS, INSTRUCTIONS,
    PORTABLE, SETUP,
};
use crate::guest::Guests;
use crate::insns;
use crate::kernels;
use crate::portable;
use crate::privilege;
use crate::process;
use crate::setup::{self, Purpose, Toolchain};
use crate::stages::Stages;
use crate::test::{self, Extent};
use crate::workspace::{Workspace, cargo_at_root};

pub(crate) fn run() -> Result<()> {
    privilege::require_root("ci")?;
    let workspace = Workspace::locate()?;
    let checks =
        [FORMAT, SETUP, BPF, CLIPPY_HOST, CLIPPY_BPF, PORTABLE, DEPENDENCIES, DOCUMENTATION];
    let guests = [&Guests::PREPARATION[..], &[GUEST_TESTS, INSTRUCTIONS]].concat();
    let mut stages = Stages::begin(&[&checks[..], &Extent::All.stages(), &guests].concat());
    stages.run(FORMAT, || process::run(&mut workspace.cargo(&["fmt", "--all", "--check"])))?;
    let toolchain = stages.run(SETUP, || setup::prepare(Purpose::BuildAndTests))?;
    stages.run(BPF, || build_ebpf::build(&toolchain, &workspace, &[]))?;
    stages.run(CLIPPY_HOST, || clippy_host(&workspace))?;
    stages.run_what_can_be(CLIPPY_BPF, || clippy_bpf(&toolchain, &workspace))?;
    stages.run_what_can_be(PORTABLE, || portable::check(&workspace))?;
    stages.run_what_can_be(DEPENDENCIES, || check_dependencies(&workspace))?;
    stages.run(DOCUMENTATION, || document(&workspace))?;
    let mut tally = test::run_tests(&mut stages, &workspace, Extent::All)?;
    if let Some(guests) = Guests::prepare(&mut stages, &workspace)? {
        let tests = stages.run(GUEST_TESTS, || kernels::run(&guests))?;
        tally = tally.and(&tests);
        let count = || insns::run(&guests, &toolchain, false);
        stages.run_what_can_be(INSTRUCTIONS, count)?;
    }
    println!("\n{}", tally.describe());
    Ok(())
}

fn clippy_host(workspace: &Workspace) -> Result<()> {
    let deny = ["--", "-D", "warnings"];
    process::run(workspace.cargo(&["clippy", "--workspace", "--all-targets"]).args(deny))?;
    // Tests that `cargo test` leaves out are no targets of "all targets".
    let mut tests = workspace.cargo(&["clippy", "--package", "elb-tests"]);
    process::run(tests.args(["--test", "devices", "--test", "model", "--test", "fuzz"]).args(deny))
}

fn clippy_bpf(toolchain: &Toolchain, workspace: &Workspace) -> Result<Option<String>> {
    let Some(clippy) = toolchain.compiler.clippy() else {
        let rustc = toolchain.compiler.rustc.display();
        return Ok(Some(format!(
            "clippy for BPF: no cargo-clippy next to {rustc}; run: rustup component add clippy"
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
