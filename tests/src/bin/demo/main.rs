//! A demonstration: elb balances, notices a dead backend, takes it back, and survives a crash.
//!
//! Everything happens in network namespaces of its own. The exit code is 0 only if every claim held.

mod report;
mod steps;

use std::{io::IsTerminal as _, process::ExitCode, sync::mpsc, thread, time::Duration};

use anyhow::{Result, bail};
use clap::Parser;
use elb_tests::{host::remove_own_labs, wait::wait_for_interrupt};

use crate::{report::Report, steps::Demo};

const LIMIT: Duration = Duration::from_secs(60);

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
    let (demo, held) = match in_time(play) {
        Ok(played) => played?,
        Err(cut_short) => {
            // The thread that owns the lab still runs: it can be neither joined nor dropped.
            remove_own_labs();
            return Err(cut_short);
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
        report.note(name, step(&mut demo))?;
    }
    println!("\n{}", demo.status()?.trim_end());
    if !report.all_held() {
        eprintln!("the agent's log:\n{}", demo.log());
    }
    Ok((demo, report.all_held()))
}

/// Runs `work` on a thread, until it ends, somebody interrupts it, or the limit is reached.
fn in_time<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T> {
    let (end, ended) = mpsc::channel();
    let interrupt = end.clone();
    // Whoever comes first ends the wait; that the others then speak to nobody is as it should be.
    thread::spawn(move || end.send(Some(work())));
    thread::spawn(move || wait_for_interrupt().map(|()| interrupt.send(None)));
    match ended.recv_timeout(LIMIT) {
        Ok(Some(done)) => Ok(done),
        Ok(None) => bail!("interrupted"),
        Err(_) => bail!("not done within {LIMIT:?}"),
    }
}
