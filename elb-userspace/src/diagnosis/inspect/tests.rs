//! What the checks conclude from facts.

mod answers;

use std::collections::{BTreeMap, HashMap};

use super::facts::{Defaults, Load, Network, Process, Route, Socket, Wrappers};
use super::*;
use crate::backend::Recorded;
use crate::diagnosis::inspect::filter::Ruleset;
use crate::diagnosis::report::Conclusion;
use crate::kernel::net::links::{Address, Link};
use crate::model::transport::TransportProtocol::{Tcp, Udp};

fn asked() -> InspectRequest {
    InspectRequest {
        protocol: Tcp,
        port: Some(80),
        from: vec!["10.0.0.2".parse().unwrap()],
        to: vec!["10.0.0.11".parse().unwrap()],
        vips: Vec::new(),
        mode: None,
        outer: Vec::new(),
        clients: Vec::new(),
        direct: false,
    }
}

/// A host on which nginx serves port 80, and nothing is wrong.
fn facts() -> Facts {
    let socket = Socket {
        protocol: Tcp,
        address: "0.0.0.0".parse().unwrap(),
        port: 80,
        v6_only: false,
        interface: 0,
        inode: 7,
        waiting: 0,
        backlog: 128,
    };
    let nginx = Process {
        id: 12,
        name: "nginx".to_owned(),
        files: Some(20),
        most_files: Some(1024),
        wrapped: Some(true),
        ..Process::default()
    };
    let link = Link { index: 2, name: "eth0".to_owned(), up: true, arp: true, ..Link::default() };
    let link = Link { mtu: 1500, ..link };
    let address = Address { ip: "10.0.0.11".parse().unwrap(), prefix: 24, index: 2 };
    let route = Route::Via { interface: "eth0".to_owned(), gateway: None, source: None };
    Facts {
        host: "web-1".to_owned(),
        sockets: Ok(vec![socket]),
        processes: HashMap::from([(7, nginx)]),
        filter: Ok(Ruleset::default()),
        network: Ok(Network { links: vec![link], addresses: vec![address] }),
        routes: vec![("10.0.0.2".parse().unwrap(), Ok(route))],
        clients: Vec::new(),
        defaults: Ok(Defaults { v4: Some("eth0".to_owned()), v6: Some("eth0".to_owned()) }),
        gateways: Ok(vec!["10.0.0.1".parse().unwrap()]),
        backend: Ok(Recorded::default()),
        sysctls: BTreeMap::new(),
        settings: Ok(Vec::new()),
        load: Load { average: Some(0.5), cpus: 2, ..Load::default() },
        wrappers: Ok(Wrappers::default()),
        xdp: Ok(None),
        place: String::new(),
    }
}

fn conclude_with(change: impl FnOnce(&mut InspectRequest, &mut Facts)) -> Report {
    let (mut asked, mut facts) = (asked(), facts());
    change(&mut asked, &mut facts);
    conclude(asked, &facts).report
}

/// What is reported about a check.
fn finding_of(report: &Report, check: Check) -> (Outcome, &str, Option<&str>) {
    let finding = report.finding(check).unwrap();
    (finding.outcome, &finding.evidence, finding.fix.as_deref())
}

#[test]
fn nothing_is_wrong_with_a_good_host() {
    let report = conclude_with(|_, _| {});
    assert_eq!(report.conclusion, Conclusion::Healthy, "{report:#?}");
    let listening = finding_of(&report, Check::Listening);
    assert_eq!(listening, (Outcome::Pass, "nginx (process 12) on 0.0.0.0:80/tcp listens", None));
}

#[test]
fn what_cannot_be_read_is_unknown_and_the_whole_undecided() {
    let report = conclude_with(|_, facts| facts.filter = Err("run as root".to_owned()));
    assert_eq!(finding_of(&report, Check::Firewall), (Outcome::Unknown, "run as root", None));
    assert_eq!((report.conclusion, report.cause), (Conclusion::Undecided, None));
}

