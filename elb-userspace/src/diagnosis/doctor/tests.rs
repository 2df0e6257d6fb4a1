//! A healthy host, and one thing wrong with it at a time.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::facts::{
    Attached, Bpffs, Interface, Kept, Kernel, OwnVip, Peer, Queues, Room, StateDir, Trial,
};
use super::*;
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
        kept: Kept::default(),
        holders: Vec::new(),
        own_vips: Vec::new(),
        state_dir: state_dir(Room::Free { bytes: 1 << 30, files: true }),
        network,
        probes: Some(Vec::new()),
    }
}

fn state_dir(room: Room) -> Option<StateDir> {
    Some(StateDir { path: "/var/lib/elb/elb".into(), room })
}

fn own_vip(taken: Option<&str>, is_allowed: bool) -> Vec<OwnVip> {
    vec![OwnVip {
        balancer: "lb".to_owned(),
        vip: address("192.0.2.10"),
        interface: "eth0".to_owned(),
        taken: taken.map(str::to_owned),
        is_allowed,
    }]
}

fn interface() -> Interface {
    Interface {
        index: 2,
        up: true,
        carrier: true,
        driver: Some("ice".to_owned()),
        xdp_features: Some(7),
        offloads: Some(BTreeSet::new()),
        queues: Some(Queues { now: 2, most: 64, combined: true }),
        rp_filter: Some(0),
        ..Interface::default()
    }
}

fn via(ifindex: u32, gateway: Option<&str>) -> Route {
    Route::Via { ifindex, gateway: gateway.map(address), source: None, mtu: None }
}

fn with(change: impl FnOnce(&mut Interface)) -> Facts {
    let mut facts = facts();
    change(facts.interfaces.get_mut("eth0").unwrap());
    facts
}

#[test]
fn a_healthy_host_passes_every_check() {
    let report = judge(&duty(), &facts());
    assert_eq!(report.conclusion, Conclusion::Healthy);
    for finding in &report.findings {
        assert_eq!((finding.verdict, &finding.fix), (Verdict::Pass, &None), "{finding:?}");
    }
}

/// One change of the host: which check sees it, what comes of it, and what the fix starts with.
type Case = (&'static str, Facts, Check, Verdict, &'static str);

