//! The host's packet filter lets probes in and answers out.

use std::net::{IpAddr, Ipv6Addr};

use super::asked::InspectRequest;
use super::facts::{Facts, Route};
use super::filter::{
    Direction, Fate, FilterPacket, PortInterval, RulePlace, Ruleset, Tool, TrackingState, judge,
};
use super::parts::Part;
use crate::model::transport::TransportProtocol;

const ICMP: u8 = 1;
const ICMP6: u8 = 58;
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
const SYN: u8 = 2;
const ACK: u8 = 16;

pub(super) fn check(asked: &InspectRequest, facts: &Facts) -> Vec<Part> {
    let rules = match &facts.filter {
        Ok(rules) => rules,
        Err(needed) => return vec![Part::unknown(needed)],
    };
    if rules.chains.iter().all(|chain| chain.base.is_none()) {
        return vec![Part::pass("there are no rules")];
    }
    let mut parts = vec![Part::pass("probes may come in and answers go out")];
    let judged = judged(rules, dialogue(asked, facts, rules));
    let is_elsewhere = |packet: &FilterPacket| {
        let led_away = judged.iter().filter(|(fate, _)| matches!(fate, Fate::Translated(_)));
        led_away.flat_map(|(_, packets)| packets).any(|other| is_answer(packet, other))
    };
    for (fate, packets) in &judged {
        match fate {
            Fate::Passes => {}
            // Who answers is not known: another host, or another socket of this one.
            Fate::Blocked(_) | Fate::Doubtful(_) if packets.iter().all(is_elsewhere) => {}
            Fate::Blocked(place) if packets.iter().all(|packet| is_spare(asked, packet)) => {
                parts.push(blocked(rules, *place, packets).spare());
            }
            Fate::Blocked(place) => parts.push(blocked(rules, *place, packets)),
            Fate::Doubtful(places) => parts.push(doubtful(rules, places, packets)),
            Fate::Translated(place) => parts.push(Part::warn(format!(
                "{} changes the address or port of {}; what becomes of them is not looked at",
                name(rules, *place),
                words(packets)
            ))),
        }
    }
    parts
}

/// Whether a packet is the answer to one that comes in.
fn is_answer(packet: &FilterPacket, question: &FilterPacket) -> bool {
    (packet.direction, question.direction) == (Direction::Out, Direction::In)
        && (packet.protocol, packet.source, packet.destination)
            == (question.protocol, question.destination, question.source)
}

/// Whether traffic does without such packets.
fn is_spare(asked: &InspectRequest, packet: &FilterPacket) -> bool {
    let ours = match packet.direction {
        Direction::In => packet.destination,
        Direction::Out => packet.source,
    };
    ours.is_some_and(|address| !address.is_multicast() && asked.is_spare(address))
}

/// Packets that meet the same fate, and differ in their addresses only.
fn judged(rules: &Ruleset, packets: Vec<FilterPacket>) -> Vec<(Fate, Vec<FilterPacket>)> {
    let alike = |one: &FilterPacket, other: &FilterPacket| {
        (one.direction, one.protocol, one.icmp_type, one.v6)
            == (other.direction, other.protocol, other.icmp_type, other.v6)
    };
    let mut groups: Vec<(Fate, Vec<FilterPacket>)> = Vec::new();
    for packet in packets {
        let fate = judge(rules, &packet);
        let group = groups.iter_mut().find(|(other, of)| *other == fate && alike(&of[0], &packet));
        match group {
            Some((_, packets)) => packets.push(packet),
            None => groups.push((fate, vec![packet])),
        }
    }
    groups
}

impl Facts {
    /// Whether a rule gives packets of the service another address or port.
    pub(super) fn translates(&self, asked: &InspectRequest) -> bool {
        self.filter.as_ref().is_ok_and(|rules| {
            let packets = dialogue(asked, self, rules);
            packets.iter().any(|packet| matches!(judge(rules, packet), Fate::Translated(_)))
        })
    }
}

