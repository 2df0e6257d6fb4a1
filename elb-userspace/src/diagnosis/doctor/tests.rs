//! A healthy host, and one thing wrong with it at a time.

mod cases;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::facts::{
    AttachedProgram, Bpffs, DirectoryRoom, InterfaceFacts, KeptFacts, Kernel, OwnVip, Peer, Queues,
    Silence, StateDir, Trial,
};
use super::*;
use crate::control::network::client_routes::ClientWays;
use crate::control::network::{Link, Network, Route};
use crate::diagnosis::report::{Basis, Conclusion};

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn duty() -> Duty {
    let members = vec![(address("10.0.0.11"), Forwarding::Ipip)];
    Duty { vips: vec![address("192.0.2.10")], members, ..Duty::on(vec!["eth0".to_owned()]) }
}

/// Members by eth0 (2), clients and virtual addresses by eth0, too.
pub(super) fn facts() -> Facts {
    let mut network = Network::default();
    for (index, name) in [(2, "eth0"), (3, "eth1")] {
        network.links.insert(index, Link { name: name.to_owned(), mac: None, mtu: 1600 });
    }
    network.routes = [("10.0.0.11", via(2, None)), ("192.0.2.10", via(2, None))]
        .map(|(to, route)| (address(to), route))
        .into();
    Facts {
        name: "lb".to_owned(),
        kernel: Kernel {
            release: "6.18.44".to_owned(),
            program: Trial::Accepted,
            jit: Some(1),
            btf: true,
        },
        capabilities: Some(u64::MAX),
        bpffs: Bpffs::Writable,
        synchronised: Some(true),
        forwarding: [false, false],
        cpus: 2,
        interfaces: BTreeMap::from([("eth0".to_owned(), interface())]),
        rp_filter_all: Some(0),
        kept: KeptFacts::default(),
        holders: Vec::new(),
        silence: None,
        own_vips: Vec::new(),
        own_sources: Vec::new(),
        state_dir: state_dir(DirectoryRoom::Free { bytes: 1 << 30, files: true }),
        network,
        probes: Some(Vec::new()),
    }
}

fn state_dir(room: DirectoryRoom) -> Option<StateDir> {
    Some(StateDir { path: "/var/lib/elb/elb".into(), room })
}

fn own_vip(taken: Option<&str>, is_allowed: bool) -> Vec<OwnVip> {
    vec![OwnVip {
        balancer: "lb".to_owned(),
        vip: address("192.0.2.10"),
        interface: "eth0".to_owned(),
        taken: taken.map(str::to_owned),
        is_allowed,
        is_translated: false,
    }]
}

fn interface() -> InterfaceFacts {
    InterfaceFacts {
        index: 2,
        up: true,
        carrier: true,
        driver: Some("ice".to_owned()),
        xdp_features: Some(7),
        offloads: Some(BTreeSet::new()),
        queues: Some(Queues { now: 2, most: 64, combined: true }),
        rp_filter: Some(0),
        ..InterfaceFacts::default()
    }
}

fn via(ifindex: u32, gateway: Option<&str>) -> Route {
    Route::Via { ifindex, gateway: gateway.map(address), source: None, mtu: None }
}

fn with(change: impl FnOnce(&mut InterfaceFacts)) -> Facts {
    let mut facts = facts();
    change(facts.interfaces.get_mut("eth0").unwrap());
    facts
}

#[test]
fn a_healthy_host_passes_every_check() {
    let report = judge(&duty(), &facts());
    assert_eq!(report.conclusion, Conclusion::Healthy);
    for finding in &report.findings {
        assert_eq!((finding.outcome, &finding.fix), (Outcome::Pass, &None), "{finding:?}");
    }
}

#[test]
fn each_trouble_is_named_with_its_fix_and_nothing_else_is() {
    for (name, facts, check, outcome, fix) in cases::cases() {
        let report = judge(&duty(), &facts);
        let finding = report.finding(check).unwrap();
        assert_eq!(finding.outcome, outcome, "{name}: {finding:?}");
        assert!(finding.fix.as_ref().unwrap().starts_with(fix), "{name}: {finding:?}");
        let cause = (outcome == Outcome::Fail).then_some(check);
        assert_eq!(report.cause, cause, "{name}");
        let others = report.findings.iter().filter(|other| other.check != check);
        for other in others {
            assert_eq!(other.outcome, Outcome::Pass, "{name}: {other:?}");
        }
    }
}

