//! `elb explain`: where a packet would go, and why.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::socket::SocketArg;
use super::{Output, block_on, print_json};
use crate::api::client;
use crate::endpoint::Endpoint;
use crate::explain::{
    Admission, Backend, Explanation, FlowEntry, Listener, Packet, Protocol, Question, Slot, Verdict,
};
use crate::names::Member;
use crate::packet::Sent;

#[derive(Debug, Args)]
#[command(after_help = "\
The agent asks the packet path itself, over the maps that packets meet now; nothing is sent, counted
or recorded. A connection is a packet without --syn, its first packet one with it: while a slot
changes its owner they may go to different members. Listeners that go by the connection ids of QUIC
treat the packet, which has none, by its addresses.

Examples:
  elb explain --src 198.51.100.7 --dst 192.0.2.10:80 --proto tcp --syn
  elb explain --src 198.51.100.7:40312 --dst 192.0.2.10:80 --proto tcp
  elb explain --src 2001:db8::7 --dst '[2001:db8::10]:53' --proto udp --size 1500
  elb explain --src 198.51.100.7 --dst 192.0.2.10:80 --proto tcp -o json | jq .verdict

Exit codes: 0 whatever becomes of the packet, 1 the agent cannot tell, 2 wrong usage.")]
pub(super) struct ExplainArgs {
    /// The client; its port decides, too [default port: 50000].
    #[arg(long, value_name = "ADDRESS[:PORT]")]
    src: Endpoint,
    /// The virtual address and port.
    #[arg(long, value_name = "ADDRESS:PORT")]
    dst: SocketAddr,
    /// The transport protocol.
    #[arg(long, value_enum)]
    proto: Protocol,
    /// The packet opens a TCP connection.
    #[arg(long)]
    syn: bool,
    /// Length of the IP packet [default: that of its headers].
    #[arg(long, value_name = "BYTES")]
    size: Option<u16>,
    /// The interface that it comes by [default: the first that carries the program].
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    #[command(flatten)]
    agent: SocketArg,
    /// How to write it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: ExplainArgs) -> Result<ExitCode> {
    let ExplainArgs { src, dst, proto, syn, size, interface, agent, output } = args;
    let question = Question { src, dst, proto, syn, size, interface };
    let told = block_on(client::explain(&agent.path(), &question))?;
    match output {
        Output::Json => print_json(&told)?,
        Output::Table => print!("{}", text(&told)),
    }
    Ok(ExitCode::SUCCESS)
}

fn text(told: &Explanation) -> String {
    let mut out = String::new();
    let mut line = |title: &str, words: String| {
        let _ = writeln!(out, "{title:<12} {words}");
    };
    line("packet", packet(&told.packet));
    match &told.listener {
        Some(found) => line("listener", listener(found)),
        None => line("listener", "none".to_owned()),
    }
    if let Some(judged) = &told.admission {
        line("admission", admission(judged));
    }
    if let Some(member) = &told.named {
        line("named", format!("the connection id names {}", self::member(member)));
    }
    if let Some(place) = &told.slot {
        let hash = place.hash.map(|hash| format!("{hash:#010x} → ")).unwrap_or_default();
        line("hash", format!("{hash}slot {} of {}", place.index, place.of));
        let tracked = told.listener.as_ref().filter(|listener| listener.tracked);
        line("slot", slot(place, tracked));
        match &told.flow {
            Some(entry) => line("flow table", flow(entry)),
            None if !place.moving => {
                line("flow table", "not asked, since the slot is settled".to_owned());
            }
            None => {}
        }
    }
    if let Some(chosen) = &told.backend {
        line("member", backend(chosen));
        line("next hop", next_hop(chosen));
    }
    if let Some(frame) = &told.sent {
        line("encapsulated", encapsulation(frame));
        line("sent", format!("{} bytes of frame by {}", frame.length, frame.interface));
    }
    line("verdict", verdict(&told.verdict));
    if let Some(fix) = &told.verdict.fix {
        line("what to do", fix.clone());
    }
    out
}

fn packet(packet: &Packet) -> String {
    let Packet { interface, source, destination, protocol, syn, length } = packet;
    let protocol = match (protocol, syn) {
        (Protocol::Tcp, true) => "tcp, opens a connection",
        (Protocol::Tcp, false) => "tcp, of a connection under way",
        (Protocol::Udp, _) => "udp",
    };
    format!("{source} → {destination} {protocol}, {length} bytes, comes by {interface}")
}

fn listener(listener: &Listener) -> String {
    let Listener { name, address, port, pool, disabled, algorithm, .. } = listener;
    let port = if *port == 0 { "a range of ports".to_owned() } else { format!("port {port}") };
    let down = if *disabled { ", administratively down" } else { "" };
    format!("{name} at {address}, {port}, served by pool {pool} by {algorithm}{down}")
}

fn admission(admission: &Admission) -> String {
    let verdict = if admission.admitted { "admitted" } else { "refused" };
    let checks = admission.checks.iter().map(|check| format!(", {check}"));
    verdict.to_owned() + &checks.collect::<String>()
}

