//! What is seen from outside, and the cause that it must name.

mod laws;

use std::time::Duration;

use elb_common::addr::Mac;

use super::*;
use crate::diagnosis::evidence::{Asked, Health, Lapses, Large, Looks, Quiet, Served, Way};
use crate::diagnosis::report::Conclusion;
use crate::health::probe::{Outcome, ProbeSpec};
use crate::health::{Cause, Failure, Stage};
use crate::model::monitor::{self, HttpCheck, HttpMethod, ProbePath};
use crate::model::{Forwarding, Protocol};
use crate::nexthop::{NextHop, Unreachable};

const MEMBER_ADDRESS: [u8; 4] = [10, 0, 0, 11];
const ROUTER: [u8; 4] = [10, 1, 0, 1];

/// A member of an `ipip` pool on the load balancer's own segment, probed by TCP, that works.
fn healthy() -> Evidence {
    let target = (MEMBER_ADDRESS, 80).into();
    let served = Served {
        balancer: "lb".to_owned(),
        listener: "http".to_owned(),
        protocol: Protocol::Tcp,
        vips: vec![[10, 0, 0, 100].into()],
        was_bound: true,
        enabled: true,
    };
    let mac = Mac::new([2, 0, 0, 0, 0, 11]);
    let hop = NextHop { ifindex: 2, mac, source_mac: mac, source: None, mtu: 1600 };
    Evidence {
        wanted: Wanted {
            file: "/etc/elb/elb.toml".into(),
            pool: PoolWanted {
                name: "web".to_owned(),
                protocol: Protocol::Tcp,
                forwarding: Forwarding::Ipip,
                listeners: vec![served],
                others: vec!["lb/https".to_owned()],
            },
            member: "b1".to_owned(),
            service: target,
            probe: Some(probe(monitor::Check::Tcp)),
            max_retries: 3,
            delay: Duration::from_secs(5),
        },
        health: Health {
            status: Status::Online,
            since: "2026-01-01T00:00:00Z".to_owned(),
            reason: None,
            lapses: Lapses::default(),
        },
        way: Way {
            next_hop: Ok(hop),
            interface: "eth0".to_owned(),
            gateway: None,
            source: Some([10, 0, 0, 2].into()),
            vip: Err("nobody leads probes".to_owned()),
        },
        looks: Looks {
            probe: Some(outcome(Ok(()))),
            control: Some(refused(MEMBER_ADDRESS)),
            echo: Some(Ok(())),
            neighbor: Some(true),
            quiet: Some(Quiet::Stays),
            large: Some(Large { bytes: 1520, answer: Ok(()) }),
            ..Looks::default()
        },
        inspection: None,
    }
}

fn probe(check: monitor::Check) -> ProbeSpec {
    ProbeSpec {
        target: (MEMBER_ADDRESS, 80).into(),
        source: None,
        timeout: Duration::from_secs(3),
        check,
        vip: None,
        lead: None,
        default_host: [10, 0, 0, 100].into(),
    }
}

fn http(path: &str) -> monitor::Check {
    monitor::Check::Http(HttpCheck {
        http_method: HttpMethod::Get,
        url_path: path.parse().unwrap(),
        domain_name: None,
        expected_codes: Default::default(),
    })
}

fn grpc() -> monitor::Check {
    monitor::Check::Grpc(monitor::GrpcCheck {
        http_method: HttpMethod::Post,
        url_path: monitor::UrlPath::grpc_health(),
        domain_name: None,
        expected_codes: Default::default(),
    })
}

fn outcome(result: Result<(), Cause>) -> Outcome {
    Outcome {
        result: result.map_err(Failure::new),
        duration: Duration::from_millis(1),
        path: ProbePath::Direct,
        other: None,
    }
}

fn refused(by: [u8; 4]) -> Outcome {
    outcome(Err(Cause::Refused { by: by.into() }))
}

fn silence() -> Outcome {
    outcome(Err(Cause::Timeout { stage: Stage::Connect }))
}

