//! `elb backend up|down`: prepare this host as a backend server, or undo it; `inspect`: see what is
//! wrong with it.

mod inspect;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use super::{Output, print_json, print_text};
use crate::backend::{self, Attach, Down, Mode, PIN_DIR, Report, STATE_DIR, Setup, Which};

#[derive(Debug, Subcommand)]
pub(super) enum BackendCommand {
    /// Serve virtual addresses, beside those that are served already.
    #[command(after_help = "\
Puts the addresses on lo, where nothing chooses them as a source, keeps this host from answering
ARP requests for them, and with --mode ipip or gue attaches an XDP program that takes outer headers
off: IP alone, or IP, UDP (port 6080) and GUE.
What is done already stays as it is. All of it is done, or nothing.

Needs root, or the capabilities CAP_NET_ADMIN and, with --mode ipip or gue, CAP_BPF and
CAP_PERFMON.

Examples:
  elb backend up --vip 192.0.2.10 --mode l2
  elb backend up --vip 192.0.2.10 --vip 2001:db8::10 --mode ipip --interface eth0
  elb backend up --vip 192.0.2.10 --mode ipip -o json")]
    Up(UpArgs),
    /// Serve virtual addresses no more; with the last one, undo everything.
    #[command(after_help = "\
With the last address the program is detached, the pins are removed, and kernel settings get the
values they had before, unless somebody else has changed them since.

Examples:
  elb backend down --vip 192.0.2.10
  elb backend down --all")]
    Down(DownArgs),
    /// Say why probes of a load balancer fail on this host.
    Inspect(inspect::InspectArgs),
}

#[derive(Debug, Args)]
pub(super) struct UpArgs {
    /// An address to serve; may be given more than once.
    #[arg(long, value_name = "ADDRESS", required = true)]
    vip: Vec<IpAddr>,
    /// How packets come from the load balancer: the `forwarding` of the pool.
    #[arg(long, value_enum)]
    mode: Mode,
    /// The interface that they come in by [default: that of the default route].
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// How the program is attached.
    #[arg(long, value_enum, default_value = "auto")]
    attach: Attach,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct DownArgs {
    /// An address to serve no more; may be given more than once.
    #[arg(long, value_name = "ADDRESS", required_unless_present = "all", conflicts_with = "all")]
    vip: Vec<IpAddr>,
    /// All addresses.
    #[arg(long)]
    all: bool,
    /// Not needed: what is undone is known. Here so that `down` takes what `up` took.
    #[arg(long, value_enum, hide = true)]
    mode: Option<Mode>,
    /// As `--mode`.
    #[arg(long, hide = true)]
    interface: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// Where things are, and how to tell what became of them.
#[derive(Debug, Args)]
struct Place {
    /// The directory of the pins, in a BPF file system.
    #[arg(long, value_name = "DIRECTORY", default_value = PIN_DIR)]
    pin_dir: PathBuf,
    /// The directory of the file that says what to restore.
    #[arg(long, value_name = "DIRECTORY", default_value = STATE_DIR)]
    state_dir: PathBuf,
    /// How to write what was done.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(command: BackendCommand) -> Result<ExitCode> {
    match command {
        BackendCommand::Up(args) => up(args),
        BackendCommand::Down(args) => down(args),
        BackendCommand::Inspect(args) => inspect::run(args),
    }
}

fn up(args: UpArgs) -> Result<ExitCode> {
    let UpArgs { vip: vips, mode, interface, attach, place } = args;
    let interface = interface.map_or_else(backend::default_interface, Ok)?;
    let Place { pin_dir, state_dir, output } = place;
    let report = backend::up(&Setup { vips, mode, interface, pin_dir, state_dir, attach })?;
    print(&report, output)
}

fn down(args: DownArgs) -> Result<ExitCode> {
    let Place { pin_dir, state_dir, output } = args.place;
    let which = if args.all { Which::All } else { Which::These(args.vip) };
    let report = backend::down(&Down { which, pin_dir, state_dir })?;
    print(&report, output)
}

fn print(report: &Report, output: Output) -> Result<ExitCode> {
    match output {
        Output::Table => print_text(&report.to_string())?,
        Output::Json => print_json(report)?,
    }
    Ok(ExitCode::SUCCESS)
}
