//! The binary `elb`: agent and command line.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|command| command == "agent") {
        elb_userspace::agent::hold_signals();
    }
    match elb_userspace::cli::run(elb_userspace::cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            elb_userspace::agent::logging::say(&format!("elb: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