/// As [`healthy`], but its probes fail with `cause`, and nothing else was found.
fn failing(cause: Cause) -> Evidence {
    let mut evidence = healthy();
    evidence.health.status = Status::Offline;
    evidence.health.reason = Some(cause.clone().into());
    evidence.looks = Looks {
        probe: Some(outcome(Err(cause))),
        control: Some(refused(MEMBER_ADDRESS)),
        echo: Some(Ok(())),
        neighbor: Some(true),
        ..Looks::default()
    };
    evidence
}

fn changed(mut evidence: Evidence, change: impl FnOnce(&mut Evidence)) -> Evidence {
    change(&mut evidence);
    evidence
}

/// As [`failing`] without a word from the probed port.
fn silent(control: Outcome, echo: bool) -> Evidence {
    changed(failing(Cause::Timeout { stage: Stage::Connect }), |evidence| {
        evidence.looks.control = Some(control);
        evidence.looks.echo = Some(if echo { Ok(()) } else { Err(Cause::NoEchoReply) });
        evidence.looks.stray = Some(false);
    })
}

fn behind_a_router(evidence: &mut Evidence) {
    evidence.way.gateway = Some(ROUTER.into());
}

fn fix_of(report: &Report) -> String {
    let cause = report.cause.and_then(|check| report.finding(check));
    cause.and_then(|finding| finding.fix.clone()).unwrap_or_default()
}

fn evidence_of(report: &Report) -> String {
    let cause = report.cause.and_then(|check| report.finding(check));
    cause.map(|finding| finding.evidence.clone()).unwrap_or_default()
}

#[test]
fn a_healthy_member_has_no_cause() {
    let report = member(&healthy());
    assert_eq!((report.conclusion, report.cause), (Conclusion::Healthy, None), "{report:#?}");
    let order: Vec<Check> = report.findings.iter().map(|finding| finding.check).collect();
    assert_eq!(order, MEMBER);
    for finding in &report.findings {
        let known = [Verdict::Pass, Verdict::NotApplicable, Verdict::Unknown];
        assert!(known.contains(&finding.verdict), "{finding:?}");
    }
    assert_eq!(report.subject, "web/b1 at 10.0.0.11:80, ONLINE since 2026-01-01T00:00:00Z");
}

