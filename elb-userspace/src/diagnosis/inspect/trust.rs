//! Whom tunnel packets are taken from: who is not a load balancer and gets them through walks around the
//! load balancer's access control.

use std::net::IpAddr;

use super::asked::InspectRequest;
use super::facts::Facts;
use super::filter::{Direction, Fate, FilterPacket, PortInterval, TrackingState, judge};
use super::parts::Part;
use super::virtual_address::up;
use crate::backend::{Mode, Recorded, covers, is_any_source};

const UDP: u8 = 17;
const GUE_PORT: u16 = 6080;
/// Addresses that no host has (RFC 5737, RFC 3849): what a filter says of them it says of strangers.
const STRANGERS: [IpAddr; 2] = [
    IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 77)),
    IpAddr::V6(std::net::Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 0x77)),
];

/// Of elb's program.
pub(super) fn of_program(recorded: &Recorded, asked: &InspectRequest, facts: &Facts) -> Part {
    let Some(from) = &recorded.from else {
        return Part::warn(
            "elb's program is of an older version: it accepts tunnel packets from any sender, past the load \
             balancer's access control",
        )
        .fix(up(asked, facts));
    };
    if let Some(outer) = asked.outer.iter().find(|outer| !covers(from, **outer)) {
        return Part::fail(format!(
            "elb's program drops tunnel packets from {outer}, the load balancer: --from does not \
             include it"
        ))
        .fix(up(asked, facts));
    }
    if is_any_source(from) {
        return Part::warn(
            "elb's program accepts tunnel packets from any sender (--from any): who can reach this host \
             walks around the load balancer's access control, unless the network filters",
        )
        .fix(up(asked, facts));
    }
    Part::pass("it takes packets from the load balancers only")
}

/// Of a tunnel device of the kernel, which accepts packets from any sender, unless a rule drops them.
pub(super) fn of_device(device: &str, mode: Mode, asked: &InspectRequest, facts: &Facts) -> Part {
    let v6 = asked.to.iter().any(IpAddr::is_ipv6);
    let Ok(rules) = &facts.filter else {
        return Part::warn(format!("{device} accepts tunnel packets from any sender; {RULES}"))
            .fix(only_from(mode, v6, asked));
    };
    let drops = inside(mode, asked).into_iter().all(|protocol| {
        let packet = stranger(mode, v6, protocol, asked, facts);
        matches!(judge(rules, &packet), Fate::Blocked(_))
    });
    if drops {
        return Part::pass(format!("a rule keeps tunnel packets of strangers from {device}"));
    }
    Part::warn(format!(
        "{device} accepts tunnel packets from any sender: who can reach this host bypasses the load \
         balancer's access control, unless the network filters"
    ))
    .fix(only_from(mode, v6, asked))
}

const RULES: &str = "whether a rule drops those of strangers cannot be seen";

/// Protocols that tunnel packets have.
fn inside(mode: Mode, asked: &InspectRequest) -> Vec<u8> {
    if mode == Mode::Gue {
        return vec![UDP];
    }
    let mut all: Vec<u8> =
        asked.vips.iter().map(|vip| if vip.is_ipv4() { 4 } else { 41 }).collect();
    all.sort_unstable();
    all.dedup();
    if all.is_empty() { vec![4] } else { all }
}

fn stranger(
    mode: Mode,
    v6: bool,
    protocol: u8,
    asked: &InspectRequest,
    facts: &Facts,
) -> FilterPacket {
    let is_gue = mode == Mode::Gue;
    FilterPacket {
        direction: Direction::In,
        v6,
        source: STRANGERS.into_iter().find(|stranger| stranger.is_ipv6() == v6),
        destination: asked.to.iter().copied().find(|to| to.is_ipv6() == v6),
        protocol,
        source_port: is_gue.then_some(PortInterval::EPHEMERAL),
        destination_port: is_gue.then_some(PortInterval(GUE_PORT, GUE_PORT)),
        tcp_flags: None,
        icmp_type: None,
        state: TrackingState::New,
        interface: facts.way_in(asked),
        translated: Some(false),
        mark: Some(0),
        way_back: Some(true),
    }
}

/// The rule that drops what is not the load balancer's.
fn only_from(mode: Mode, v6: bool, asked: &InspectRequest) -> String {
    let outer: Vec<String> = asked.outer.iter().map(ToString::to_string).collect();
    let outer = if outer.is_empty() { "LOAD-BALANCER".to_owned() } else { outer.join(", ") };
    let family = if v6 { "ip6" } else { "ip" };
    let what = match mode {
        Mode::Gue => format!("udp dport {GUE_PORT}"),
        Mode::L2 | Mode::Ipip | Mode::Nat | Mode::FullNat | Mode::Nat46 => {
            "meta l4proto { 4, 41 }".to_owned()
        }
    };
    format!(
        "nft 'add table inet elb; add chain inet elb tunnels {{ type filter hook input priority -150; }}; \
         add rule inet elb tunnels {what} {family} saddr != {{ {outer} }} drop'"
    )
}