fn cases() -> Vec<Case> {
    let general = |change: fn(&mut Facts)| {
        let mut facts = facts();
        change(&mut facts);
        facts
    };
    let foreign = |native, link| {
        let name = Some("xdp_filter".to_owned());
        Some(Attached { program: 7, name, ours: false, native, link })
    };
    let attached = |name: Option<&str>| {
        let name = name.map(str::to_owned);
        Some(Attached { program: 7, name, ours: false, native: true, link: Some(9) })
    };
    let veth = |features, peer: Option<bool>| {
        with(|interface| {
            interface.driver = Some("veth".to_owned());
            interface.xdp_features = features;
            interface.peer = peer.map(|xdp| Peer { name: "far".to_owned(), xdp });
        })
    };
    let on = |offload: &str| with(|eth0| eth0.offloads = Some([offload.to_owned()].into()));
    vec![
        (
            "refused",
            general(|f| f.kernel.program = Trial::Refused("no".to_owned())),
            Check::Kernel,
            Verdict::Fail,
            "uname -r",
        ),
        (
            "not allowed",
            general(|f| f.kernel.program = Trial::NotAllowed),
            Check::Kernel,
            Verdict::Unknown,
            "sudo elb doctor",
        ),
        (
            "no JIT",
            general(|f| f.kernel.jit = Some(0)),
            Check::Kernel,
            Verdict::Warn,
            "sysctl -w net.core.bpf_jit_enable=1",
        ),
        (
            "old",
            general(|f| f.kernel.release = "5.15.0-91-generic".to_owned()),
            Check::Kernel,
            Verdict::Warn,
            "uname -r",
        ),
        (
            "no capability",
            general(|f| f.capabilities = Some(0)),
            Check::Capabilities,
            Verdict::Fail,
            "sudo elb agent",
        ),
        (
            "no CAP_NET_RAW",
            general(|f| f.capabilities = Some(!(1 << 13))),
            Check::Capabilities,
            Verdict::Warn,
            "sudo elb agent",
        ),
        (
            "no bpffs",
            general(|f| f.bpffs = Bpffs::Missing),
            Check::Bpffs,
            Verdict::Fail,
            "mkdir -p /sys/fs/bpf && mount -t bpf bpf /sys/fs/bpf",
        ),
        (
            "another's bpffs",
            general(|f| f.bpffs = Bpffs::ReadOnly),
            Check::Bpffs,
            Verdict::Fail,
            "sudo elb agent",
        ),
        (
            "another agent has the pin directory",
            general(|f| {
                f.holders = vec!["pin_dir /sys/fs/bpf/elb is in use by process 7".to_owned()];
            }),
            Check::Owner,
            Verdict::Fail,
            "stop that process",
        ),
        (
            "a virtual address of the host's own",
            general(|f| f.own_vips = own_vip(None, false)),
            Check::OwnAddress,
            Verdict::Warn,
            "ip address show to 192.0.2.10",
        ),
        (
            "a listener that takes the host's ssh",
            general(|f| f.own_vips = own_vip(Some("listener \"all\" takes ssh"), false)),
            Check::OwnAddress,
            Verdict::Fail,
            "ip address show to 192.0.2.10; ip address del 192.0.2.10 dev eth0",
        ),
        (
            "a listener that may take it",
            general(|f| f.own_vips = own_vip(Some("listener \"all\" takes ssh"), true)),
            Check::OwnAddress,
            Verdict::Warn,
            "ip address show to",
        ),
        (
            "a full disk",
            general(|f| f.state_dir = state_dir(Room::Free { bytes: 0, files: true })),
            Check::StateDir,
            Verdict::Fail,
            "df -h /var/lib/elb/elb",
        ),
        (
            "no inode",
            general(|f| f.state_dir = state_dir(Room::Free { bytes: 1 << 30, files: false })),
            Check::StateDir,
            Verdict::Fail,
            "df -h /var/lib/elb/elb",
        ),
        (
            "a read-only disk",
            general(|f| f.state_dir = state_dir(Room::ReadOnly)),
            Check::StateDir,
            Verdict::Fail,
            "findmnt -T /var/lib/elb/elb",
        ),
        (
            "a disk that is nearly full",
            general(|f| f.state_dir = state_dir(Room::Free { bytes: 100 << 10, files: true })),
            Check::StateDir,
            Verdict::Warn,
            "df -h /var/lib/elb/elb",
        ),
        (
            "clock",
            general(|f| f.synchronised = Some(false)),
            Check::Clock,
            Verdict::Warn,
            "timedatectl set-ntp true",
        ),
        (
            "no interface",
            general(|f| f.interfaces.clear()),
            Check::Interface,
            Verdict::Fail,
            "ip -brief link",
        ),
        (
            "down",
            with(|eth0| eth0.up = false),
            Check::Interface,
            Verdict::Fail,
            "ip link set dev eth0 up",
        ),
        (
            "no carrier",
            with(|eth0| eth0.carrier = false),
            Check::Interface,
            Verdict::Fail,
            "ip link show dev eth0",
        ),
        (
            "no native XDP",
            with(|eth0| eth0.xdp_features = Some(0)),
            Check::NativeXdp,
            Verdict::Fail,
            "set attach_mode = \"generic\"",
        ),
        (
            "before 6.3, unknown driver",
            with(|eth0| {
                (eth0.xdp_features, eth0.driver) = (None, Some("e1000".to_owned()));
            }),
            Check::NativeXdp,
            Verdict::Fail,
            "set attach_mode = \"generic\"",
        ),
        (
            "before 6.3, no driver",
            with(|eth0| (eth0.xdp_features, eth0.driver) = (None, None)),
            Check::NativeXdp,
            Verdict::Unknown,
            "ethtool -i eth0",
        ),
        (
            "veth without XDP behind",
            veth(Some(3), Some(false)),
            Check::NativeXdp,
            Verdict::Fail,
            "xdp-loader load -m native far",
        ),
        (
            "veth, GRO alone behind",
            veth(Some(7), Some(false)),
            Check::NativeXdp,
            Verdict::Fail,
            "xdp-loader load -m native far",
        ),
        (
            "veth, behind not visible",
            veth(Some(7), None),
            Check::NativeXdp,
            Verdict::Unknown,
            "sudo elb doctor",
        ),
        (
            "veth, behind not visible, nothing there",
            veth(Some(3), None),
            Check::NativeXdp,
            Verdict::Fail,
            "xdp-loader",
        ),
        (
            "veth with fewer queues",
            veth(Some(0), None),
            Check::NativeXdp,
            Verdict::Fail,
            "ethtool -l eth0",
        ),
        (
            "foreign, native",
            with(|eth0| eth0.attached = foreign(true, None)),
            Check::OtherXdp,
            Verdict::Fail,
            "ip link set dev eth0 xdp off",
        ),
        (
            "foreign, generic",
            with(|eth0| eth0.attached = foreign(false, None)),
            Check::OtherXdp,
            Verdict::Fail,
            "ip link set dev eth0 xdpgeneric off",
        ),
        (
            "whose is not known",
            with(|eth0| eth0.attached = attached(None)),
            Check::OtherXdp,
            Verdict::Unknown,
            "sudo elb doctor",
        ),
        (
            "another elb's",
            with(|eth0| eth0.attached = attached(Some("elb"))),
            Check::OtherXdp,
            Verdict::Fail,
            "elb detach --config FILE",
        ),
        (
            "foreign, by a link",
            with(|eth0| eth0.attached = foreign(true, Some(9))),
            Check::OtherXdp,
            Verdict::Fail,
            "bpftool link detach id 9",
        ),
        ("LRO", on("rx-lro"), Check::Offloads, Verdict::Fail, "ethtool -K eth0 lro off"),
        ("GRO", on("rx-gro-hw"), Check::Offloads, Verdict::Warn, "ethtool -K eth0 rx-gro-hw off"),
        (
            "one queue",
            with(|eth0| eth0.queues = Some(Queues { now: 1, most: 64, combined: true })),
            Check::Queues,
            Verdict::Warn,
            "ethtool -L eth0 combined 2",
        ),
        (
            "RSS to one queue",
            with(|eth0| eth0.rss = vec![1; 128]),
            Check::Queues,
            Verdict::Warn,
            "ethtool -X eth0 equal 2",
        ),
        (
            "uneven RSS",
            with(|eth0| {
                eth0.queues = Some(Queues { now: 4, most: 64, combined: true });
                eth0.rss = [vec![0; 9], vec![1, 2, 3], vec![1, 2, 3], vec![1]].concat();
            }),
            Check::Queues,
            Verdict::Warn,
            "ethtool -X eth0 equal 4",
        ),
        (
            "one CPU",
            with(|eth0| eth0.interrupts = [24, 25].map(|n| (n, [0].into())).into()),
            Check::Queues,
            Verdict::Warn,
            "echo 0 > /proc/irq/24/smp_affinity_list\necho 1 >",
        ),
        (
            "too small",
            general(|f| f.network.links.get_mut(&2).unwrap().mtu = 1500),
            Check::Mtu,
            Verdict::Warn,
            "ip link set dev eth0 mtu 1520",
        ),
        (
            "strict, other way",
            general(|f| {
                f.rp_filter_all = Some(1);
                f.network.routes.insert(address("192.0.2.10"), via(3, None));
            }),
            Check::RpFilter,
            Verdict::Fail,
            "sysctl -w net.ipv4.conf.eth0.rp_filter=2",
        ),
    ]
}

