//! What `nft` and `iptables-save` print of a backend server's packet filter: any of it is read, and any rules
//! are evaluated, in bounded time.

use std::net::IpAddr;

use elb_userspace::diagnosis::inspect::filter::{
    Direction, Family, FilterPacket, PortInterval, Ruleset, TrackingState, iptables, judge, nft,
};

use crate::campaign;

#[test]
fn rulesets() {
    campaign::run("rulesets", Vec::new(), |input| {
        let text = String::from_utf8_lossy(input);
        // Where the words of the rules come from is as hostile.
        if let Ok(listing) = nft::read(input, &text) {
            evaluate(&listing.rules);
        }
        for (program, family) in [("iptables-save", Family::Ip), ("ip6tables-save", Family::Ip6)] {
            evaluate(&iptables::read(&text, program, family, |name| name != "security"));
        }
    });
}

/// What becomes of a packet does not depend on when it is asked.
fn evaluate(rules: &Ruleset) {
    for packet in packets() {
        let fate = format!("{:?}", judge(rules, &packet));
        assert_eq!(format!("{:?}", judge(rules, &packet)), fate, "{packet:?}");
    }
}

fn packets() -> [FilterPacket; 3] {
    let address = |text: &str| Some(text.parse::<IpAddr>().unwrap());
    let syn = FilterPacket {
        direction: Direction::In,
        v6: false,
        source: address("10.0.0.2"),
        destination: address("10.0.0.11"),
        protocol: 6,
        source_port: Some(PortInterval::EPHEMERAL),
        destination_port: Some(PortInterval::of(Some(80))),
        tcp_flags: Some(2),
        icmp_type: None,
        state: TrackingState::New,
        interface: Some("eth0".to_owned()),
        translated: Some(false),
        mark: Some(0),
        way_back: Some(true),
    };
    let answer = FilterPacket {
        direction: Direction::Out,
        v6: true,
        source: address("fd00::11"),
        destination: address("fd00::2"),
        tcp_flags: None,
        state: TrackingState::Established,
        ..syn.clone()
    };
    let unknown = FilterPacket {
        v6: true,
        source: None,
        destination: None,
        protocol: 58,
        source_port: None,
        destination_port: None,
        tcp_flags: None,
        icmp_type: Some(135),
        state: TrackingState::Untracked,
        interface: None,
        translated: None,
        mark: None,
        way_back: None,
        ..syn.clone()
    };
    [syn, answer, unknown]
}