#[test]
fn a_member_without_a_route_is_named_next_to_those_that_have_one() {
    let (mut duty, mut facts) = (duty(), facts());
    duty.members.push((address("10.0.0.12"), Forwarding::Ipip));
    facts.network.routes.insert(address("10.0.0.12"), Route::None);
    let report = judge(&duty, &facts);
    assert_eq!(report.cause, Some(Check::WayOut), "{report:#?}");
    let finding = report.finding(Check::WayOut).unwrap();
    assert!(finding.evidence.starts_with("there is no route to 10.0.0.12;"), "{finding:?}");
    assert!(!finding.evidence.contains("10.0.0.11"), "{finding:?}");
    assert!(finding.fix.as_ref().unwrap().contains("ip route add 10.0.0.12 via GATEWAY"));
}

/// A host whose member's answers are translated, and the ways to clients as they are known.
fn translating(other_rules: &[&str]) -> (Duty, Facts) {
    let (mut duty, mut facts) = (duty(), facts());
    duty.members[0].1 = Forwarding::Nat;
    facts.forwarding = [true, false];
    let other_rules = other_rules.iter().map(|rule| (*rule).to_owned()).collect();
    facts.network.clients =
        Some(std::sync::Arc::new(ClientWays { other_rules, ..ClientWays::default() }));
    (duty, facts)
}

#[test]
fn translated_answers_need_the_kernel_for_neighbours_that_it_does_not_know() {
    let (duty, mut facts) = translating(&[]);
    let report = judge(&duty, &facts);
    // Packets get no larger.
    let others = report.findings.iter().filter(|finding| finding.check != Check::Mtu);
    assert!(others.clone().all(|finding| finding.outcome == Outcome::Pass), "{report:#?}");
    facts.forwarding = [false, true];
    let report = judge(&duty, &facts);
    let finding = report.finding(Check::Forwarding).unwrap();
    assert_eq!(finding.outcome, Outcome::Warn);
    assert!(finding.evidence.contains("off for IPv4: members' answers to a client"), "{finding:?}");
    assert_eq!(finding.fix.as_deref(), Some("sysctl -w net.ipv4.ip_forward=1"));
    assert_eq!(report.conclusion, Conclusion::Healthy);
}

/// Members with IPv6 whose clients have IPv4: their answers leave as IPv4.
#[test]
fn answers_that_are_translated_to_ipv4_need_what_clients_with_ipv4_need() {
    let (mut duty, mut facts) = translating(&[]);
    let member = address("2001:db8:9::11");
    duty.members = vec![(member, Forwarding::Nat46)];
    facts.network.routes.insert(member, via(3, None));
    facts.forwarding = [true, false];
    let fix = |facts: &Facts| {
        let finding = judge(&duty, facts).finding(Check::Forwarding).cloned().unwrap();
        (finding.outcome == Outcome::Warn).then_some(finding.fix).flatten()
    };
    assert_eq!(fix(&facts), None);
    facts.forwarding = [false, true];
    assert_eq!(fix(&facts).as_deref(), Some("sysctl -w net.ipv4.ip_forward=1"));
    let eth1 = facts.network.links.get_mut(&3).unwrap();
    eth1.mac = Some(elb_common::addr::Mac::new([2, 0, 0, 0, 0, 3]));
    let finding = judge(&duty, &facts).finding(Check::WayOut).cloned().unwrap();
    assert!(finding.evidence.contains("answers by nat46, nat or fullnat do not"), "{finding:?}");
}

#[test]
fn translated_answers_follow_the_main_table_only() {
    let (duty, facts) = translating(&["IPv4 with priority 100"]);
    let report = judge(&duty, &facts);
    let finding = report.finding(Check::ClientRoutes).unwrap();
    assert_eq!(finding.outcome, Outcome::Warn);
    assert!(finding.evidence.contains("(IPv4 with priority 100)"), "{finding:?}");
    assert!(finding.fix.as_ref().unwrap().starts_with("ip rule; ip -6 rule"));
    let of_ipip = Duty { members: vec![(address("10.0.0.11"), Forwarding::Ipip)], ..duty };
    assert!(judge(&of_ipip, &facts).finding(Check::ClientRoutes).is_none());
}

