//! A demonstration: elb balances, notices a dead backend, takes it back, and survives a crash.
//!
//! Everything happens in network namespaces of its own. The exit code is 0 only if every claim held.

mod report;
mod shares;
mod steps;
mod traffic;

use std::{
    io::IsTerminal as _,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    process::ExitCode,
    sync::mpsc,
    thread,
};

use anyhow::{Result, bail};
use clap::Parser;
use elb_tests::{host::remove_own_labs, wait::wait_for_interrupt};

use crate::{report::Report, steps::Demo};

#[derive(Parser)]
#[command(about = "Shows elb at work in network namespaces of its own")]
struct Arguments {
    /// Leave everything running, to look at, until Ctrl-C
    #[arg(long)]
    hold: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match show(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn show(arguments: &Arguments) -> Result<bool> {
    let (demo, held) = match uninterrupted(play) {
        Ok(played) => played?,
        Err(interrupted) => {
            // The thread that owns the lab still runs: it can be neither joined nor dropped.
            remove_own_labs();
            return Err(interrupted);
        }
    };
    if arguments.hold {
        println!("\n{}held until Ctrl-C", demo.how_to_enter());
        wait_for_interrupt()?;
    }
    Ok(held)
}

/// Goes through all steps; whether every claim held.
fn play() -> Result<(Demo, bool)> {
    let mut report = Report::new(std::io::stdout().is_terminal());
    let mut demo = steps::build(&mut report)?;
    println!("\n{}", demo.topology());
    for (name, step) in steps::ALL {
        report.begin(name);
        report.note(name, step(&mut demo))?;
    }
    println!("\n{}", demo.status()?.trim_end());
    if !report.all_held() {
        eprintln!("the agent's log:\n{}", demo.log());
    }
    Ok((demo, report.all_held()))
}

/// Runs `work` on a thread, until it ends or is interrupted.
fn uninterrupted<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (end, ended) = mpsc::channel();
    let interrupt = end.clone();
    // The first one ends the wait; nothing receives what the other sends afterwards.
    thread::spawn(move || end.send(Some(catch_unwind(AssertUnwindSafe(work)))));
    thread::spawn(move || wait_for_interrupt().map(|()| interrupt.send(None)));
    match ended.recv()? {
        Some(done) => Ok(done.unwrap_or_else(|panic| resume_unwind(panic))),
        None => bail!("interrupted"),
    }
}