#[test]
fn a_failed_check_comes_before_an_unknown_one() {
    let report = conclude_with(|_, facts| {
        facts.filter = Err("run as root".to_owned());
        facts.routes[0].1 = Ok(Route::None);
    });
    assert_eq!((report.conclusion, report.cause), (Conclusion::CauseFound, Some(Check::Route)));
    let (_, evidence, fix) = finding_of(&report, Check::Route);
    assert!(evidence.starts_with("there is no route to 10.0.0.2, though eth0 has 10.0.0.11/24"));
    assert_eq!(fix, Some("ip route add 10.0.0.0/24 dev eth0 src 10.0.0.11"));
}

#[test]
fn used_up_resources_are_causes_and_nearly_used_up_ones_warnings() {
    for (files, connections, outcome) in [
        ((1000, 1000), (0, 9), Outcome::Fail),
        ((950, 1000), (0, 9), Outcome::Warn),
        ((9, 1000), (70_000, 65_536), Outcome::Fail),
        ((9, 1000), (9, 65_536), Outcome::Pass),
    ] {
        let report = conclude_with(|_, facts| {
            facts.load.files = Some(files);
            facts.load.connections = Some(connections);
        });
        assert_eq!(finding_of(&report, Check::Load).0, outcome);
    }
    let report = conclude_with(|_, facts| facts.load.average = Some(8.5));
    assert_eq!(finding_of(&report, Check::Load).0, Outcome::Warn);
    let report = conclude_with(|_, facts| {
        facts.load.counters.insert("ListenOverflows".to_owned(), 3);
    });
    assert_eq!(finding_of(&report, Check::Load).0, Outcome::Warn);
    assert_eq!(report.conclusion, Conclusion::Healthy);
}

#[test]
fn hosts_deny_is_a_cause_only_where_it_is_heeded() {
    for (wrapped, outcome) in
        [(Some(true), Outcome::Fail), (None, Outcome::Warn), (Some(false), Outcome::Pass)]
    {
        let report = conclude_with(|_, facts| {
            facts.wrappers = Ok(Wrappers { allow: None, deny: Some("nginx: ALL\n".to_owned()) });
            facts.processes.get_mut(&7).unwrap().wrapped = wrapped;
        });
        assert_eq!(finding_of(&report, Check::HostsDeny).0, outcome);
    }
}

#[test]
fn a_rarer_port_unreachable_is_a_warning_for_udp() {
    let report = conclude_with(|asked, facts| {
        asked.protocol = Udp;
        facts.sockets.as_mut().unwrap()[0].protocol = Udp;
        facts.sysctls.insert("net.ipv4.icmp_ratelimit".to_owned(), 60_000);
        facts.sysctls.insert("net.ipv4.icmp_ratemask".to_owned(), 6168);
    });
    assert_eq!(finding_of(&report, Check::Sysctls).0, Outcome::Warn);
    assert_eq!(report.conclusion, Conclusion::Healthy);
}

#[test]
fn a_kernel_device_takes_headers_off_as_well() {
    let question = |kind: &str, mode| {
        conclude_with(|asked, facts| {
            asked.mode = Some(mode);
            let link = Link { name: "tunl0".to_owned(), up: true, ..Link::default() };
            let link = Link { kind: Some(kind.to_owned()), ..link };
            facts.network.as_mut().unwrap().links.push(link);
        })
    };
    use crate::backend::Mode;
    for (kind, mode, outcome) in [
        ("ipip", Mode::Ipip, Outcome::Warn),
        ("veth", Mode::Ipip, Outcome::Fail),
        // GUE arrives at a UDP port, which no process has here.
        ("ipip", Mode::Gue, Outcome::Fail),
    ] {
        assert_eq!(finding_of(&question(kind, mode), Check::Decapsulation).0, outcome, "{kind}");
    }
}

