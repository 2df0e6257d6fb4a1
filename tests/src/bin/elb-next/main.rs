//! `elb` as its next version would be, whose maps are pinned under another number: what labs upgrade to.

use std::{env, process::ExitCode};

use clap::Parser as _;
use elb_common::names::ABI_VERSION;
use elb_userspace::agent;
use elb_userspace::cli;
use elb_userspace::kernel::bpf;

fn main() -> ExitCode {
    if env::args_os().nth(1).is_some_and(|command| command == "agent") {
        agent::hold_signals();
    }
    bpf::set_version(ABI_VERSION + 1);
    // `probe:3`: labs let three probes panic.
    if let Some((task, times)) =
        env::var("ELB_LAB_PANICS").ok().as_deref().and_then(|text| text.split_once(':'))
    {
        agent::fault::set(task, times.parse().unwrap_or(1));
    }
    match cli::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("elb: {error:#}");
            ExitCode::FAILURE
        }
    }
}
