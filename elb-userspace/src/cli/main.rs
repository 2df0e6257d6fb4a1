//! The binary `elb`: agent and command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|command| command == "agent") {
        elb_userspace::agent::hold_signals();
    }
    elb_userspace::cli::main()
}