/// Asked about a virtual address, which is on `lo` next to a tunnel's program.
fn with_vip(vip: &str, mode: crate::backend::Mode, change: impl FnOnce(&mut Facts)) -> Report {
    conclude_with(|asked, facts| {
        let vip = vip.parse().unwrap();
        (asked.vips, asked.mode) = (vec![vip], Some(mode));
        let network = facts.network.as_mut().unwrap();
        network.links.push(Link { index: 1, name: "lo".to_owned(), up: true, ..Link::default() });
        network.addresses.push(Address { ip: vip, prefix: 32, index: 1 });
        facts.xdp = Ok(Some(("elb_decap".to_owned(), true)));
        facts.backend = Ok(Recorded {
            vips: vec![vip],
            interfaces: vec!["eth0".to_owned()],
            unwrapped: vec![vip],
            from: Some(vec!["10.0.0.2".parse().unwrap()]),
            ..Recorded::default()
        });
        change(facts);
    })
}

#[test]
fn packets_must_fit_with_their_outer_headers() {
    use crate::backend::Mode;
    for (vip, mode, mtu, outcome) in [
        ("192.0.2.10", Mode::L2, 1500, Outcome::Pass),
        ("192.0.2.10", Mode::L2, 1499, Outcome::Warn),
        ("192.0.2.10", Mode::Ipip, 1520, Outcome::Pass),
        ("192.0.2.10", Mode::Ipip, 1519, Outcome::Warn),
        ("192.0.2.10", Mode::Gue, 1531, Outcome::Warn),
        ("192.0.2.10", Mode::Ipip, 1200, Outcome::Warn),
        ("2001:db8::10", Mode::Ipip, 1300, Outcome::Warn),
        ("2001:db8::10", Mode::Ipip, 1299, Outcome::Fail),
    ] {
        let report = with_vip(vip, mode, |facts| {
            facts.network.as_mut().unwrap().links[0].mtu = mtu;
        });
        assert_eq!(finding_of(&report, Check::Mtu).0, outcome, "{vip} {mode:?} {mtu}");
    }
    let report = conclude_with(|_, _| {});
    assert_eq!(finding_of(&report, Check::Mtu).0, Outcome::NotApplicable);
}

#[test]
fn what_only_direct_probes_meet_is_a_warning() {
    let bound_to = |address: &str| {
        let address = address.parse().unwrap();
        let report = with_vip("192.0.2.10", crate::backend::Mode::Ipip, |facts| {
            facts.sockets.as_mut().unwrap()[0].address = address;
        });
        finding_of(&report, Check::Listening).0
    };
    assert_eq!(bound_to("192.0.2.10"), Outcome::Warn);
    assert_eq!(bound_to("10.0.0.11"), Outcome::Fail);
    assert_eq!(bound_to("0.0.0.0"), Outcome::Pass);
}

#[test]
fn what_direct_probes_meet_decides_where_all_are_direct() {
    let bound_to_vip = |direct| {
        let report = conclude_with(|asked, facts| {
            (asked.vips, asked.direct) = (vec!["192.0.2.10".parse().unwrap()], direct);
            facts.sockets.as_mut().unwrap()[0].address = asked.vips[0];
        });
        finding_of(&report, Check::Listening).0
    };
    assert_eq!(bound_to_vip(false), Outcome::Warn);
    assert_eq!(bound_to_vip(true), Outcome::Fail);
}

#[test]
fn probes_come_in_where_their_address_is() {
    let from = "10.0.0.2".parse().unwrap();
    let (mut asked, mut facts) = (asked(), facts());
    let route = |interface: &str| Route::Via {
        interface: interface.to_owned(),
        gateway: None,
        source: None,
    };
    facts.routes = vec![(from, Ok(route("eth1")))];
    assert_eq!(facts.interface(&asked).as_deref(), Some("eth0"));
    facts.routes = vec![(from, Ok(Route::None))];
    assert_eq!(facts.interface(&asked).as_deref(), Some("eth0"));
    facts.routes = vec![(from, Ok(route("eth1")))];
    asked.to = vec!["10.0.0.12".parse().unwrap()];
    assert_eq!(facts.interface(&asked).as_deref(), Some("eth1"));
}

#[test]
fn a_process_that_is_stopped_answers_no_client() {
    let report = conclude_with(|_, facts| facts.processes.get_mut(&7).unwrap().stopped = true);
    let (outcome, evidence, fix) = finding_of(&report, Check::Load);
    assert_eq!((outcome, fix), (Outcome::Fail, Some("kill -CONT 12")));
    assert!(evidence.contains("nginx (process 12) is stopped"), "{evidence}");
}

