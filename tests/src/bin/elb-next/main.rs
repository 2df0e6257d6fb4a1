//! `elb` as its next version would be, whose maps are pinned under another number: what labs upgrade to. With
//! `ELB_LAB_CLOCK` it is this version, under a wall clock that a lab sets.

use std::{env, fs, path::PathBuf, process::ExitCode, thread, time::Duration};

use elb_common::names::ABI_VERSION;
use elb_userspace::agent;
use elb_userspace::cli;
use elb_userspace::kernel::bpf;

fn main() -> ExitCode {
    if env::args_os().nth(1).is_some_and(|command| command == "agent") {
        agent::hold_signals();
    }
    match env::var_os("ELB_LAB_CLOCK") {
        Some(file) => follow_clock(file.into()),
        None => bpf::set_version(ABI_VERSION + 1),
    }
    // `probe:3`: labs let three probes panic.
    if let Some((task, times)) =
        env::var("ELB_LAB_PANICS").ok().as_deref().and_then(|text| text.split_once(':'))
    {
        agent::fault::set(task, times.parse().unwrap_or(1));
    }
    cli::main()
}

/// The file says by how many seconds the wall clock is wrong.
fn follow_clock(file: PathBuf) {
    let read = move || fs::read_to_string(&file).ok()?.trim().parse().ok();
    let look = move || {
        if let Some(seconds) = read() {
            agent::fault::set_wall_clock(seconds);
        }
    };
    look();
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_millis(20));
            look();
        }
    });
}