#[test]
fn translated_answers_come_in_where_the_program_is_and_are_not_dropped() {
    // By an interface without the program.
    let (duty, mut facts) = translating(&[]);
    let eth1 = facts.network.links.get_mut(&3).unwrap();
    eth1.mac = Some(elb_common::addr::Mac::new([2, 0, 0, 0, 0, 3]));
    facts.network.routes.insert(address("10.0.0.11"), via(3, None));
    let finding = judge(&duty, &facts).finding(Check::WayOut).cloned().unwrap();
    assert_eq!(finding.outcome, Outcome::Fail);
    assert!(
        finding.evidence.contains("answers by nat or fullnat do not reach clients"),
        "{finding:?}"
    );
    assert!(finding.fix.unwrap().starts_with("add \"eth1\" to interfaces in [agent]"));
    // By one that filters strictly.
    let (duty, mut facts) = translating(&[]);
    facts.rp_filter_all = Some(1);
    facts.network.routes.insert(address("192.0.2.10"), via(3, None));
    let finding = judge(&duty, &facts).finding(Check::RpFilter).cloned().unwrap();
    assert_eq!(finding.outcome, Outcome::Fail);
    // From an address that the kernel has itself.
    let (duty, mut facts) = translating(&[]);
    facts.own_vips = own_vip(None, false);
    facts.own_vips[0].is_translated = true;
    let finding = judge(&duty, &facts).finding(Check::OwnAddress).cloned().unwrap();
    assert_eq!(finding.outcome, Outcome::Warn);
    assert!(finding.evidence.contains("are dropped as martians"), "{finding:?}");
}

#[test]
fn translated_packets_come_with_checksums() {
    let (duty, mut facts) = translating(&[]);
    assert!(judge(&duty, &facts).finding(Check::Checksums).is_none(), "cards compute them");
    let mut seen = |peer: Option<Peer>| {
        let eth0 = facts.interfaces.get_mut("eth0").unwrap();
        (eth0.driver, eth0.peer) = (Some("veth".to_owned()), peer);
        let finding = judge(&duty, &facts).finding(Check::Checksums).cloned().unwrap();
        (finding.outcome, finding.fix.unwrap_or_default())
    };
    let far = |offloads: Option<&[&str]>| {
        let offloads = offloads.map(|on| on.iter().map(|one| (*one).to_owned()).collect());
        Some(Peer { name: "far".to_owned(), xdp: true, offloads })
    };
    let left = seen(far(Some(&["tx-checksum-ip-generic", "tx-scatter-gather"])));
    assert_eq!(left.0, Outcome::Warn);
    assert!(left.1.starts_with("ethtool -K far tx off "), "{left:?}");
    assert_eq!(seen(far(Some(&["tx-checksum-sctp"]))).0, Outcome::Pass);
    let unseen = [seen(far(None)), seen(None)];
    assert_eq!(unseen.each_ref().map(|(outcome, _)| *outcome), [Outcome::Unknown; 2]);
    assert!(unseen[1].1.starts_with("ethtool -K OTHER-END tx off "), "{unseen:?}");
    let of_ipip = Duty { members: vec![(address("10.0.0.11"), Forwarding::Ipip)], ..duty };
    assert!(judge(&of_ipip, &facts).finding(Check::Checksums).is_none());
}

