//! `test`: every test there is, from the host's to the labs that need root.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::artifact;
use crate::build_ebpf;
use crate::guest::Guests;
use crate::kernels;
use crate::privilege;
use crate::process;
use crate::setup::{self, Purpose};
use crate::stages::Stages;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only what depends on the kernel, on other kernels, in virtual machines
    #[arg(long, conflicts_with = "arguments")]
    kernels: bool,
    /// What to pass to the test programs: part of a test's name, or options such as --nocapture
    #[arg(last = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    privilege::require_root("test")?;
    let workspace = Workspace::locate()?;
    let mut stages = Stages::begin();
    let toolchain = stages.run("setup", || setup::prepare(Purpose::BuildAndLabs))?;
    stages.run("BPF programs", || build_ebpf::build(&toolchain, &workspace, &[]))?;
    let tally = if options.kernels {
        let guests = Guests::prepare(&mut stages, &workspace)?;
        let guests = guests.context("no other kernel to test on")?;
        stages.run("tests on them", || kernels::run(&guests))?
    } else {
        run_tests(&mut stages, &workspace, &options.arguments)?
    };
    println!("\n{}", tally.describe());
    Ok(())
}

/// Runs every test that this machine's kernel can run; the BPF programs must be built. A run of all
/// of them must run some in the labs: a suite that is skipped must not pass for one that passed.
pub(crate) fn run_tests(
    stages: &mut Stages,
    workspace: &Workspace,
    arguments: &[String],
) -> Result<Tally> {
    let elb = ["build", "--package", "elb-userspace", "--bin", "elb"];
    let host = stages.run("host tests", || cargo_test(&mut workspace.cargo(&HOST), arguments))?;
    let elb =
        stages.run("the elb binary", || artifact::build_one(&mut workspace.cargo(&elb), "elb"))?;
    let labs = stages.run("labs", || {
        let labs = cargo_test(workspace.cargo(&LABS).env("ELB_BIN", elb), arguments)?;
        ensure!(labs.ran() > 0 || !arguments.is_empty(), "no test ran");
        Ok(labs)
    })?;
    let mut tally = host.and(&labs);
    // Who names tests does not wait for another build of everything.
    if arguments.is_empty() {
        let histories =
            stages.run("random histories", || cargo_test(&mut workspace.cargo(&HISTORIES), &[]))?;
        tally = tally.and(&histories);
    }
    Ok(tally)
}

/// Programs for the BPF target have no host tests: what they share with the host has, elsewhere.
const HOST: [&str; 9] = [
    "test",
    "--no-fail-fast",
    "--workspace",
    "--exclude",
    "elb-ebpf",
    "--exclude",
    "elb-tests-ebpf",
    "--exclude",
    "elb-tests",
];
const LABS: [&str; 4] = ["test", "--no-fail-fast", "--package", "elb-tests"];
/// So many need optimised programs.
const HISTORIES: [&str; 7] =
    ["test", "--profile", "guest", "--package", "elb-tests", "--test", "model"];

fn cargo_test(cargo: &mut Command, arguments: &[String]) -> Result<Tally> {
    let mut total = Tally::default();
    process::run_lines(cargo.arg("--").args(arguments), |line| {
        println!("{line}");
        if let Some(tally) = Tally::parse(line) {
            total = total.and(&tally);
        }
    })?;
    Ok(total)
}

/// How many tests passed, failed, and were left out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Tally {
    passed: u32,
    failed: u32,
    skipped: u32,
}

impl Tally {
    /// Reads the closing line of a test program.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let count = |name: &str| {
            counts.split("; ").find_map(|count| count.strip_suffix(name)?.trim().parse().ok())
        };
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
            skipped: count("ignored")?,
        })
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
            skipped: self.skipped + other.skipped,
        }
    }

    pub(crate) fn ran(&self) -> u32 {
        self.passed + self.failed
    }

    pub(crate) fn describe(&self) -> String {
        let Self { passed, failed, skipped } = self;
        format!("{passed} passed, {failed} failed, {skipped} skipped")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_how_a_test_program_closed() {
        let ok = "test result: ok. 12 passed; 0 failed; 3 ignored; 0 measured; 4 filtered out; \
                  finished in 0.01s";
        assert_eq!(Tally::parse(ok), Some(Tally { passed: 12, failed: 0, skipped: 3 }));
        let failed =
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(Tally::parse(failed), Some(Tally { passed: 1, failed: 2, skipped: 0 }));
        assert_eq!(Tally::parse("running 12 tests"), None);
    }

    #[test]
    fn tallies_add_up() {
        let one = Tally { passed: 1, failed: 2, skipped: 3 };
        assert_eq!(one.and(&one).describe(), "2 passed, 4 failed, 6 skipped");
        assert_eq!(one.ran(), 3);
    }
}