fn member(member: &Member) -> String {
    let Member { id, name, address, removed, .. } = member;
    let address = match address {
        Some(address) if address.port() == 0 => format!(" at {}", address.ip()),
        Some(address) if address.to_string() != *name => format!(" at {address}"),
        _ => String::new(),
    };
    let removed = if *removed { ", removed" } else { "" };
    format!("{name}{address} (backend {id}{removed})")
}

fn owner(owner: Option<&Member>) -> String {
    owner.map_or_else(|| "nobody".to_owned(), member)
}

fn slot(slot: &Slot, tracked: Option<&Listener>) -> String {
    let present = owner(slot.owner.as_ref());
    let former = if slot.moving { owner(slot.former_owner.as_ref()) } else { present.clone() };
    match (tracked, slot.moving) {
        (Some(_), _) => {
            format!("new flows take members in turn, those without a record go to {former}")
        }
        (None, true) => {
            format!("moving: new flows go to {present}, those older than the change to {former}")
        }
        (None, false) => format!("settled: every flow goes to {present}"),
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
    let spent = if entry.budget_spent { "; no more flows may be recorded this second" } else { "" };
    recorded + &records.unwrap_or_default() + spent
}

fn backend(chosen: &Backend) -> String {
    format!("{}, pool {}, by {}", member(&chosen.member), chosen.member.pool, chosen.forwarding)
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
        Some(outer) => format!(
            "outer header {} → {} (carries {}), {} bytes more",
            outer.source, outer.destination, outer.protocol, outer.bytes
        ),
    }
}

fn verdict(verdict: &Verdict) -> String {
    match (&verdict.reason, &verdict.meaning) {
        (Some(reason), Some(meaning)) => format!("{}: {reason}: {meaning}", verdict.fate),
        _ => verdict.fate.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: serde_json::Value) -> Explanation {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn a_forwarded_packet_in_words() {
        let member = |id: u16, name: &str| serde_json::json!({ "id": id, "name": name, "pool": "web", "address": "10.0.0.11:80" });
        let told = told(serde_json::json!({
            "packet": { "interface": "lb0", "source": "198.51.100.7:50000",
                        "destination": "192.0.2.10:80", "protocol": "tcp", "syn": false, "length": 40 },
            "verdict": { "fate": "forwarded" },
            "listener": { "id": 0, "name": "http", "address": "192.0.2.10", "port": 80,
                          "disabled": false, "pool": "web", "algorithm": "5_TUPLE_HASH", "tracked": false },
            "admission": { "admitted": true, "checks": ["its whitelist holds the client"] },
            "slot": { "hash": 17, "index": 5, "of": 101, "moving": true,
                      "owner": member(1, "a"), "former_owner": member(2, "b") },
            "flow": { "recorded": member(2, "b"), "idle": 4, "records": null },
            "backend": { "id": 2, "name": "b", "pool": "web", "address": "10.0.0.11:80",
                         "forwarding": "ipip", "reachable": true, "interface": "lb0",
                         "next_hop_mac": "02:00:00:00:00:0b", "mtu": 1500 },
            "sent": { "interface": "lb0", "source_mac": "02:00:00:00:00:01",
                      "next_hop_mac": "02:00:00:00:00:0b", "length": 74, "encapsulation":
                      { "source": "10.0.0.1", "destination": "10.0.0.11", "protocol": "ipv4", "bytes": 20 } }
        }));
        assert_eq!(
            text(&told),
            "\
packet       198.51.100.7:50000 → 192.0.2.10:80 tcp, of a connection under way, 40 bytes, comes by lb0
listener     http at 192.0.2.10, port 80, served by pool web by 5_TUPLE_HASH
admission    admitted, its whitelist holds the client
hash         0x00000011 → slot 5 of 101
slot         moving: new flows go to a at 10.0.0.11:80 (backend 1), those older than the change to b \
at 10.0.0.11:80 (backend 2)
flow table   recorded for b at 10.0.0.11:80 (backend 2), last packet 4 s ago
member       b at 10.0.0.11:80 (backend 2), pool web, by ipip
next hop     02:00:00:00:00:0b by lb0, packets of at most 1500 bytes
encapsulated outer header 10.0.0.1 → 10.0.0.11 (carries ipv4), 20 bytes more
sent         74 bytes of frame by lb0
verdict      forwarded
"
        );
    }

    #[test]
    fn a_dropped_packet_in_words() {
        let told = told(serde_json::json!({
            "packet": { "interface": "lb0", "source": "198.51.100.7:50000",
                        "destination": "192.0.2.10:81", "protocol": "udp", "syn": false, "length": 28 },
            "verdict": { "fate": "passed", "reason": "no_listener", "meaning": "nobody listens",
                         "fix": "add one" },
            "listener": null, "admission": null, "slot": null, "flow": null, "backend": null, "sent": null
        }));
        assert_eq!(
            text(&told),
            "\
packet       198.51.100.7:50000 → 192.0.2.10:81 udp, 28 bytes, comes by lb0
listener     none
verdict      passed: no_listener: nobody listens
what to do   add one
"
        );
    }
}