#[test]
fn each_trouble_is_named_with_its_fix_and_nothing_else_is() {
    for (name, facts, check, verdict, fix) in cases() {
        let report = judge(&duty(), &facts);
        let finding = report.finding(check).unwrap();
        assert_eq!(finding.verdict, verdict, "{name}: {finding:?}");
        assert!(finding.fix.as_ref().unwrap().starts_with(fix), "{name}: {finding:?}");
        let cause = (verdict == Verdict::Fail).then_some(check);
        assert_eq!(report.cause, cause, "{name}");
        let others = report.findings.iter().filter(|other| other.check != check);
        for other in others {
            assert_eq!(other.verdict, Verdict::Pass, "{name}: {other:?}");
        }
    }
}

#[test]
fn what_looks_alike_is_no_trouble() {
    let ours = |eth0: &mut Interface| {
        let name = Some("elb".to_owned());
        eth0.attached =
            Some(Attached { program: 7, name, ours: true, native: true, link: Some(1) });
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
        let wrong = report.findings.iter().find(|finding| finding.verdict != Verdict::Pass);
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
    assert_eq!(report.finding(Check::NativeXdp).unwrap().verdict, Verdict::NotApplicable);
    // But of whoever joins packets.
    let offloads = report.finding(Check::Offloads).unwrap();
    assert_eq!(offloads.verdict, Verdict::Warn);
    assert!(offloads.fix.as_ref().unwrap().contains("ethtool -K eth0 gro off lro off"));
}

#[test]
fn ipv6_cannot_be_told_a_size_below_its_least() {
    let mut duty = duty();
    duty.vips.push(address("2001:db8::10"));
    let sized = |mtu| {
        let mut facts = facts();
        facts.network.links.get_mut(&2).unwrap().mtu = mtu;
        judge(&duty, &facts).finding(Check::Mtu).unwrap().verdict
    };
    assert_eq!(
        [1520, 1519, 1300, 1299].map(sized),
        [Verdict::Pass, Verdict::Warn, Verdict::Warn, Verdict::Fail]
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
    facts.interfaces.insert("eth1".to_owned(), Interface { queues: one, ..interface() });
    let report = judge(&duty, &facts);
    let queues = report.finding(Check::Queues).unwrap();
    assert_eq!((queues.verdict, queues.basis), (Verdict::Warn, Basis::Seen));
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