/// The packets of a probe, in and out, for every source and destination.
fn dialogue(asked: &InspectRequest, facts: &Facts, rules: &Ruleset) -> Vec<FilterPacket> {
    let optional = |addresses: Vec<IpAddr>| -> Vec<Option<IpAddr>> {
        if addresses.is_empty() { vec![None] } else { addresses.into_iter().map(Some).collect() }
    };
    let mut packets = Vec::new();
    for source in optional(asked.from.clone()) {
        for target in optional(asked.targets()) {
            let families = [source, target].map(|address| address.map(|one| one.is_ipv6()));
            if let [Some(one), Some(other)] = families
                && one != other
            {
                continue;
            }
            let is_member = target.is_some_and(|target| asked.to.contains(&target));
            let v6 = families.into_iter().flatten().next().unwrap_or_default();
            let base = basis(source, target, v6, facts, rules);
            packets.extend(of_protocol(asked, &base));
            if let (true, Some(IpAddr::V6(target))) = (is_member, target) {
                packets.extend(neighbours(&base, target, facts));
            }
        }
    }
    packets
}

/// What all packets from a source have in common.
fn basis(
    source: Option<IpAddr>,
    target: Option<IpAddr>,
    v6: bool,
    facts: &Facts,
    rules: &Ruleset,
) -> FilterPacket {
    let route = facts.routes.iter().find(|(address, _)| Some(*address) == source);
    let way_back = route.and_then(|(_, route)| route.as_ref().ok());
    FilterPacket {
        direction: Direction::In,
        v6,
        source,
        destination: target,
        protocol: 0,
        source_port: None,
        destination_port: None,
        tcp_flags: None,
        icmp_type: None,
        state: if rules.untracks { TrackingState::Unknown } else { TrackingState::New },
        interface: source.and_then(|source| facts.interface_to(source)),
        translated: (!rules.translates).then_some(false),
        mark: (!rules.marks).then_some(0),
        way_back: way_back.map(|route| matches!(route, Route::Via { .. } | Route::Local)),
    }
}

fn of_protocol(asked: &InspectRequest, base: &FilterPacket) -> Vec<FilterPacket> {
    let request = FilterPacket {
        protocol: asked.protocol.number(),
        source_port: Some(PortInterval::EPHEMERAL),
        destination_port: Some(PortInterval::of(asked.port)),
        ..base.clone()
    };
    match asked.protocol {
        TransportProtocol::Tcp => {
            let opening = FilterPacket { tcp_flags: Some(SYN), ..request };
            let answer = FilterPacket { tcp_flags: Some(SYN | ACK), ..answer_to(&opening) };
            let confirmed = established(FilterPacket { tcp_flags: Some(ACK), ..opening.clone() });
            vec![opening, answer, confirmed]
        }
        TransportProtocol::Udp => {
            let (protocol, [echo, reply]) =
                if base.v6 { (ICMP6, [128, 129]) } else { (ICMP, [8, 0]) };
            let echo = FilterPacket { protocol, icmp_type: Some(echo), ..base.clone() };
            let reply = FilterPacket { icmp_type: Some(reply), ..answer_to(&echo) };
            vec![answer_to(&request), request, echo, reply]
        }
    }
}

/// How the source of probes, or the router before it, asks for this host's Ethernet address
/// (RFC 4861). Connection tracking leaves that alone.
fn neighbours(base: &FilterPacket, target: Ipv6Addr, facts: &Facts) -> [FilterPacket; 2] {
    let on_link = facts.routes.iter().any(|(source, route)| {
        Some(*source) == base.source && matches!(route, Ok(Route::Via { gateway: None, .. }))
    });
    let state = match base.state {
        TrackingState::New | TrackingState::Established | TrackingState::Untracked => {
            TrackingState::Untracked
        }
        TrackingState::Unknown => TrackingState::Unknown,
    };
    let asker = base.source.filter(|_| on_link);
    let message = FilterPacket { protocol: ICMP6, state, ..base.clone() };
    let solicitation = FilterPacket {
        source: asker,
        destination: Some(solicited(target).into()),
        icmp_type: Some(SOLICITATION),
        ..message.clone()
    };
    let advertisement = FilterPacket {
        direction: Direction::Out,
        source: Some(target.into()),
        destination: asker,
        icmp_type: Some(ADVERTISEMENT),
        ..message
    };
    [solicitation, advertisement]
}

