//! The binary `elb`: agent and command line.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match elb_userspace::cli::run(elb_userspace::cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            elb_userspace::logging::say(&format!("elb: {error:#}"));
            ExitCode::FAILURE
        }
    }
}
