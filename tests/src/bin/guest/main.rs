//! The first process of a virtual machine in which xtask runs tests on another kernel: it makes the
//! machine usable, loads modules, runs what the plan says, reports how each step ended, and ends the
//! machine.
//!
//! What the steps print goes to the console. How they ended goes to a serial port of its own, which
//! no kernel message disturbs: see [`report`].

mod machine;
mod plan;
mod report;

use std::{
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};

use crate::plan::{Plan, Step};
use crate::report::Report;

const PLAN: &str = "/plan.json";

fn main() -> ExitCode {
    // Anyone else would lose a running machine.
    if std::process::id() != 1 {
        eprintln!(
            "guest: it is the first process of a virtual machine of `cargo xtask test --kernels`"
        );
        return ExitCode::FAILURE;
    }
    if let Err(error) = run() {
        eprintln!("guest: {error:#}");
    }
    machine::end()
}

fn run() -> Result<()> {
    machine::mount_file_systems()?;
    let mut report = Report::open()?;
    report.kernel()?;
    let plan = Plan::read(PLAN)?;
    for module in &plan.modules {
        machine::load_module(module)?;
    }
    for step in &plan.steps {
        let begun = Instant::now();
        let ended = run_step(step, &plan);
        if let Err(error) = &ended {
            eprintln!("guest: {}: {error:#}", step.name);
        }
        report.step(&step.name, ended.is_ok(), begun.elapsed())?;
    }
    Ok(())
}

fn run_step(step: &Step, plan: &Plan) -> Result<()> {
    let mut command = Command::new(&step.program);
    let status = command
        .args(&step.arguments)
        .env_clear()
        .envs(&plan.environment)
        .status()
        .with_context(|| format!("cannot run {}", step.program.display()))?;
    ensure!(status.success(), "{} ended with {status}", step.program.display());
    Ok(())
}
