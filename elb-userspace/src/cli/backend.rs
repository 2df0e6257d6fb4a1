//! `elb backend up|down`: prepare this host as a backend server, or undo it; `inspect`: see what is
//! wrong with it.

mod file;
mod inspect;
mod unit;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use self::file::Wanted;
use super::{Output, print_json, print_text};
use crate::backend::{
    self, Answers, Attach, BackendReport, Down, Mode, PIN_DIR, STATE_DIR, ServicePort, Setup, Which,
};
use crate::model::ipgroup::Cidr;

#[derive(Debug, Subcommand)]
pub(super) enum BackendCommand {
    /// Serve virtual addresses, or lead answers through the load balancer, in addition to what is set up already.
    #[command(after_help = "\
Puts the addresses on lo, where nothing chooses them as a source, keeps this host from answering
ARP requests for them, and with --mode ipip or gue attaches an XDP program that takes outer headers
off: IP alone, or IP, UDP (port 6080) and GUE. The program takes packets from the addresses of --from
only, and drops those of others: without that, every host that reaches this one could send it what the load
balancer's access control refuses. It compares addresses: the network must not let others send with the
load balancers' addresses. Another `up` replaces the whole list at once.
With --mode nat this host serves at its own address, and answers must go through the load balancer. If the
default route leads to --via already, nothing is needed. Otherwise a routing table of its own gets a default
route there, and rules by port choose it: answers of the ports of --port go through the load balancer, also
to clients of this host's own network, and all else keeps its route.
With fullnat nothing is to be set up, and with nat46 a route only: \"ip -6 route add PREFIX via LOAD-BALANCER\".
What is done already stays as it is. All of it is done, or nothing. A reboot undoes it: the service
elb-backend repeats at every boot what /etc/elb/backend.toml says (with --config), or a unit of --print-unit
this command. With --config, addresses that the file does not name are served no more.

Needs root, or the capabilities CAP_NET_ADMIN and, with --mode ipip or gue, CAP_BPF and
CAP_PERFMON.

Examples:
  elb backend up --vip 192.0.2.10 --mode l2
  elb backend up --vip 192.0.2.10 --mode ipip --from 10.0.0.2 --from 10.0.0.3
  elb backend up --vip 192.0.2.10 --vip 2001:db8::10 --mode ipip --from 10.0.0.0/28 --interface eth0
  elb backend up --vip 192.0.2.10 --mode ipip --from 10.0.0.2 --mss 1440
  elb backend up --vip 192.0.2.10 --mode gue --from 10.0.0.2 -o json | jq .changed
  elb backend up --mode nat --via 10.0.0.2 --port 8080 --port 53/udp
  elb backend up --config /etc/elb/backend.toml
  elb backend up --vip 192.0.2.10 --mode ipip --from 10.0.0.2 --print-unit \
    > /etc/systemd/system/elb-backend.service && systemctl enable --now elb-backend")]
    Up(UpArgs),
    /// Serve virtual addresses no more, or let answers go their own way; with the last one, undo everything.
    #[command(after_help = "\
With the last address and port the program is detached, the pins are removed, and kernel settings get the
values they had before, unless they were changed since.

Examples:
  elb backend down --vip 192.0.2.10
  elb backend down --port 8080
  elb backend down --all")]
    Down(DownArgs),
    /// Say what is set up, whom packets are taken from, and what became of packets.
    #[command(after_help = "\
Examples:
  elb backend status
  elb backend status -o json | jq '.packets[] | select(.name == \"untrusted_source\")'

Exit codes: 0 set up, 1 with a problem or not set up.")]
    Status(StatusArgs),
    /// Say why probes of a load balancer fail on this host.
    Inspect(inspect::InspectArgs),
}

