//! Every picture that a cause gives from outside.

use elb_common::addr::Mac;

use super::*;
use crate::diagnosis::evidence::PinnedNeighbor;

/// The member sees clients in a prefix of the load balancer's, which is 2001:db8:9::2.
fn embed_clients(evidence: &mut Evidence) {
    evidence.wanted.pool.forwarding = Forwarding::Nat46;
    evidence.wanted.pool.source_addresses = Some("2001:db8:1:64::/64".parse().unwrap());
    evidence.way.source = Some("2001:db8:9::2".parse().unwrap());
}

type Case = (&'static str, Evidence, Check, &'static str, &'static str);

#[expect(clippy::too_many_lines, reason = "a table of cases")]
pub(super) fn cases() -> Vec<Case> {
    let address = MEMBER_ADDRESS.into();
    let router = ROUTER.into();
    let bad = |path: &str, seen, asked: Vec<HttpAttempt>| {
        changed(failing(Cause::Status { expected: "200".to_owned(), seen }), |evidence| {
            evidence.wanted.probe = Some(probe(http(path)));
            evidence.looks.requests = asked;
        })
    };
    let asked = |path: &str, host: &str, answer| HttpAttempt {
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
            "the virtual address is the load balancer's own",
            changed(failing(Cause::Timeout { stage: Stage::Connect }), |e| {
                e.wanted.pool.own.push([10, 0, 0, 2].into());
            }),
            Check::AddressBound,
            "10.0.0.2 is a virtual address of this pool, and an address of this load balancer",
            "remove 10.0.0.2 from its interfaces",
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
            "the service fails",
            bad("/x", 503, vec![asked("/", "10.0.0.100", not_found())]),
            Check::Listening,
            "answered with 503, expected 200: the service itself says that it is not ready",
            "on the backend server: find the process with ss -ltnp 'sport = :80', read its log",
        ),
        (
            "an answer for the virtual address",
            changed(healthy(), |e| e.health.answers_for = vec![[10, 0, 0, 100].into()]),
            Check::Sysctls,
            "10.0.0.11 answers for the virtual address 10.0.0.100 on its segment",
            "elb backend up --vip 10.0.0.100 --mode ipip --from 10.0.0.2 (arp_ignore must be 1",
        ),
        (
            "no way back to clients",
            changed(healthy(), |e| e.health.stuck = Some(12)),
            Check::Route,
            "of 12 openings of connections by clients in the last minute not one was followed",
            "elb backend inspect --client ADDRESS",
        ),
        (
            "with nat, answers by another route",
            changed(healthy(), |e| {
                e.wanted.pool.forwarding = Forwarding::Nat;
                e.health.stuck = Some(12);
            }),
            Check::ReturnPath,
            "its answers to clients go out by another route, past this load balancer",
            "or: elb backend up --mode nat --via 10.0.0.2 --port 80/tcp",
        ),
        (
            "with fullnat, source addresses that are not let in",
            changed(healthy(), |e| {
                e.wanted.pool.forwarding = Forwarding::FullNat;
                e.wanted.pool.source_addresses = Some("10.0.0.16/28".parse().unwrap());
                e.health.stuck = Some(12);
            }),
            Check::ReturnPath,
            "it does not let these addresses in",
            "on the backend server: elb backend inspect --mode fullnat --port 80 --from 10.0.0.16",
        ),
        (
            "with nat46, no route to the prefix of clients",
            changed(healthy(), |e| {
                embed_clients(e);
                e.health.stuck = Some(12);
            }),
            Check::ReturnPath,
            "of 12 openings of connections by clients in the last minute, none by a SYN-ACK or a reset",
            "ip -6 route add 2001:db8:1:64::/64 via 2001:db8:9::2; then: elb backend inspect --mode nat46 --port 80 \
             --from 2001:db8:1:64:0:1:c000:201",
        ),
        (
            "with nat46, probes of the virtual address that have no way back",
            changed(failing(Cause::Timeout { stage: Stage::Connect }), |e| {
                embed_clients(e);
                let probe = e.looks.probe.as_mut().unwrap();
                (probe.path, probe.other) = (ProbePath::Vip, Some(Ok(())));
            }),
            Check::ReturnPath,
            "but not through 10.0.0.100 (no answer to the connection): packets of clients come to it from \
             2001:db8:1:64::/64",
            "on the backend server: ip -6 route add 2001:db8:1:64::/64 via 2001:db8:9::2",
        ),
        (
            "with nat, answers by an interface without the program",
            changed(failing(Cause::Timeout { stage: Stage::Connect }), |e| {
                e.wanted.pool.forwarding = Forwarding::Nat;
                let probe = e.looks.probe.as_mut().unwrap();
                (probe.path, probe.other) = (ProbePath::Vip, Some(Ok(())));
            }),
            Check::ReturnPath,
            "not through 10.0.0.100 (no answer to the connection)",
            "add it to interfaces in [agent]",
        ),
        (
            "not ready, though / works",
            bad("/healthz", 503, vec![asked("/", "10.0.0.100", Ok(()))]),
            Check::Listening,
            "the service itself says that it is not ready; / is answered as expected",
            "on the backend server: curl -i http://10.0.0.11:80/healthz, and the service's log",
        ),
        (
            "too many requests",
            bad("/healthz", 429, vec![asked("/", "10.0.0.100", Ok(()))]),
            Check::Listening,
            "the service itself says that it gets too many requests",
            "curl -i http://10.0.0.11:80/healthz",
        ),
        (
            "a path that needs authorisation",
            bad("/status", 403, vec![asked("/", "10.0.0.100", Ok(()))]),
            Check::Configuration,
            "answered with 403, expected 200: the server does not let the probe see it",
            "expected_codes = \"200,403\" if that is right",
        ),
        (
            "a code that cannot be expected",
            bad("/x", 101, vec![asked("/", "10.0.0.100", not_found())]),
            Check::Configuration,
            "answered with 101, expected 200",
            "set a url_path or domain_name that the server knows",
        ),
        (
            "a host that cannot be set",
            bad("/", 421, vec![asked("/", "fd00::11", Ok(()))]),
            Check::Configuration,
            "as expected with Host: fd00::11: the server verifies the Host",
            "set domain_name = \"NAME\", a name that the server answers for,",
        ),
        (
            "a host that is better left out",
            changed(bad("/", 421, vec![asked("/", "10.0.0.100", Ok(()))]), |e| {
                change_http(e, |http| http.domain_name = Some("a.example".parse().unwrap()));
            }),
            Check::Configuration,
            "GET / with Host: a.example is answered with 421",
            "remove domain_name from [pool.healthmonitor] of pool \"web\"",
        ),
        (
            "a method that is not taken",
            changed(bad("/", 405, Vec::new()), |e| {
                change_http(e, |http| http.http_method = HttpMethod::Head);
            }),
            Check::Configuration,
            "HEAD / with Host: 10.0.0.100 is answered with 405, expected 200: the server does not take",
            "set http_method = \"GET\" in",
        ),
        (
            "a busy server of gRPC",
            changed(
                failing(Cause::Broken {
                    stage: Stage::Response,
                    error: "HTTP/2: stream error received: refused stream".to_owned(),
                }),
                |e| e.wanted.probe = Some(probe(grpc())),
            ),
            Check::Load,
            "as an overloaded service does",
            "uptime",
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
                looks.requests = vec![HttpAttempt {
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
            "a next hop from before that does not confirm itself in time",
            changed(silent(silence(), false), |e| {
                e.looks.neighbor = None;
                e.way.doubt = Some("10.0.0.11 does not answer ARP".to_owned());
            }),
            Check::Neighbor,
            "10.0.0.11 does not answer ARP requests on eth0",
            "start the host 10.0.0.11",
        ),
        (
            "a wrong entry that an administrator made",
            changed(silent(silence(), false), |e| {
                e.looks.neighbor = None;
                e.looks.pinned = Some(pinned(Some(Mac::new([2, 0, 0, 0, 0, 0x12]))));
            }),
            Check::Neighbor,
            "of 10.0.0.11 on eth0 is PERMANENT and has 02:de:ad:00:00:01, but 02:00:00:00:00:12 answers ARP",
            "ip neigh del 10.0.0.11 dev eth0",
        ),
        (
            "an entry that an administrator made, of a host that is gone",
            changed(silent(silence(), false), |e| {
                e.looks.neighbor = None;
                e.looks.pinned = Some(pinned(None));
            }),
            Check::Neighbor,
            "but no host answers ARP requests for it",
            "ip neigh del 10.0.0.11 dev eth0",
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
            "a route that is not known yet, though the health check works",
            changed(healthy(), |e| e.way.next_hop = Err(Unreachable::Unknown)),
            Check::Neighbor,
            "has not learned the route to 10.0.0.11 yet, and sends nothing there",
            "elb status",
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
        let found = fix_of(&report);
        assert!(found.contains(fix), "{name}: {found:?} does not say {fix:?}");
    }
}

fn change_http(evidence: &mut Evidence, change: impl FnOnce(&mut HttpCheck)) {
    let probe = evidence.wanted.probe.as_mut().unwrap();
    let monitor::HealthCheck::Http(http) = &mut probe.check else { panic!("{probe:?}") };
    change(http);
}

fn pinned(answers: Option<Mac>) -> PinnedNeighbor {
    PinnedNeighbor { has: Mac::new([0x02, 0xde, 0xad, 0, 0, 1]), answers }
}