#[test]
fn of_two_sysctls_the_greater_counts() {
    use crate::backend::{Mode, Sysctl, SysctlKey, WantedSysctl};
    for (all, eth0, outcome) in
        [(1, 1, Outcome::Pass), (0, 1, Outcome::Warn), (1, 0, Outcome::Warn), (0, 0, Outcome::Fail)]
    {
        let report = with_vip("192.0.2.10", Mode::L2, |facts| {
            let wanted = |name: &str, from| WantedSysctl {
                sysctl: Sysctl { interface: name.to_owned(), key: SysctlKey::ArpIgnore },
                from,
                to: 1,
            };
            facts.settings = Ok(vec![wanted("all", all), wanted("eth0", eth0)]);
        });
        assert_eq!(finding_of(&report, Check::Sysctls).0, outcome, "{all} {eth0}");
    }
}

#[test]
fn an_ignored_echo_request_matters_to_its_version_of_ip() {
    for (key, outcome) in [
        ("net.ipv4.icmp_echo_ignore_all", Outcome::Fail),
        ("net.ipv6.icmp.echo_ignore_all", Outcome::Pass),
    ] {
        let report = conclude_with(|asked, facts| {
            asked.protocol = Udp;
            facts.sockets.as_mut().unwrap()[0].protocol = Udp;
            facts.sysctls.insert(key.to_owned(), 1);
        });
        assert_eq!(finding_of(&report, Check::Sysctls).0, outcome, "{key}");
    }
}

#[test]
fn an_inspection_answers_only_what_was_asked() {
    let report = Report::new("web-1", true, Vec::new());
    let question = asked();
    let answer = |asked: InspectRequest| {
        let inspection = Inspection { host: "web-1".to_owned(), asked, report: report.clone() };
        inspection.answer_to(&question)
    };
    let more =
        InspectRequest { from: vec!["10.0.0.3".parse().unwrap(), asked().from[0]], ..asked() };
    assert_eq!(answer(asked()), Ok(report.clone()));
    assert_eq!(answer(more), Ok(report.clone()));
    assert_eq!(answer(InspectRequest { to: Vec::new(), ..asked() }), Ok(report.clone()));
    let direct = InspectRequest { direct: true, ..asked() };
    let inspection =
        Inspection { host: "web-1".to_owned(), asked: asked(), report: report.clone() };
    assert!(inspection.answer_to(&direct).unwrap_err().contains("the member has direct ones"));
    let other: std::net::IpAddr = "10.0.0.9".parse().unwrap();
    for (asked, what) in [
        (InspectRequest { protocol: Udp, ..asked() }, "is about the protocol udp"),
        (
            InspectRequest { port: Some(81), ..asked() },
            "is about the port 81, and the member has 80",
        ),
        (InspectRequest { port: None, ..asked() }, "is about the port none, and the member has 80"),
        (InspectRequest { from: Vec::new(), ..asked() }, "is about probes from none"),
        (InspectRequest { to: vec![other], ..asked() }, "is about the address 10.0.0.9"),
    ] {
        let refused = answer(asked).unwrap_err();
        assert!(refused.contains(what), "{refused}");
    }
}