#[test]
fn what_looks_alike_is_no_trouble() {
    let ours = |eth0: &mut InterfaceFacts| {
        let name = Some("elb".to_owned());
        eth0.attached =
            Some(AttachedProgram { program: 7, name, ours: true, native: true, link: Some(1) });
        // The driver runs the program in spite of it.
        eth0.offloads = Some(["rx-lro".to_owned()].into());
    };
    let mut strict = facts();
    strict.rp_filter_all = Some(1);
    // The greater of the two counts: 2 is loose.
    let mut loose = with(|eth0| eth0.rp_filter = Some(2));
    loose.rp_filter_all = Some(1);
    loose.network.routes.insert(address("192.0.2.10"), via(3, None));
    let mut router = facts();
    router.forwarding = [true, true];
    // Ports without a listener are refused, wherever the kernel would send their packets.
    router.network.routes.insert(address("192.0.2.10"), via(2, Some("10.0.0.254")));
    // More queues than entries, and entries that queues cannot share evenly.
    let few = with(|eth0| {
        eth0.queues = Some(Queues { now: 16, most: 64, combined: true });
        eth0.rss = (0..8).collect();
    });
    let odd = with(|eth0| {
        eth0.queues = Some(Queues { now: 3, most: 64, combined: true });
        eth0.rss = vec![0, 1, 2, 0];
    });
    for facts in [with(ours), strict, loose, router, few, odd] {
        let report = judge(&duty(), &facts);
        let wrong = report.findings.iter().find(|finding| finding.outcome != Outcome::Pass);
        assert_eq!(wrong, None);
    }
}

#[test]
fn generic_mode_asks_nothing_of_the_driver() {
    let duty = Duty { attach_mode: AttachMode::Generic, ..duty() };
    let facts = with(|eth0| {
        eth0.xdp_features = Some(0);
        eth0.offloads = Some(["rx-lro".to_owned()].into());
    });
    let report = judge(&duty, &facts);
    assert_eq!(report.finding(Check::NativeXdp).unwrap().outcome, Outcome::NotApplicable);
    // But of an interface that joins packets.
    let offloads = report.finding(Check::Offloads).unwrap();
    assert_eq!(offloads.outcome, Outcome::Warn);
    assert!(offloads.fix.as_ref().unwrap().contains("ethtool -K eth0 gro off lro off"));
}

#[test]
fn ipv6_has_no_size_below_its_least() {
    let mut duty = duty();
    duty.vips.push(address("2001:db8::10"));
    let sized = |mtu| {
        let mut facts = facts();
        facts.network.links.get_mut(&2).unwrap().mtu = mtu;
        judge(&duty, &facts).finding(Check::Mtu).unwrap().outcome
    };
    assert_eq!(
        [1520, 1519, 1300, 1299].map(sized),
        [Outcome::Pass, Outcome::Warn, Outcome::Warn, Outcome::Fail]
    );
}

#[test]
fn a_route_of_its_own_size_is_mended_where_it_is() {
    let mut facts = facts();
    let route = Route::Via { ifindex: 2, gateway: None, source: None, mtu: Some(1400) };
    facts.network.routes.insert(address("10.0.0.11"), route);
    let report = judge(&duty(), &facts);
    let fix = report.finding(Check::Mtu).unwrap().fix.clone().unwrap();
    assert!(fix.starts_with("ip route get 10.0.0.11 "), "{fix}");
}

#[test]
fn several_interfaces_share_a_finding() {
    let mut duty = duty();
    duty.interfaces.extend(["eth1".to_owned(), "eth2".to_owned()]);
    let mut facts = facts();
    let one = Some(Queues { now: 1, most: 8, combined: false });
    facts.interfaces.insert("eth1".to_owned(), InterfaceFacts { queues: one, ..interface() });
    let report = judge(&duty, &facts);
    let queues = report.finding(Check::Queues).unwrap();
    assert_eq!((queues.outcome, queues.basis), (Outcome::Warn, Basis::Seen));
    assert!(queues.evidence.starts_with("eth0: 2 receive queues"), "{queues:?}");
    assert!(queues.evidence.contains("\neth1: one receive queue"), "{queues:?}");
    assert_eq!(queues.fix.as_deref(), Some("ethtool -L eth1 rx 2"));
    assert_eq!(report.cause, Some(Check::Interface));
    let checks: Vec<Check> = report.findings.iter().map(|finding| finding.check).collect();
    assert!(checks.windows(2).all(|pair| pair[0] < pair[1]), "{checks:?}");
}

#[test]
fn releases() {
    let cases = [("6.18.44-fc-v782", Some((6, 18))), ("6.1", Some((6, 1))), ("next", None)];
    for (release, expected) in cases {
        assert_eq!(host::version(release), expected, "{release}");
    }
}

proptest! {
    #[test]
    fn any_release_is_read(release in "\\PC{0,40}|[0-9.]{0,40}") {
        host::version(&release);
    }
}