type Case = (&'static str, Evidence, Check, &'static str, &'static str);

fn cases() -> Vec<Case> {
    let address = MEMBER_ADDRESS.into();
    let router = ROUTER.into();
    let bad = |path: &str, seen, asked: Vec<Asked>| {
        changed(failing(Cause::Status { expected: "200".to_owned(), seen }), |evidence| {
            evidence.wanted.probe = Some(probe(http(path)));
            evidence.looks.requests = asked;
        })
    };
    let asked = |path: &str, host: &str, answer| Asked {
        path: path.to_owned(),
        host: host.to_owned(),
        over_tls: false,
        answer,
    };
    let with_http = |cause, change: &dyn Fn(&mut Looks)| {
        changed(failing(cause), |evidence| {
            evidence.wanted.probe = Some(probe(http("/healthz")));
            change(&mut evidence.looks);
        })
    };
    let not_found = || Err(Cause::Status { expected: "200".to_owned(), seen: 404 });
    vec![
        (
            "no listener",
            changed(healthy(), |e| e.wanted.pool.listeners.clear()),
            Check::Attached,
            "no listener",
            "set default_pool = \"web\" for one of lb/https, or add a listener",
        ),
        (
            "a disabled listener",
            changed(healthy(), |e| e.wanted.pool.listeners[0].enabled = false),
            Check::Attached,
            "disabled",
            "admin_state_up = true",
        ),
        (
            "no address",
            changed(healthy(), |e| {
                e.wanted.pool.listeners[0].vips.clear();
                e.wanted.pool.listeners[0].was_bound = false;
            }),
            Check::AddressBound,
            "\"lb\" has no address",
            "vip_address",
        ),
        (
            "wrong path",
            bad("/nowhere", 404, vec![asked("/", "10.0.0.100", Ok(()))]),
            Check::Configuration,
            "GET /nowhere with Host: 10.0.0.100 is answered with 404, expected 200",
            "url_path = \"/\", or another path that exists; if only the port matters, type = \"TCP\"",
        ),
        (
            "wrong host",
            bad("/", 421, vec![asked("/", "10.0.0.11", Ok(()))]),
            Check::Configuration,
            "verifies the Host",
            "domain_name = \"10.0.0.11\"",
        ),
        (
            "plain HTTP probed with gRPC",
            changed(failing(Cause::Closed { stage: Stage::Response }), |e| {
                e.wanted.probe = Some(probe(grpc()));
                e.looks.requests = vec![asked("/", "10.0.0.100", not_found())];
            }),
            Check::Configuration,
            "port 80 speaks plain HTTP, but is probed with gRPC",
            "type = \"HTTP\"",
        ),
        (
            "another good code",
            bad("/x", 204, vec![asked("/", "10.0.0.100", Ok(()))]),
            Check::Configuration,
            "answered with 204, expected 200, which says that it works",
            "set expected_codes = \"200,204\" if that is right",
        ),
        (
            "wrong code",
            bad("/x", 503, vec![asked("/", "10.0.0.100", not_found())]),
            Check::Configuration,
            "answered with 503, expected 200: the application fails",
            "type = \"TCP\"",
        ),
        (
            "wrong port",
            changed(failing(Cause::Refused { by: address }), |e| {
                e.wanted.service.set_port(8080);
                e.looks.service = Some(outcome(Ok(())));
            }),
            Check::Configuration,
            "port 80 is probed and closed, but the member's own port 8080 takes connections",
            "monitor_port = 8080",
        ),
        (
            "stopped",
            failing(Cause::Refused { by: address }),
            Check::Listening,
            "not listening",
            "start the service",
        ),
        (
            "stopped behind a port of its own for health checks",
            changed(healthy(), |e| {
                e.wanted.service.set_port(8080);
                e.looks.service = Some(refused(MEMBER_ADDRESS));
            }),
            Check::Listening,
            "clients are sent to 10.0.0.11:8080",
            "8080",
        ),
        (
            "one port is dropped",
            silent(refused(MEMBER_ADDRESS), true),
            Check::Firewall,
            "other ports of it answer",
            "nft list ruleset",
        ),
        (
            "ports are dropped, echoes are not",
            silent(silence(), true),
            Check::SecurityGroup,
            "echo requests are answered: ports are filtered",
            "let TCP port 80 of 10.0.0.11 in from 10.0.0.2",
        ),
        (
            "everything is dropped on the segment",
            silent(silence(), false),
            Check::SecurityGroup,
            "inferred from packets",
            "let TCP port 80",
        ),
        (
            "nothing comes back through the router",
            changed(silent(silence(), false), behind_a_router),
            Check::Route,
            "answers find no way back to 10.0.0.2",
            "ip route add default via GATEWAY",
        ),
        (
            "rejected by the host with ICMP",
            failing(Cause::AdminProhibited { by: address }),
            Check::Firewall,
            "administratively prohibited (ICMP from 10.0.0.11)",
            "nft list ruleset",
        ),
        (
            "rejected by the host as if the port were closed",
            failing(Cause::PortUnreachable { by: address }),
            Check::Firewall,
            "own packet filter rejects",
            "nft list ruleset",
        ),
        (
            "rejected on the way",
            changed(failing(Cause::AdminProhibited { by: router }), behind_a_router),
            Check::NetworkAcl,
            "a packet filter on the way, at 10.1.0.1, rejects",
            "ACLs of both subnets",
        ),
        (
            "full accept queue",
            changed(silent(refused(MEMBER_ADDRESS), true), |e| e.looks.stray = Some(true)),
            Check::Load,
            "accept queue of the service is full",
            "ListenOverflows",
        ),
        (
            "no answer",
            with_http(Cause::Timeout { stage: Stage::Response }, &|_| {}),
            Check::Load,
            "the service answers none within 3s",
            "restart the service",
        ),
        (
            "one path is slow",
            with_http(Cause::Timeout { stage: Stage::Response }, &|looks| {
                looks.requests = vec![Asked {
                    path: "/".to_owned(),
                    host: String::new(),
                    over_tls: false,
                    answer: Ok(()),
                }];
            }),
            Check::Configuration,
            "GET /healthz at 10.0.0.11:80 is not answered in time, but / is",
            "url_path = \"/\"",
        ),
        (
            "hosts.deny",
            with_http(Cause::Closed { stage: Stage::Response }, &|looks| {
                looks.quiet = Some(Quiet::Closes);
            }),
            Check::HostsDeny,
            "as tcp wrappers do",
            "/etc/hosts.deny",
        ),
        (
            "TLS where HTTP is expected",
            with_http(Cause::BadHttp { error: "invalid version".to_owned() }, &|looks| {
                looks.tls = Some(outcome(Ok(())));
            }),
            Check::Configuration,
            "port 80 speaks TLS",
            "type = \"HTTPS\"",
        ),
        (
            "no HTTP",
            with_http(Cause::BadHttp { error: "invalid version".to_owned() }, &|_| {}),
            Check::Configuration,
            "does not speak HTTP",
            "type = \"TCP\"",
        ),
        (
            "no neighbour",
            changed(healthy(), |e| {
                e.way.next_hop = Err(Unreachable::NoNeighbor {
                    neighbor: MEMBER_ADDRESS.into(),
                    interface: "eth0".to_owned(),
                });
            }),
            Check::Neighbor,
            "10.0.0.11 does not answer ARP requests on eth0",
            "ip neigh show 10.0.0.11",
        ),
        (
            "a neighbour that is gone",
            changed(silent(silence(), false), |e| e.looks.neighbor = Some(false)),
            Check::Neighbor,
            "10.0.0.11 does not answer ARP requests on eth0",
            "start the host 10.0.0.11",
        ),
        (
            "a router that is gone",
            changed(silent(silence(), false), |e| {
                behind_a_router(e);
                e.looks.neighbor = Some(false);
            }),
            Check::Neighbor,
            "10.1.0.1 does not answer ARP requests on eth0",
            "the gateway 10.1.0.1 is down or wrong",
        ),
        (
            "unreachable for the router",
            changed(failing(Cause::HostUnreachable { by: router }), behind_a_router),
            Check::Neighbor,
            "the router 10.1.0.1 says that 10.0.0.11 is unreachable",
            "start the host 10.0.0.11",
        ),
        (
            "no route",
            changed(healthy(), |e| {
                e.way.next_hop = Err(Unreachable::NoRoute { address: MEMBER_ADDRESS.into() });
            }),
            Check::Neighbor,
            "no way to 10.0.0.11",
            "ip route get 10.0.0.11",
        ),
        (
            "the load balancer itself",
            changed(healthy(), |e| {
                e.way.next_hop = Err(Unreachable::Local { address: MEMBER_ADDRESS.into() });
            }),
            Check::Itself,
            "10.0.0.11 is an address of the load balancer itself",
            "the address of another host",
        ),
        (
            "large packets are lost",
            changed(healthy(), |e| {
                e.looks.large = Some(Large { bytes: 1520, answer: Err(Cause::NoEchoReply) });
            }),
            Check::Mtu,
            "packets of 1520 bytes",
            "mtu 1520",
        ),
    ]
}

#[test]
fn every_picture_from_outside_names_its_cause() {
    for (name, evidence, cause, said, fix) in cases() {
        let report = member(&evidence);
        assert_eq!(report.cause, Some(cause), "{name}: {report:#?}");
        assert_eq!(report.conclusion, Conclusion::CauseFound, "{name}");
        let evidence = evidence_of(&report);
        assert!(evidence.contains(said), "{name}: {evidence:?} does not say {said:?}");
        let told = fix_of(&report);
        assert!(told.contains(fix), "{name}: {told:?} does not say {fix:?}");
    }
}

/// Works at its own address, and at the virtual one as `result` says.
fn at_vip(result: Result<(), Cause>) -> Evidence {
    changed(healthy(), |evidence| {
        let other = result.is_err().then_some(Ok(()));
        evidence.looks.probe = Some(Outcome { path: ProbePath::Vip, other, ..outcome(result) });
    })
}

#[test]
fn the_path_of_traffic_tells_what_direct_server_return_lacks() {
    let silence = || Err(Cause::Timeout { stage: Stage::Connect });
    let report = member(&at_vip(silence()));
    assert_eq!(report.cause, Some(Check::VirtualAddress), "{report:#?}");
    assert_eq!(
        fix_of(&report),
        "on the backend server: elb backend up --vip 10.0.0.100 --mode ipip"
    );
    for check in [Check::Decapsulation, Check::Sysctls] {
        assert_eq!(report.finding(check).unwrap().verdict, Verdict::Unknown, "{check}");
    }
    for check in [Check::Listening, Check::SecurityGroup, Check::Firewall, Check::Route] {
        assert_eq!(report.finding(check).unwrap().verdict, Verdict::Pass, "{check}");
    }

    let told = changed(at_vip(silence()), |e| e.looks.unwraps = Some(false));
    assert_eq!(member(&told).cause, Some(Check::Decapsulation));
    let l2 = changed(at_vip(silence()), |e| e.wanted.pool.forwarding = Forwarding::L2);
    let report = member(&l2);
    assert_eq!(report.cause, Some(Check::VirtualAddress));
    assert_eq!(report.finding(Check::Decapsulation).unwrap().verdict, Verdict::NotApplicable);

    let report = member(&at_vip(Err(Cause::Refused { by: [10, 0, 0, 100].into() })));
    assert_eq!(report.cause, Some(Check::Listening));
    assert!(evidence_of(&report).contains("the service listens on 10.0.0.11 only"));

    let report = member(&at_vip(Ok(())));
    assert_eq!(report.conclusion, Conclusion::Healthy);
    for check in [Check::VirtualAddress, Check::Decapsulation, Check::Sysctls] {
        assert_eq!(report.finding(check).unwrap().verdict, Verdict::Pass, "{check}");
    }
}

#[test]
fn what_is_blocked_for_udp_is_told_apart() {
    let udp =
        |cause| changed(failing(cause), |evidence| evidence.wanted.pool.protocol = Protocol::Udp);
    let report = member(&udp(Cause::NoEchoReply));
    assert_eq!(report.cause, Some(Check::SecurityGroup));
    assert!(evidence_of(&report).contains("ICMP is blocked"), "{report:#?}");
    assert!(fix_of(&report).contains("let ICMP (echo requests) and UDP port 80"), "{report:#?}");
    let report = member(&udp(Cause::PortUnreachable { by: MEMBER_ADDRESS.into() }));
    assert_eq!(report.cause, Some(Check::Listening));
    assert!(fix_of(&report).contains("ss -lunp 'sport = :80'"), "{report:#?}");
}

#[test]
fn what_looks_the_same_is_unknown_with_what_would_tell() {
    let report = member(&silent(refused(MEMBER_ADDRESS), true));
    for check in [Check::Load, Check::SecurityGroup] {
        let finding = report.finding(check).unwrap();
        assert_eq!(finding.verdict, Verdict::Unknown, "{finding:?}");
    }
    let load = &report.finding(Check::Load).unwrap().evidence;
    let command = "elb backend inspect --protocol tcp --port 80 --from 10.0.0.2 --to 10.0.0.11 \
                   --vip 10.0.0.100 --mode ipip --direct -o json";
    assert!(load.contains(command), "{load}");
    for check in [Check::NetworkAcl, Check::Route, Check::Neighbor, Check::Itself] {
        assert_eq!(report.finding(check).unwrap().verdict, Verdict::Pass, "{check}");
    }
}

#[test]
fn what_the_host_saw_of_itself_comes_before_what_is_inferred() {
    let seen = |findings| Some(Report::new("b1", true, findings));
    let dropped = Finding::seen(Check::Firewall, Verdict::Fail, "rule 3 drops it").fix("nft …");
    let clean = |check| Finding::seen(check, Verdict::Pass, "as it should be");

    // Inferred: a security group. Seen: its own firewall.
    let mut evidence = silent(silence(), true);
    evidence.inspection = seen(vec![dropped.clone(), clean(Check::Route)]);
    let report = member(&evidence);
    assert_eq!(report.cause, Some(Check::Firewall));
    assert_eq!(report.finding(Check::Firewall), Some(&dropped));
    assert_eq!(report.finding(Check::SecurityGroup).unwrap().verdict, Verdict::Unknown);
    assert_eq!(report.finding(Check::Route), Some(&clean(Check::Route)));

    // Inferred: its firewall. Seen: that is clean, so that the next suspect is named.
    let mut evidence = silent(refused(MEMBER_ADDRESS), true);
    evidence.inspection = seen(vec![clean(Check::Firewall), clean(Check::Load)]);
    let report = member(&evidence);
    assert_eq!(report.cause, Some(Check::SecurityGroup), "{report:#?}");

    // Certain from outside: what was seen inside does not take its place.
    let mut evidence = healthy();
    evidence.way.next_hop = Err(Unreachable::NoRoute { address: MEMBER_ADDRESS.into() });
    evidence.inspection = seen(vec![clean(Check::Firewall)]);
    assert_eq!(member(&evidence).cause, Some(Check::Neighbor));
}

#[test]
fn a_service_that_closes_at_once_fails_where_no_wrapper_turns_away() {
    let mut evidence = failing(Cause::Closed { stage: Stage::Response });
    evidence.looks.quiet = Some(Quiet::Closes);
    assert_eq!(member(&evidence).cause, Some(Check::HostsDeny));
    let passes = [Check::Listening, Check::HostsDeny, Check::Load]
        .map(|check| Finding::seen(check, Verdict::Pass, "as it should be"));
    evidence.inspection = Some(Report::new("b1", true, passes.to_vec()));
    let report = member(&evidence);
    assert_eq!(report.cause, Some(Check::Listening), "{report:#?}");
    assert!(evidence_of(&report).contains("the service itself fails"), "{report:#?}");
}

#[test]
fn a_member_that_answers_again_but_is_offline_still_is_undecided() {
    let mut evidence = healthy();
    evidence.health.status = Status::Offline;
    assert_eq!(member(&evidence).conclusion, Conclusion::Undecided);
}

#[test]
fn a_slow_answer_is_a_warning() {
    let mut evidence = healthy();
    evidence.looks.probe.as_mut().unwrap().duration = Duration::from_millis(2500);
    let report = member(&evidence);
    assert_eq!(report.conclusion, Conclusion::Healthy);
    assert_eq!(report.finding(Check::Load).unwrap().verdict, Verdict::Warn);
}

#[test]
fn an_address_that_was_taken_away_does_not_hurt_health() {
    let report = member(&changed(healthy(), |e| e.wanted.pool.listeners[0].vips.clear()));
    assert_eq!(report.conclusion, Conclusion::Healthy);
    assert_eq!(report.finding(Check::AddressBound).unwrap().verdict, Verdict::Warn);
}

#[test]
fn a_member_that_fails_now_and_then_is_a_warning() {
    let lapses = Lapses { failed: 1, probes: 20 };
    let report = member(&changed(healthy(), |e| e.health.lapses = lapses));
    assert_eq!(report.conclusion, Conclusion::Healthy);
    assert_eq!(report.finding(Check::Load).unwrap().verdict, Verdict::Warn);
}

#[test]
fn a_pool_has_a_report_of_its_own() {
    let mut wanted = healthy().wanted.pool;
    let file = std::path::Path::new("/etc/elb/elb.toml");
    assert_eq!(pool(&wanted, file).conclusion, Conclusion::Healthy);
    wanted.listeners.clear();
    wanted.others.clear();
    let report = pool(&wanted, file);
    assert_eq!(report.cause, Some(Check::Attached));
    assert!(fix_of(&report).starts_with("add a listener with default_pool = \"web\""));
}
