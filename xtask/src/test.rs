//! `test`: every test there is, from the host's to the labs that need root.

use std::num::NonZero;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::build_ebpf;
use crate::expected::{self, BPF, SETUP, Stage};
use crate::fuzz;
use crate::guest::Guests;
use crate::kernels;
use crate::lab_programs::LabPrograms;
use crate::package;
use crate::privilege;
use crate::process;
use crate::setup::{self, Purpose, sdk};
use crate::stages::Stages;
use crate::tally::Tally;
use crate::workspace::Workspace;

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only what needs no lab: host tests and program runs
    #[arg(long, conflicts_with_all = ["arguments", "kernels"])]
    quick: bool,
    /// Only what depends on the kernel, on other kernels, in virtual machines
    #[arg(long, conflicts_with = "arguments")]
    kernels: bool,
    /// What to pass to the test programs: part of a test's name, or options such as --nocapture
    #[arg(last = true)]
    arguments: Vec<String>,
}

/// Which tests of those that this machine's kernel can run.
#[derive(Clone, Copy)]
pub(crate) enum Extent<'a> {
    All,
    /// Without labs and histories.
    Quick,
    /// What these arguments of test programs choose, without histories.
    Chosen(&'a [String]),
}

pub(crate) fn run(options: &Options) -> Result<()> {
    privilege::require_root("test")?;
    let workspace = Workspace::locate()?;
    let extent = options.extent();
    let tests = if options.kernels {
        [&Guests::PREPARATION[..], &[expected::GUEST_TESTS]].concat()
    } else {
        extent.stages()
    };
    let mut stages = Stages::begin(&[&[SETUP, BPF], &tests[..]].concat());
    let toolchain = stages.run(SETUP, || setup::prepare(Purpose::BuildAndTests))?;
    stages.run(BPF, || build_ebpf::build(&toolchain, &workspace, &[]))?;
    let tally = if options.kernels {
        let guests = Guests::prepare(&mut stages, &workspace)?;
        let guests = guests.context("no other kernel to test on")?;
        stages.run(expected::GUEST_TESTS, || kernels::run(&guests))?
    } else {
        run_tests(&mut stages, &workspace, extent)?
    };
    println!("\n{}", tally.describe());
    Ok(())
}

/// Runs tests; the BPF programs must be built. A run of all must run some in the labs: a suite that
/// is skipped must not pass for one that passed.
pub(crate) fn run_tests(
    stages: &mut Stages,
    workspace: &Workspace,
    extent: Extent<'_>,
) -> Result<Tally> {
    let mut suite = |stage: Stage, command: &[&str]| {
        stages.run(stage, || cargo_test(&mut workspace.cargo(command), &[]))
    };
    match extent {
        Extent::All => {
            let host = || cargo_test(workspace.cargo(&HOST).env("ELB_STORE_KILLS", KILLS), &[]);
            let host = stages.run(expected::HOST_TESTS, host)?;
            let fuzzing = || cargo_test(&mut workspace.cargo(&fuzz::TARGETS), &[]);
            let host = host.and(&stages.run(expected::FUZZING, fuzzing)?);
            let labs = run_labs(stages, workspace, expected::LABS, &[])?;
            ensure!(labs.ran() > 0, "no test ran in the labs");
            let histories = || cargo_test(&mut workspace.cargo(&HISTORIES), &[]);
            Ok(host.and(&labs).and(&stages.run(expected::HISTORIES, histories)?))
        }
        Extent::Quick => {
            let host = suite(expected::HOST_TESTS, &HOST)?;
            let fuzzing = suite(expected::FUZZING, &fuzz::TARGETS)?;
            let runs = || cargo_test(fewer_packets(&mut workspace.cargo(&PROGRAM_RUNS)), &[]);
            let runs = stages.run(expected::PROGRAM_RUNS, runs)?;
            ensure!(runs.ran() > 0, "no program run ran");
            Ok(host.and(&fuzzing).and(&runs))
        }
        Extent::Chosen(arguments) => {
            let host = || cargo_test(&mut workspace.cargo(&HOST), arguments);
            let host = stages.run(expected::NAMED_HOST_TESTS, host)?;
            let fuzzing = || cargo_test(&mut workspace.cargo(&fuzz::TARGETS), arguments);
            let host = host.and(&stages.run(expected::FUZZING, fuzzing)?);
            Ok(host.and(&run_labs(stages, workspace, expected::NAMED_LABS, arguments)?))
        }
    }
}

