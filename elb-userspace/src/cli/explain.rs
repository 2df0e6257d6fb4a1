//! `elb explain`: where a packet would go, and why.

mod answer;
mod quic_id;

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use self::quic_id::{named, quic_id};
use super::socket::SocketArg;
use super::{Output, block_on, print_json, print_text};
use crate::api::client;
use crate::model::endpoint::Endpoint;
use crate::model::transport::TransportProtocol;
use crate::observe::explain::{
    Backend, Cid, Decision, ExplainRequest, ExplainedPacket, Explanation, FlowEntry, KnownClient,
    MatchedListener, Reply, ReplyKind, Slot,
};
use crate::observe::names::BackendMember;
use crate::observe::packet::{Encapsulation, GuePorts, Sent};

#[derive(Debug, Args)]
#[command(after_help = "\
The agent asks the packet path itself, over the maps that packets meet now; nothing is sent, counted
or recorded. A connection is a packet without --syn, its first packet one with it: while a slot
changes its owner they may go to different members. Where a pool goes by the connection ids of QUIC
(lb_algorithm QUIC_CID), name one with --cid: the packet has none without it, and goes by its
addresses and ports. With it, it is one of a connection under way (1-RTT), and zeroes follow the
bytes that are given.

Where members answer through the load balancer (forwarding = \"nat\"), their packets are explained,
too: --src is the member with its port, --dst the client.

Examples:
  elb explain --src 198.51.100.7 --dst 192.0.2.10:80 --proto tcp --syn
  elb explain --src 198.51.100.7:40312 --dst 192.0.2.10:80 --proto tcp
  elb explain --src 2001:db8::7 --dst '[2001:db8::10]:53' --proto udp --size 1500
  elb explain --src 198.51.100.7 --dst 192.0.2.10:443 --proto udp --cid 0a1b2c3d4e5f6071
  elb explain --src 10.1.0.11:8080 --dst 198.51.100.7:40312 --proto tcp
  elb explain --src 198.51.100.7 --dst 192.0.2.10:80 --proto tcp -o json | jq .decision

Exit codes: 0 whatever happens to the packet, 1 the agent has no answer, 2 wrong usage.")]
pub(super) struct ExplainArgs {
    /// The client; its port decides, too [default port: 50000]. Of an answer: the member.
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    src: Endpoint,
    /// The virtual address and port. Of an answer: the client.
    #[arg(long, value_name = "ADDRESS:PORT")]
    dst: SocketAddr,
    /// The transport protocol.
    #[arg(long, value_enum)]
    proto: TransportProtocol,
    /// The packet opens a TCP connection.
    #[arg(long)]
    syn: bool,
    /// What its connection id of QUIC begins with: 1 to 20 bytes, two hexadecimal digits each; only
    /// with --proto udp [default: it has none].
    #[arg(long, value_name = "HEX")]
    cid: Option<Cid>,
    /// Length of the IP packet [default: that of its headers].
    #[arg(long, value_name = "BYTES")]
    size: Option<u16>,
    /// The interface that it comes by [default: the member's of an answer, or the first that carries the program].
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    #[command(flatten)]
    agent: SocketArg,
    /// How to write it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: ExplainArgs) -> Result<ExitCode> {
    let ExplainArgs { src, dst, proto, syn, cid, size, interface, agent, output } = args;
    let question = ExplainRequest { src, dst, proto, syn, cid, size, interface };
    let explained = block_on(client::explain(&agent.path()?, &question))?;
    match output {
        Output::Json => print_json(&explained)?,
        Output::Table => print_text(&text(&explained))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn text(explained: &Explanation) -> String {
    let mut out = String::new();
    let mut line = |title: &str, words: String| {
        let _ = writeln!(out, "{title:<12} {words}");
    };
    line("packet", packet(&explained.packet));
    match &explained.listener {
        Some(found) => line("listener", listener(found)),
        None if explained.endpoint.is_some() || explained.bound.is_some() => {}
        None => line("listener", "none".to_owned()),
    }
    if let Some(judged) = &explained.admission {
        line("admission", judged.to_string());
    }
    if let Some(words) = quic_id(explained) {
        line("QUIC id", words);
    }
    if let Some(member) = &explained.named {
        line("named", named(member, explained.connection_id.as_ref()));
    }
    if let Some(place) = &explained.slot {
        line("hash", format!("{:#010x} → slot {} of {}", place.hash, place.index, place.of));
        line("slot", slot(place, explained));
        match &explained.flow {
            Some(entry) => line("flow table", flow(entry)),
            None if !place.moving => {
                line("flow table", "not asked, since the slot is settled".to_owned());
            }
            None => {}
        }
    }
    if let Some(known) = &explained.client {
        line("client", known_client(known));
    }
    if let Some(chosen) = &explained.backend {
        line("member", backend(chosen));
        line("next hop", next_hop(chosen));
    }
    for (title, words) in answer::lines(explained) {
        line(title, words);
    }
    if let Some(now) = explained.translated {
        line("translated", answer::translated(now));
    }
    if let Some(frame) = &explained.sent {
        if explained.translated.is_none() {
            line("encapsulated", encapsulation(frame));
        }
        line("sent", format!("{} bytes of frame by {}", frame.length, frame.interface));
    }
    if let Some(answer) = explained.answer {
        line("answered", answered(answer));
    }
    line("decision", decision(&explained.decision));
    if let Some(fix) = &explained.decision.fix {
        line("what to do", fix.clone());
    }
    out
}

fn packet(packet: &ExplainedPacket) -> String {
    let ExplainedPacket { interface, source, destination, protocol, syn, cid, length } = packet;
    let protocol = match (protocol, syn, cid) {
        (TransportProtocol::Tcp, true, _) => "tcp, opens a connection".to_owned(),
        (TransportProtocol::Tcp, false, _) => "tcp, of a connection under way".to_owned(),
        (TransportProtocol::Udp, _, None) => "udp".to_owned(),
        (TransportProtocol::Udp, _, Some(cid)) => {
            format!("udp, QUIC connection id {}", String::from(*cid))
        }
    };
    format!("{source} → {destination} {protocol}, {length} bytes, comes by {interface}")
}

fn listener(listener: &MatchedListener) -> String {
    let MatchedListener { name, address, port, pool, disabled, algorithm, .. } = listener;
    let port = if *port == 0 { "a range of ports".to_owned() } else { format!("port {port}") };
    let down = if *disabled { ", administratively down" } else { "" };
    format!("{name} at {address}, {port}, served by pool {pool} by {algorithm}{down}")
}

fn member(member: &BackendMember) -> String {
    let BackendMember { number, removed, backup, .. } = member;
    let name = member.name();
    let address = match member.socket() {
        Some(address) if address.port() == 0 => format!(" at {}", address.ip()),
        Some(address) if address.to_string() != name => format!(" at {address}"),
        _ => String::new(),
    };
    let removed = if *removed { ", removed" } else { "" };
    let backup = if *backup { ", backup" } else { "" };
    format!("{name}{address} (backend {number}{removed}{backup})")
}

fn owner(owner: Option<&BackendMember>) -> String {
    owner.map_or_else(|| "no member".to_owned(), member)
}

fn slot(slot: &Slot, explained: &Explanation) -> String {
    let present = owner(slot.owner.as_ref());
    let former = if slot.moving { owner(slot.former_owner.as_ref()) } else { present.clone() };
    let is_tracked = explained.listener.as_ref().is_some_and(|listener| listener.tracked);
    let id = explained.connection_id.as_ref();
    match (is_tracked, slot.moving, id.map(|id| id.given)) {
        (true, ..) => {
            format!("new flows take members in turn, those without a record go to {former}")
        }
        (false, true, _) => {
            format!("moving: new flows go to {present}, those older than the change to {former}")
        }
        (false, false, _) if slot.exceptions => {
            format!("exceptions: flows go to {present}, but for recorded ones")
        }
        (false, false, None) => format!("settled: every flow goes to {present}"),
        (false, false, Some(true)) => {
            format!("settled: every packet with this connection id goes to {present}")
        }
        (false, false, Some(false)) => {
            format!("settled: packets of this flow without a connection id go to {present}")
        }
    }
}

fn flow(entry: &FlowEntry) -> String {
    let recorded = match (&entry.recorded, entry.idle) {
        (Some(found), Some(idle)) => {
            format!("recorded for {}, last packet {idle} s ago", member(found))
        }
        (Some(found), None) => format!("recorded for {}", member(found)),
        (None, _) => "no record of an earlier packet".to_owned(),
    };
    let records = entry.records.as_ref();
    let records = records.map(|whom| format!("; this packet is recorded for {}", member(whom)));
    let spent = if entry.no_room { "; there is no room for its record" } else { "" };
    let carried = if entry.carried_over {
        "; one may still be carried over from other maps, the packet waits for that"
    } else {
        ""
    };
    recorded + &records.unwrap_or_default() + spent + carried
}

fn known_client(known: &KnownClient) -> String {
    let KnownClient { served_by, ago, timeout, decides } = known;
    let Some(served_by) = served_by else {
        return format!("not served in the last {timeout} s, so the next member in turn is chosen");
    };
    let (whom, ago) = (member(served_by), ago.unwrap_or_default());
    if *decides {
        format!("{whom} was chosen because it served this client {ago} s ago")
    } else {
        format!("{whom} served this client {ago} s ago, but takes no new connection of it")
    }
}

fn backend(chosen: &Backend) -> String {
    format!("{}, pool {}, by {}", member(&chosen.member), chosen.member.pool(), chosen.forwarding)
}

fn next_hop(chosen: &Backend) -> String {
    let Backend { reachable, interface, next_hop_mac, mtu, .. } = chosen;
    if *reachable {
        format!("{next_hop_mac} by {interface}, packets of at most {mtu} bytes")
    } else {
        "not known".to_owned()
    }
}

fn encapsulation(frame: &Sent) -> String {
    match &frame.encapsulation {
        None => "not at all, only the Ethernet addresses change".to_owned(),
        Some(Encapsulation { source, destination, protocol, gue, bytes }) => {
            let carried = match gue {
                None => protocol.clone(),
                Some(GuePorts { source_port, destination_port }) => {
                    format!("gue by {protocol}, port {source_port} → {destination_port}")
                }
            };
            format!("outer header {source} → {destination} (carries {carried}), {bytes} bytes more")
        }
    }
}

fn answered(answer: Reply) -> String {
    let message = match answer.kind {
        ReplyKind::FragmentationNeeded => "ICMP fragmentation needed",
        ReplyKind::PacketTooBig => "ICMPv6 packet too big",
        ReplyKind::PortUnreachable => "ICMP port unreachable",
        ReplyKind::Reset => "a TCP reset",
    };
    match answer.mtu {
        Some(mtu) => format!("with {message}, which says that packets of at most {mtu} bytes fit"),
        None => format!("with {message}"),
    }
}

fn decision(decision: &Decision) -> String {
    match (&decision.reason, &decision.meaning) {
        (Some(reason), Some(meaning)) => format!("{}: {reason}: {meaning}", decision.fate),
        (None, Some(meaning)) => format!("{}: {meaning}", decision.fate),
        _ => decision.fate.clone(),
    }
}

#[cfg(test)]
mod tests;