#[derive(Debug, Args)]
pub(super) struct UpArgs {
    /// A file that says all of it, in place of the options: keys `vip`, `mode`, `from`, `mss`, `via`, `port`,
    /// `interface` and `attach`, lists where an option may be given more than once.
    #[arg(short, long, value_name = "FILE",
        conflicts_with_all = ["vip", "mode", "from", "mss", "via", "port", "interface", "attach"])]
    config: Option<PathBuf>,
    /// An address to serve; may be given more than once. Needed, but not with --mode nat.
    #[arg(long, value_name = "ADDRESS")]
    vip: Vec<IpAddr>,
    /// How packets come from the load balancer: the `forwarding` of the pool.
    #[arg(long, value_enum, required_unless_present = "config")]
    mode: Option<Mode>,
    /// Whom tunnel packets are taken from: the load balancers' addresses, or networks; may be given
    /// more than once. Needed with --mode ipip and gue. `any`: from every sender, which lets every sender
    /// who reaches this host walk around the load balancer's access control.
    #[arg(long, value_name = "ADDRESS", value_parser = file::source)]
    from: Vec<Cidr>,
    /// The largest TCP segments that clients are asked to send, 536 to 1460: `advmss` of this host's
    /// routes. For where packets with outer headers do not fit on the way here and ICMP does not get to
    /// clients, so that uploads hang: 1440 with ipip, 1428 with gue and 1500 bytes everywhere.
    #[arg(long, value_name = "BYTES")]
    mss: Option<u32>,
    /// With --mode nat: the load balancer's address in a network of this host, the next hop of answers; one of
    /// IPv4, one of IPv6, or both.
    #[arg(long, value_name = "ADDRESS")]
    via: Vec<IpAddr>,
    /// With --mode nat: a port of the service, whose answers go through the load balancer, as in 8080,
    /// 53/udp, 8000-8010/tcp; may be given more than once. Not needed if the default route leads there.
    #[arg(long, value_name = "PORT")]
    port: Vec<ServicePort>,
    /// Print a systemd unit that does the same at every boot, and do nothing.
    #[arg(long)]
    print_unit: bool,
    /// The interface that they come in by [default: that of the default route; with --mode nat the one that
    /// --via is a neighbour on].
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
    #[arg(long, value_name = "ADDRESS", required_unless_present_any = ["all", "port"],
        conflicts_with = "all")]
    vip: Vec<IpAddr>,
    /// A port whose answers go through the load balancer no more; may be given more than once.
    #[arg(long, value_name = "PORT", conflicts_with = "all")]
    port: Vec<ServicePort>,
    /// All addresses and ports.
    #[arg(long)]
    all: bool,
    /// Not needed: what is undone is known. Here so that `down` takes what `up` took.
    #[arg(long, value_enum, hide = true)]
    mode: Option<Mode>,
    /// As `--mode`.
    #[arg(long, hide = true)]
    interface: Option<String>,
    /// As `--mode`.
    #[arg(long, hide = true)]
    from: Vec<String>,
    /// As `--mode`.
    #[arg(long, hide = true)]
    mss: Option<u32>,
    /// As `--mode`.
    #[arg(long, hide = true)]
    via: Vec<IpAddr>,
    #[command(flatten)]
    place: Place,
}

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    #[command(flatten)]
    place: Place,
}

/// Where things are, and how to find out what became of them.
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
        BackendCommand::Status(args) => status(args),
        BackendCommand::Inspect(args) => inspect::run(args),
    }
}

fn up(args: UpArgs) -> Result<ExitCode> {
    if args.print_unit {
        print_text(&unit::of(std::env::args_os())?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let is_whole = args.config.is_some();
    let (wanted, Place { pin_dir, state_dir, output }) = args.wanted()?;
    let Wanted { vips, mode, from, mss, answers, interface, attach } = wanted;
    let interface = match (interface, answers.via.first()) {
        (Some(name), _) => name,
        (None, Some(via)) => backend::interface_to(*via)?,
        // Refused below, with what is missing.
        (None, None) if mode.is_translated() => String::new(),
        (None, None) => backend::default_interface()?,
    };
    let setup = Setup { vips, mode, from, mss, answers, interface, pin_dir, state_dir, attach };
    let report = if is_whole { backend::up_only(&setup) } else { backend::up(&setup) };
    print(&report?, output)
}

impl UpArgs {
    /// What the file says, or else the options.
    fn wanted(self) -> Result<(Wanted, Place)> {
        let Self { config, vip: vips, mode, from, mss, via, port, .. } = self;
        let (interface, attach, place) = (self.interface, self.attach, self.place);
        let answers = Answers { via, ports: port };
        let wanted = match (config, mode) {
            (Some(file), _) => file::load(&file)?,
            (None, Some(mode)) => Wanted { vips, mode, from, mss, answers, interface, attach },
            (None, None) => unreachable!("clap requires one of the two"),
        };
        Ok((wanted, place))
    }
}

fn down(args: DownArgs) -> Result<ExitCode> {
    let Place { pin_dir, state_dir, output } = args.place;
    let which =
        if args.all { Which::All } else { Which::These { vips: args.vip, ports: args.port } };
    let report = backend::down(&Down { which, pin_dir, state_dir })?;
    print(&report, output)
}

fn status(args: StatusArgs) -> Result<ExitCode> {
    let Place { pin_dir, state_dir, output } = args.place;
    let status = backend::status(&pin_dir, &state_dir)?;
    let good = status.as_ref().is_some_and(|status| status.problems.is_empty());
    match (output, &status) {
        (Output::Json, status) => print_json(status)?,
        (Output::Table, Some(status)) => print_text(&status.to_string())?,
        (Output::Table, None) => print_text("no virtual address is set up here\n")?,
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(report: &BackendReport, output: Output) -> Result<ExitCode> {
    match output {
        Output::Table => print_text(&report.to_string())?,
        Output::Json => print_json(report)?,
    }
    Ok(ExitCode::SUCCESS)
}
