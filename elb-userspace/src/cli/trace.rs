//! `elb trace`: packets, a line each, while they pass.

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::packets::PacketArgs;
use super::socket::SocketArg;
use super::{Output, block_on, go_on};
use crate::observe::packet::Sent;
use crate::observe::trace::{MIN_SNAP, PacketEvent};

#[derive(Debug, Args)]
#[command(after_help = "\
Shows what tcpdump cannot: packets as the program in the driver meets them, and what becomes of
each. While packets are traced, the interfaces carry a second program that also reports packets;
otherwise it costs nothing. Replacing the program loses no packet.

Everyone who may use the agent's socket may see packets.

Examples:
  elb trace --client 198.51.100.7
  elb trace --vip 192.0.2.10 --dropped
  elb trace --member 10.0.0.11 --sample 1/1000 --count 20
  elb trace --reason no_listener --duration 10s -o json | jq -r .source")]
pub(super) struct TraceArgs {
    #[command(flatten)]
    packets: PacketArgs,
    #[command(flatten)]
    agent: SocketArg,
    /// How to write it; JSON is one object a line.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(args: &TraceArgs) -> Result<ExitCode> {
    let request = args.packets.request(MIN_SNAP, false)?;
    let mut out = io::stdout();
    let print = |event: PacketEvent| {
        let text = match args.output {
            Output::Table => line(&event),
            Output::Json => serde_json::to_string(&event)?,
        };
        go_on(writeln!(out, "{text}"))
    };
    block_on(args.packets.follow(&args.agent.path()?, &request, || Ok(()), print))?;
    Ok(ExitCode::SUCCESS)
}

fn line(event: &PacketEvent) -> String {
    let PacketEvent { time, interface, protocol, length, fate, .. } = event;
    // Microseconds will do: 2026-01-02T03:04:05.123456789Z.
    let time = time.get(11..26).unwrap_or(time);
    let ends = match (&event.source, &event.destination) {
        (Some(source), Some(destination)) => format!("{source} → {destination} "),
        _ => String::new(),
    };
    let syn = if event.syn { " syn" } else { "" };
    let fragment = if event.fragment { " fragment" } else { "" };
    let listener = event.listener.as_ref().map(|l| format!(" · listener {l}")).unwrap_or_default();
    let what = what(event);
    format!(
        "{time} {interface} {ends}{protocol}{syn}{fragment} {length} B{listener} · {fate}{what}"
    )
}

fn what(event: &PacketEvent) -> String {
    let member = event.member.as_ref();
    // Of an answer it is the sender.
    let is_answer = event
        .translated
        .is_some_and(|now| event.destination.as_deref() == Some(&*now.destination.to_string()));
    let by = if is_answer { "of" } else { "to" };
    let member = member.map(|member| format!(" {by} {} ({})", member.name(), member.pool()));
    let translated =
        event.translated.map(|now| format!(", now {} → {}", now.source, now.destination));
    let way = event.sent.as_ref().filter(|_| event.reason.is_none()).map(way);
    let reason = match (&event.reason, &event.meaning) {
        (Some(reason), Some(meaning)) => Some(format!(": {reason}: {meaning}")),
        _ => None,
    };
    [member, translated, way, reason].into_iter().flatten().collect()
}

fn way(sent: &Sent) -> String {
    let Sent { interface, next_hop_mac, length, .. } = sent;
    let outer = sent.encapsulation.as_ref();
    let outer = outer.map(|o| format!(" in {} → {}", o.source, o.destination)).unwrap_or_default();
    format!("{outer}, {length} B by {interface} to {next_hop_mac}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(more: serde_json::Value) -> PacketEvent {
        let mut whole = serde_json::json!({
            "time": "2026-01-02T03:04:05.123456789Z", "interface": "lb0", "protocol": "tcp",
            "source": "198.51.100.7:5", "destination": "192.0.2.10:80", "syn": true,
            "fragment": false, "length": 54, "listener": "http", "fate": "forwarded",
        });
        whole.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn one_line_each() {
        let forwarded = event(serde_json::json!({
            "member": { "number": 1, "name": "web-1", "pool": "web", "address": "10.0.0.11",
                        "protocol_port": 80 },
            "sent": { "interface": "lb1", "source_mac": "", "next_hop_mac": "02:00:00:00:00:09",
                      "length": 74, "encapsulation": { "source": "10.0.0.1",
                      "destination": "10.0.0.11", "protocol": "ipv4", "bytes": 20 } },
        }));
        assert_eq!(
            line(&forwarded),
            "03:04:05.123456 lb0 198.51.100.7:5 → 192.0.2.10:80 tcp syn 54 B · listener http · \
             forwarded to web-1 (web) in 10.0.0.1 → 10.0.0.11, 74 B by lb1 to 02:00:00:00:00:09"
        );
        let answer = event(serde_json::json!({
            "source": "10.0.0.11:8080", "destination": "198.51.100.7:5", "syn": false,
            "member": { "number": 1, "name": "web-1", "pool": "web", "address": "10.0.0.11",
                        "protocol_port": 8080 },
            "translated": { "source": "192.0.2.10:80", "destination": "198.51.100.7:5" },
            "sent": { "interface": "lb1", "source_mac": "", "next_hop_mac": "02:00:00:00:00:09",
                      "length": 54 },
        }));
        assert_eq!(
            line(&answer),
            "03:04:05.123456 lb0 10.0.0.11:8080 → 198.51.100.7:5 tcp 54 B · listener http · \
             forwarded of web-1 (web), now 192.0.2.10:80 → 198.51.100.7:5, 54 B by lb1 to 02:00:00:00:00:09"
        );
        let dropped = event(serde_json::json!({
            "fate": "dropped", "reason": "no_backend", "meaning": "no member takes it",
        }));
        assert!(line(&dropped).ends_with("· dropped: no_backend: no member takes it"));
    }
}