#[test]
fn who_may_send_tunnel_packets_is_looked_at() {
    use crate::backend::{Mode, any_source};
    let lets_in = |from: Option<&[&str]>, outer: &str| {
        let from = from.map(|all| {
            all.iter()
                .map(|one| if *one == "any" { any_source() } else { one.parse().unwrap() })
                .collect()
        });
        let (mut asked, mut facts) = (asked(), facts());
        asked.vips = vec!["192.0.2.10".parse().unwrap()];
        (asked.mode, asked.outer) = (Some(Mode::Ipip), vec![outer.parse().unwrap()]);
        facts.xdp = Ok(Some(("decap".to_owned(), true)));
        facts.backend = Ok(Recorded {
            vips: asked.vips.clone(),
            interfaces: vec!["eth0".to_owned()],
            unwrapped: asked.vips.clone(),
            from,
            ..Recorded::default()
        });
        conclude(asked, &facts).report
    };
    for (from, outer, outcome, what, fix) in [
        (Some(&["10.0.0.2"][..]), "10.0.0.2", Outcome::Pass, "from the load balancers only", None),
        (Some(&["10.0.0.0/24"]), "10.0.0.2", Outcome::Pass, "knows the addresses", None),
        (
            Some(&["10.0.0.3"]),
            "10.0.0.2",
            Outcome::Fail,
            "drops tunnel packets from 10.0.0.2, the load balancer",
            Some("--mode ipip --from 10.0.0.3/32 --from 10.0.0.2 --interface eth0"),
        ),
        (Some(&["any"]), "10.0.0.2", Outcome::Warn, "from any sender", Some("--from 10.0.0.2 ")),
        (None, "10.0.0.2", Outcome::Warn, "of an older version", Some("--from 10.0.0.2 ")),
    ] {
        let report = lets_in(from, outer);
        let (found, evidence, fix_found) = finding_of(&report, Check::Decapsulation);
        assert_eq!(found, outcome, "{from:?}: {evidence}");
        assert!(evidence.contains(what), "{evidence}");
        let wanted = fix.unwrap_or_default();
        assert!(
            fix_found.unwrap_or_default().contains(wanted) && fix_found.is_some() == fix.is_some(),
            "{fix_found:?}"
        );
    }
}

#[test]
fn strict_reverse_path_filtering_is_a_cause_only_where_it_drops() {
    use crate::backend::{Mode, Sysctl, SysctlKey, WantedSysctl};
    let via = |name: &str| Route::Via { interface: name.to_owned(), gateway: None, source: None };
    let strict = |default: Option<&str>, client: Option<Route>| {
        let (mut asked, mut facts) = (asked(), facts());
        asked.vips = vec!["192.0.2.10".parse().unwrap()];
        asked.mode = Some(Mode::Ipip);
        let sysctl = Sysctl { interface: "eth0".to_owned(), key: SysctlKey::RpFilter };
        facts.settings = Ok(vec![WantedSysctl { sysctl, from: 1, to: 2 }]);
        facts.defaults = Ok(Defaults { v4: default.map(str::to_owned), v6: None });
        if let Some(route) = client {
            let client: std::net::IpAddr = "203.0.113.7".parse().unwrap();
            asked.clients = vec![client];
            facts.clients = vec![(client, Ok(route))];
        }
        let report = conclude(asked, &facts).report;
        finding_of(&report, Check::Sysctls).0
    };
    assert_eq!(strict(Some("eth0"), None), Outcome::Pass);
    assert_eq!(strict(Some("eth1"), None), Outcome::Fail);
    assert_eq!(strict(Some("eth1"), Some(via("eth0"))), Outcome::Pass);
    assert_eq!(strict(Some("eth0"), Some(via("eth1"))), Outcome::Fail);
    assert_eq!(strict(Some("eth0"), Some(Route::None)), Outcome::Fail);
    assert_eq!(strict(None, None), Outcome::Pass);
}

#[test]
fn the_way_back_to_clients_is_looked_at() {
    use crate::backend::Mode;
    let back = |default: Option<&str>, clients: &[(&str, Route)]| {
        let (mut asked, mut facts) = (asked(), facts());
        (asked.vips, asked.mode) = (vec!["192.0.2.10".parse().unwrap()], Some(Mode::Ipip));
        facts.defaults = Ok(Defaults { v4: default.map(str::to_owned), v6: None });
        for (client, route) in clients {
            asked.clients.push(client.parse().unwrap());
            facts.clients.push((client.parse().unwrap(), Ok(route.clone())));
        }
        conclude(asked, &facts).report
    };
    let via = Route::Via { interface: "eth0".to_owned(), gateway: None, source: None };
    assert_eq!(finding_of(&back(Some("eth0"), &[]), Check::Route).0, Outcome::Pass);
    let report = back(None, &[]);
    let (outcome, evidence, fix) = finding_of(&report, Check::Route);
    assert_eq!(outcome, Outcome::Warn);
    assert!(
        evidence.starts_with("there is no default route for IPv4: clients outside"),
        "{evidence}"
    );
    assert_eq!(fix, Some("ip route add default via GATEWAY dev eth0"));
    assert_eq!(
        finding_of(&back(None, &[("203.0.113.7", via.clone())]), Check::Route).0,
        Outcome::Pass
    );
    let report = back(None, &[("203.0.113.7", via), ("203.0.113.8", Route::None)]);
    assert_eq!(
        (report.cause, finding_of(&report, Check::Route).0),
        (Some(Check::Route), Outcome::Fail)
    );
}

