//! What this host's packet filter does to probes that it sends itself, and to their answers.

use std::net::{IpAddr, SocketAddr};

use super::filter::{Direction, Fate, FilterPacket, PortInterval, Ruleset, TrackingState, judge};
use super::firewall::{name, words};

const SYN: u8 = 2;
const ACK: u8 = 16;

/// A probe that this host sends.
#[derive(Clone, Debug)]
pub struct OwnProbe {
    /// Where it goes.
    pub to: SocketAddr,
    /// Where it comes from.
    pub own: IpAddr,
    /// Whether it is of UDP: an echo request comes first.
    pub is_udp: bool,
    /// The interface that it leaves by, if not the one that its answer comes in by.
    pub out: Option<String>,
    /// The interface that its answer comes in by.
    pub back: String,
    /// Its mark.
    pub mark: u32,
    /// Whether the route back to where the answer comes from goes out there, too.
    pub leads_back: bool,
}

/// Something that the packet filter does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filtered {
    /// To which of the probes, the first of them.
    pub probe: usize,
    /// All probes that it drops, or whose answers.
    pub drops: Vec<usize>,
    /// What.
    pub what: String,
    /// What to do.
    pub fix: String,
}

/// What rules keep from passing, once for each rule.
pub fn filtered(rules: &Ruleset, probes: &[OwnProbe]) -> Vec<Filtered> {
    let mut found: Vec<Filtered> = Vec::new();
    for (number, probe) in probes.iter().enumerate() {
        let answer = if rules.marks { None } else { Some(0) };
        for (packet, kind) in probe.packets(answer) {
            let (place, does) = match judge(rules, &packet) {
                Fate::Blocked(place) => (place, "drops"),
                Fate::Translated(place) if packet.direction == Direction::Out => {
                    (place, "changes the source of")
                }
                Fate::Passes | Fate::Doubtful(_) | Fate::Translated(_) => continue,
            };
            let rule = name(rules, place);
            let drops = if does == "drops" { vec![number] } else { Vec::new() };
            if let Some(other) = found.iter_mut().find(|other| other.what.starts_with(&rule)) {
                other.drops.extend(drops);
                continue;
            }
            let marked = if probe.mark == 0 || packet.direction == Direction::In {
                String::new()
            } else {
                format!(" with the mark {:#x}", probe.mark)
            };
            let packets = words(std::slice::from_ref(&packet));
            found.push(Filtered {
                probe: number,
                drops,
                what: format!("{rule} {does} {kind}{marked} ({packets})"),
                fix: fix(probe, packet.direction, &packets),
            });
        }
    }
    found
}

fn fix(probe: &OwnProbe, direction: Direction, packets: &str) -> String {
    match direction {
        Direction::Out if probe.mark != 0 => format!(
            "set [agent] probe_mark to one that the rule does not select, or exempt the interface \
             {} from it",
            probe.out.as_deref().unwrap_or("of probes")
        ),
        Direction::Out => format!("let the rule except {packets}"),
        Direction::In if !probe.leads_back => format!(
            "let the rule except {packets}, or give {} a route by {}, where its answers come in",
            probe.to.ip(),
            probe.back
        ),
        Direction::In => format!("let the rule except {packets}, which answers probes"),
    }
}

impl OwnProbe {
    /// What is sent and what comes back, with what that is.
    fn packets(&self, answer_mark: Option<u32>) -> [(FilterPacket, &'static str); 2] {
        let v6 = self.to.is_ipv6();
        let port = Some(PortInterval::of(Some(self.to.port())));
        let (protocol, kinds) = match (self.is_udp, v6) {
            (false, _) => (6, [None; 2]),
            (true, false) => (1, [Some(8), Some(0)]),
            (true, true) => (58, [Some(128), Some(129)]),
        };
        let is_tcp = protocol == 6;
        let sent = FilterPacket {
            direction: Direction::Out,
            v6,
            source: Some(self.own),
            destination: Some(self.to.ip()),
            protocol,
            source_port: Some(PortInterval::EPHEMERAL).filter(|_| is_tcp),
            destination_port: port.filter(|_| is_tcp),
            tcp_flags: Some(SYN).filter(|_| is_tcp),
            icmp_type: kinds[0],
            state: TrackingState::New,
            interface: Some(self.out.clone().unwrap_or_else(|| self.back.clone())),
            translated: Some(false),
            mark: Some(self.mark),
            way_back: Some(true),
        };
        let answer = FilterPacket {
            direction: Direction::In,
            source: sent.destination,
            destination: sent.source,
            source_port: sent.destination_port,
            destination_port: sent.source_port,
            tcp_flags: Some(SYN | ACK).filter(|_| is_tcp),
            icmp_type: kinds[1],
            state: TrackingState::Established,
            interface: Some(self.back.clone()),
            mark: answer_mark,
            way_back: Some(self.leads_back),
            ..sent.clone()
        };
        [(sent, "probes"), (answer, "answers to probes")]
    }
}