fn run_labs(
    stages: &mut Stages,
    workspace: &Workspace,
    stage: Stage,
    arguments: &[String],
) -> Result<Tally> {
    let programs = LabPrograms { profile: "dev", also: &["elb-next"] };
    let built = stages.run(expected::LAB_PROGRAMS, || programs.build(workspace))?;
    let (elb, next) = (built.program("elb")?, built.program("elb-next")?);
    let packages = || package::for_labs(workspace, elb, next);
    let [now, later] = stages.run(expected::LAB_PACKAGES, packages)?;
    let mut labs = workspace.cargo(&LABS);
    labs.env("ELB_BIN", elb).env("ELB_DEB", now.deb).env("ELB_DEB_NEXT", later.deb);
    labs.env("ELB_RPM", now.rpm).env("ELB_RPM_NEXT", later.rpm);
    labs.env("ELB_DAEMONS", workspace.daemons_dir());
    if workspace.debian_dir().is_dir() {
        labs.env("ELB_DEBIAN", workspace.debian_dir());
    } else {
        let why = "it cannot be made here: packages are installed on this machine's files";
        stages.skip(format!("a bare Debian root: {why}"));
    }
    labs.env("ELB_PYTHON", workspace.python_dir().join("bin/python"));
    labs.env(TEST_THREADS, lab_threads());
    let mut arguments = arguments.to_vec();
    if !sdk::is_there(workspace) {
        for what in OF_PYTHON {
            let why = "what it needs is not in target/python; run: cargo xtask setup";
            stages.skip(format!("labs {what}: {why}"));
            arguments.extend(["--skip", what].map(str::to_owned));
        }
    }
    stages.run(stage, || cargo_test(&mut labs, &arguments))
}

/// How often the process that writes to a store is killed in a run of all.
const KILLS: &str = "200";

/// Parts of the names of labs whose clients are written in Python.
const OF_PYTHON: [&str; 7] = [
    "of_the_unmodified_sdk",
    "of_the_document",
    "api::openstack",
    "api::certificates",
    "version_2_is_served_by_tls",
    "an_address_that_packets_find",
    "mail_and_web_sockets_in_python",
];

/// How many tests of a program run at once.
const TEST_THREADS: &str = "RUST_TEST_THREADS";

/// One more than there are processors, unless the caller says how many: labs wait more than they compute.
fn lab_threads() -> String {
    let processors = || thread::available_parallelism().map_or(1, NonZero::get);
    std::env::var(TEST_THREADS).unwrap_or_else(|_| (processors() + 1).to_string())
}

impl Options {
    fn extent(&self) -> Extent<'_> {
        match (self.quick, self.arguments.as_slice()) {
            (true, _) => Extent::Quick,
            (false, []) => Extent::All,
            (false, arguments) => Extent::Chosen(arguments),
        }
    }
}

impl Extent<'_> {
    /// The stages of [`run_tests`].
    pub(crate) fn stages(self) -> Vec<Stage> {
        use expected::*;
        match self {
            Self::All => vec![HOST_TESTS, FUZZING, LAB_PROGRAMS, LAB_PACKAGES, LABS, HISTORIES],
            Self::Quick => vec![HOST_TESTS, FUZZING, PROGRAM_RUNS],
            Self::Chosen(_) => {
                vec![NAMED_HOST_TESTS, FUZZING, LAB_PROGRAMS, LAB_PACKAGES, NAMED_LABS]
            }
        }
    }
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
const PROGRAM_RUNS: [&str; 6] =
    ["test", "--no-fail-fast", "--package", "elb-tests", "--test", "program"];
/// So many need optimised programs.
const HISTORIES: [&str; 7] =
    ["test", "--profile", "guest", "--package", "elb-tests", "--test", "model"];

/// A quick run makes do with a quarter of the hostile packets.
fn fewer_packets(cargo: &mut Command) -> &mut Command {
    const VARIABLE: &str = "ELB_HOSTILE_PACKETS";
    let packets = std::env::var(VARIABLE).unwrap_or_else(|_| "250000".to_owned());
    cargo.env(VARIABLE, packets)
}

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