/// A tunnel device of the kernel accepts packets from any sender, until the rule that is offered drops those of
/// strangers. The listing is what `nft --json` prints of it.
#[test]
fn an_open_tunnel_device_is_a_warning_until_a_rule_guards_it() {
    use crate::backend::Mode;
    let guarded = |l4proto: &str| {
        let json = format!(
            r#"{{"nftables": [{{"table": {{"family": "inet", "name": "elb", "handle": 1}}}},
            {{"chain": {{"family": "inet", "table": "elb", "name": "tunnels", "handle": 1,
                "type": "filter", "hook": "input", "prio": -150, "policy": "accept"}}}},
            {{"rule": {{"family": "inet", "table": "elb", "chain": "tunnels", "handle": 3, "expr": [
                {{"match": {{"op": "==", "left": {{"meta": {{"key": "l4proto"}}}}, "right": {l4proto}}}}},
                {{"match": {{"op": "!=", "left": {{"payload": {{"protocol": "ip", "field": "saddr"}}}},
                    "right": "10.0.0.2"}}}}, {{"drop": null}}]}}}}]}}"#
        );
        filter::nft::read(json.as_bytes(), "").unwrap().rules
    };
    let ask = |mode, filter: Option<Ruleset>| {
        conclude_with(|asked, facts| {
            asked.vips = vec!["192.0.2.10".parse().unwrap()];
            (asked.mode, asked.outer) = (Some(mode), vec!["10.0.0.2".parse().unwrap()]);
            let link = Link { index: 9, name: "tunl0".to_owned(), up: true, ..Link::default() };
            let link = Link { kind: Some("ipip".to_owned()), ..link };
            let lo = Link { index: 1, name: "lo".to_owned(), up: true, ..Link::default() };
            let network = facts.network.as_mut().unwrap();
            network.links.extend([link, lo]);
            network.addresses.push(Address { ip: asked.vips[0], prefix: 32, index: 1 });
            let sockets = facts.sockets.as_mut().unwrap();
            sockets.push(Socket { protocol: Udp, port: 6080, ..sockets[0].clone() });
            if let Some(rules) = filter {
                facts.filter = Ok(rules);
            }
        })
    };
    for (mode, words) in [(Mode::Ipip, "meta l4proto { 4, 41 }"), (Mode::Gue, "udp dport 6080")] {
        let report = ask(mode, None);
        let (outcome, evidence, fix) = finding_of(&report, Check::Decapsulation);
        assert_eq!(outcome, Outcome::Warn, "{evidence}");
        assert!(evidence.starts_with("tunl0 accepts tunnel packets from any sender"), "{evidence}");
        let fix = fix.unwrap();
        assert!(fix.contains(words) && fix.contains("ip saddr != { 10.0.0.2 } drop"), "{fix}");
        assert_ne!(report.cause, Some(Check::Decapsulation));
    }
    let report = ask(Mode::Ipip, Some(guarded(r#"{"set": ["ipencap", "ipv6"]}"#)));
    let (outcome, evidence, _) = finding_of(&report, Check::Decapsulation);
    assert_eq!(outcome, Outcome::Pass, "{evidence}");
    // A rule for something else keeps no sender out.
    let report = ask(Mode::Ipip, Some(guarded(r#"{"set": ["tcp", "udp"]}"#)));
    assert_eq!(finding_of(&report, Check::Decapsulation).0, Outcome::Warn);
}
