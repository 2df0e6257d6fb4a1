//! `fuzz`: hostile input to what reads packets, files, replies and requests; no root.

use std::process::Command;

use anyhow::Result;

use crate::build_ebpf;
use crate::expected::{BPF, FUZZING, SETUP};
use crate::process;
use crate::setup::{self, Purpose};
use crate::stages::Stages;
use crate::workspace::Workspace;

/// What runs the targets of `tests/tests/fuzz`.
pub(crate) const TARGETS: [&str; 6] =
    ["test", "--no-fail-fast", "--package", "elb-tests", "--test", "fuzz"];

#[derive(clap::Args)]
pub(crate) struct Options {
    /// A target, or a part of its name; all at once without
    target: Option<String>,
    /// Seconds for each target, after its corpus
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where random begins; the same number brings the same inputs
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let workspace = Workspace::locate()?;
    let mut stages = Stages::begin(&[SETUP, BPF, FUZZING]);
    let toolchain = stages.run(SETUP, || setup::prepare(Purpose::Build))?;
    stages.run(BPF, || build_ebpf::build(&toolchain, &workspace, &[]))?;
    stages.run(FUZZING, || process::run(options.on(&mut workspace.cargo(&TARGETS))))
}

impl Options {
    fn on<'c>(&self, cargo: &'c mut Command) -> &'c mut Command {
        cargo
            .env("ELB_FUZZ_SECONDS", self.seconds.to_string())
            .env("ELB_FUZZ_SEED", self.seed.to_string())
            .args(["--", "--nocapture"])
            .args(&self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_its_time_and_its_seed_reach_the_tests() {
        let options = Options { target: Some("probes".to_owned()), seconds: 9, seed: 7 };
        let mut cargo = Command::new("cargo");
        let cargo = options.on(cargo.args(TARGETS));
        let arguments: Vec<_> = cargo.get_args().skip(TARGETS.len()).collect();
        assert_eq!(arguments, ["--", "--nocapture", "probes"]);
        let variables: Vec<_> =
            cargo.get_envs().map(|(name, value)| (name, value.unwrap())).collect();
        let wanted = [("ELB_FUZZ_SECONDS", "9"), ("ELB_FUZZ_SEED", "7")]
            .map(|(n, v)| (n.as_ref(), v.as_ref()));
        assert_eq!(variables, wanted);
    }
}
