//! `elb` as its next version would be, whose maps are pinned under another number: what labs upgrade to.

use std::process::ExitCode;

use clap::Parser as _;
use elb_common::names::ABI_VERSION;
use elb_userspace::{cli, kernel};

fn main() -> ExitCode {
    kernel::set_version(ABI_VERSION + 1);
    match cli::run(cli::Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("elb: {error:#}");
            ExitCode::FAILURE
        }
    }
}
