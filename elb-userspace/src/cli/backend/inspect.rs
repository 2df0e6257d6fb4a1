//! `elb backend inspect`: why probes of this host fail, as only the host itself can know it.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use crate::backend::{Mode, PIN_DIR, STATE_DIR};
use crate::cli::{Output, print_json, print_text, report};
use crate::diagnosis::inspect::{BackendDirectories, InspectRequest, inspect};
use crate::model::transport::TransportProtocol;

#[derive(Debug, Args)]
#[command(after_help = "\
Looks at what probes of a load balancer meet on this host: listening sockets, the packet filter
(nftables and iptables rules are evaluated, the one that drops is named), routes, load, hosts.deny,
virtual addresses, decapsulation and whom it trusts, sysctls, MTU, the way back to clients. Nothing is changed, and no packet is sent.
Without options it lists what there is: name the port and the source of probes to know whether they
get through. Root sees everything; what others cannot see is \"unknown\".

Examples:
  elb backend inspect --port 80 --from 10.0.0.2
  elb backend inspect --port 53 --protocol udp --from 10.0.0.2 --from fd00::2
  elb backend inspect --port 80 --from 10.0.0.2 --vip 192.0.2.10 --mode ipip
  elb backend inspect --port 8080 --from 10.0.0.2 --mode nat
  elb backend inspect --port 8080 --from 2001:db8:1:64:0:1:192.0.2.1 --mode nat46
  elb backend inspect --client 203.0.113.7
  elb backend inspect --port 80 --from 10.0.0.2 -o json | jq -r '.report.findings[].fix // empty'

Exit codes: 0 healthy, 1 a cause was found, 2 undecided (or wrong usage).")]
pub(in crate::cli) struct InspectArgs {
    /// The port that is probed: the member's `monitor_port`, or else its `protocol_port`.
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// The transport protocol of the service: tcp also for HTTP, HTTPS, TLS and gRPC checks; the check of
    /// udp begins with an ICMP echo request.
    #[arg(long, value_enum, default_value = "tcp")]
    protocol: TransportProtocol,
    /// A source of probes: an address of the load balancer, or with nat46 one in its prefix, with a client's address at
    /// its end; may be given more than once.
    #[arg(long, value_name = "ADDRESS")]
    from: Vec<IpAddr>,
    /// The member's address [default: the one that answers to probes have]; may be given more than
    /// once.
    #[arg(long, value_name = "ADDRESS")]
    to: Vec<IpAddr>,
    /// A virtual address to serve [default: those of `elb backend up`]; may be given more than once.
    #[arg(long, value_name = "ADDRESS")]
    vip: Vec<IpAddr>,
    /// How packets come from the load balancer [default: as given to `elb backend up`].
    #[arg(long, value_enum)]
    mode: Option<Mode>,
    /// The outer source of packets in tunnels: an address of the load balancer; may be given more than
    /// once.
    #[arg(long, value_name = "ADDRESS")]
    outer: Vec<IpAddr>,
    /// A client that answers must find their way to; may be given more than once.
    #[arg(long = "client", value_name = "ADDRESS")]
    clients: Vec<IpAddr>,
    /// Probes go to this host's own addresses only, as with `probe_path = "direct"`.
    #[arg(long)]
    direct: bool,
    /// The directory of the pins of `elb backend up`.
    #[arg(long, value_name = "DIRECTORY", default_value = PIN_DIR)]
    pin_dir: PathBuf,
    /// The directory of the state files of `elb backend up`.
    #[arg(long, value_name = "DIRECTORY", default_value = STATE_DIR)]
    state_dir: PathBuf,
    /// How to write it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: InspectArgs) -> Result<ExitCode> {
    let InspectArgs {
        port,
        protocol,
        from,
        to,
        vip: vips,
        mode,
        outer,
        clients,
        direct,
        pin_dir,
        state_dir,
        output,
    } = args;
    let asked = InspectRequest { protocol, port, from, to, vips, mode, outer, clients, direct };
    let inspection = inspect(&asked, &BackendDirectories { pin_dir, state_dir });
    match output {
        Output::Json => print_json(&inspection)?,
        Output::Table => print_text(&report::text(&inspection.report))?,
    }
    Ok(inspection.report.conclusion.exit_code().into())
}