/// The multicast address that `target`'s Ethernet address is asked for at (RFC 4291 section 2.7.1).
fn solicited(target: Ipv6Addr) -> Ipv6Addr {
    const PREFIX: u128 = 0xff02_0000_0000_0000_0000_0001_ff00_0000;
    Ipv6Addr::from(PREFIX | (u128::from(target) & 0x00ff_ffff))
}

fn answer_to(packet: &FilterPacket) -> FilterPacket {
    established(FilterPacket {
        direction: Direction::Out,
        source: packet.destination,
        destination: packet.source,
        source_port: packet.destination_port,
        destination_port: packet.source_port,
        ..packet.clone()
    })
}

fn established(packet: FilterPacket) -> FilterPacket {
    let state = match packet.state {
        TrackingState::New | TrackingState::Established => TrackingState::Established,
        TrackingState::Untracked => TrackingState::Untracked,
        TrackingState::Unknown => TrackingState::Unknown,
    };
    FilterPacket { state, ..packet }
}

fn blocked(rules: &Ruleset, place: RulePlace, packets: &[FilterPacket]) -> Part {
    let part = Part::fail(format!("{} drops {}", name(rules, place), words(packets)));
    let mut fixes: Vec<String> =
        packets.iter().filter_map(|packet| accept(rules, place, packet)).collect();
    fixes.dedup();
    if fixes.is_empty() { part } else { part.fix(fixes.join("\n")) }
}

fn doubtful(rules: &Ruleset, places: &[RulePlace], packets: &[FilterPacket]) -> Part {
    let names: Vec<String> = places.iter().map(|place| name(rules, *place)).collect();
    Part::unknown(format!(
        "whether {} pass depends on what is not known here: {}; name what is asked about with --from, \
         --to and --port, or look at the counters of the rules while probes come in",
        words(packets),
        names.join(", ")
    ))
}

/// `TCP from 10.0.0.2 to 10.0.0.11, 192.0.2.10 port 80`, for packets that are alike.
pub(super) fn words(packets: &[FilterPacket]) -> String {
    let Some(packet) = packets.first() else { return "packets".to_owned() };
    let addresses = |which: fn(&FilterPacket) -> Option<IpAddr>, word: &str| {
        let mut all: Vec<String> =
            packets.iter().filter_map(which).map(|address| address.to_string()).collect();
        all.dedup();
        if all.is_empty() { String::new() } else { format!(" {word} {}", all.join(", ")) }
    };
    let kind = match (packet.protocol, packet.icmp_type) {
        (6, _) => "TCP".to_owned(),
        (17, _) => "UDP".to_owned(),
        (_, Some(8 | 128)) => "echo requests".to_owned(),
        (_, Some(0 | 129)) => "echo replies".to_owned(),
        (ICMP6, Some(SOLICITATION)) => "neighbour solicitations".to_owned(),
        (ICMP6, Some(ADVERTISEMENT)) => "neighbour advertisements".to_owned(),
        (protocol, _) => format!("protocol {protocol}"),
    };
    let source = addresses(|packet| packet.source, "from");
    let target = addresses(|packet| packet.destination, "to");
    let port = |ports: Option<PortInterval>| match ports {
        Some(PortInterval(low, high)) if low == high => format!(" port {low}"),
        Some(_) | None => String::new(),
    };
    let (source_port, port) = (port(packet.source_port), port(packet.destination_port));
    format!("{kind}{source}{source_port}{target}{port}")
}

/// The rule by which its tool knows it, and its words.
pub(super) fn name(rules: &Ruleset, place: RulePlace) -> String {
    let Some(chain) = rules.chains.get(place.chain) else { return "a rule".to_owned() };
    let table = &chain.table;
    let (name, chain_name) = (&table.name, &chain.name);
    let family = table.family.name();
    let rule = place.rule.and_then(|rule| chain.rules.get(rule));
    match (table.tool, rule) {
        (Tool::Nft, Some(rule)) => format!(
            "nft rule {family} {name} {chain_name} handle {} (`{}`)",
            rule.number, rule.text
        ),
        (Tool::Nft, None) => format!("the policy of nft chain {family} {name} {chain_name}"),
        (Tool::Iptables(tool), Some(rule)) => format!(
            "{tool} table {name}, chain {chain_name}, rule {} (`{}`)",
            rule.number, rule.text
        ),
        (Tool::Iptables(tool), None) => {
            format!("the policy of {tool} table {name}, chain {chain_name}")
        }
    }
}

/// The command that lets such packets through: a rule before all others of the base chain.
fn accept(rules: &Ruleset, place: RulePlace, packet: &FilterPacket) -> Option<String> {
    let chain = rules.chains.get(place.base)?;
    let (table, chain) = (&chain.table, quoted(&chain.name));
    let (family, name) = (table.family.name(), quoted(&table.name));
    let inbound = packet.direction == Direction::In;
    let (address, ports) = match inbound {
        true => (packet.source, packet.destination_port),
        false => (packet.destination, packet.source_port),
    };
    let port =
        ports.filter(|PortInterval(low, high)| low == high).map(|PortInterval(port, _)| port);
    Some(match table.tool {
        Tool::Nft => {
            let version = if packet.v6 { "ip6" } else { "ip" };
            let side = if inbound { "saddr" } else { "daddr" };
            let address =
                address.map_or_else(String::new, |one| format!("{version} {side} {one} "));
            let what = nft_match(packet, port, inbound);
            format!("nft insert rule {family} {name} {chain} {address}{what} accept")
        }
        Tool::Iptables(tool) => {
            let side = if inbound { "-s" } else { "-d" };
            let address = address.map_or_else(String::new, |one| format!("{side} {one} "));
            let what = iptables_match(packet, port, inbound);
            format!("{tool} -t {name} -I {chain} {address}{what} -j ACCEPT")
        }
    })
}

fn nft_match(packet: &FilterPacket, port: Option<u16>, inbound: bool) -> String {
    let side = if inbound { "dport" } else { "sport" };
    match (packet.protocol, packet.icmp_type, port) {
        (ICMP, Some(kind), _) => format!("icmp type {kind}"),
        (ICMP6, Some(kind), _) => format!("icmpv6 type {kind}"),
        (6, _, Some(port)) => format!("tcp {side} {port}"),
        (17, _, Some(port)) => format!("udp {side} {port}"),
        (protocol, _, _) => format!("meta l4proto {protocol}"),
    }
}

fn iptables_match(packet: &FilterPacket, port: Option<u16>, inbound: bool) -> String {
    let side = if inbound { "--dport" } else { "--sport" };
    match (packet.protocol, packet.icmp_type, port) {
        (ICMP, Some(kind), _) => format!("-p icmp --icmp-type {kind}"),
        (ICMP6, Some(kind), _) => format!("-p ipv6-icmp --icmpv6-type {kind}"),
        (6, _, Some(port)) => format!("-p tcp {side} {port}"),
        (17, _, Some(port)) => format!("-p udp {side} {port}"),
        (protocol, _, _) => format!("-p {protocol}"),
    }
}

/// A name as a shell takes it.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    if name.chars().all(plain) && !name.is_empty() {
        return name.to_owned();
    }
    format!("'{}'", name.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 4291 section 2.7.1.
    #[test]
    fn neighbours_are_solicited_at_an_address_of_their_own() {
        let address = "4037::01:800:200e:8c6c".parse().unwrap();
        assert_eq!(solicited(address).to_string(), "ff02::1:ff0e:8c6c");
    }

    #[test]
    fn names_are_quoted_for_the_shell() {
        assert_eq!(quoted("input"), "input");
        assert_eq!(quoted("$(reboot)'"), r"'$(reboot)'\'''");
    }
}
