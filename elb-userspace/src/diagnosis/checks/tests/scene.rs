//! What the load balancer knows of a member: what is right, and what may be wrong with it.

use super::*;

pub(super) const MEMBER_ADDRESS: [u8; 4] = [10, 0, 0, 11];
pub(super) const ROUTER: [u8; 4] = [10, 1, 0, 1];

/// A member of an `ipip` pool on the load balancer's own segment, probed by TCP, that works.
pub(super) fn healthy() -> Evidence {
    let target = (MEMBER_ADDRESS, 80).into();
    let served = Served {
        balancer: "lb".to_owned(),
        listener: "http".to_owned(),
        protocol: Protocol::Tcp,
        vips: vec![[10, 0, 0, 100].into()],
        was_bound: true,
        fallback: None,
        enabled: true,
    };
    let mac = Mac::new([2, 0, 0, 0, 0, 11]);
    let hop = NextHop { ifindex: 2, mac, source_mac: mac, source: None, mtu: 1600, on_link: true };
    Evidence {
        wanted: WantedMember {
            backup: None,
            full: None,
            rising: None,
            file: "/etc/elb/elb.toml".into(),
            pool: PoolWanted {
                backup: None,
                full: Vec::new(),
                rising: BTreeMap::new(),
                own: Vec::new(),
                name: "web".to_owned(),
                protocol: Protocol::Tcp,
                forwarding: Forwarding::Ipip,
                source_addresses: None,
                listeners: vec![served],
                others: vec!["lb/https".to_owned()],
                members: vec![None],
            },
            member: "b1".to_owned(),
            service: target,
            probe: Some(probe(monitor::HealthCheck::Tcp)),
            max_retries: 3,
            delay: Duration::from_secs(5),
        },
        health: HealthEvidence {
            status: OperatingStatus::Online,
            since: "2026-01-01T00:00:00Z".to_owned(),
            reason: None,
            lapses: Lapses::default(),
            stuck: None,
            answers_for: Vec::new(),
        },
        way: way(hop),
        own: crate::diagnosis::evidence::Own::default(),
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

fn way(hop: NextHop) -> MemberWay {
    MemberWay {
        unserved: None,
        ipv6_off: Vec::new(),
        next_hop: Ok(hop),
        doubt: None,
        path_mtu: None,
        interface: "eth0".to_owned(),
        gateway: None,
        source: Some([10, 0, 0, 2].into()),
        outer: Some([10, 0, 0, 2].into()),
        vip: Err("probes have no route".to_owned()),
        vips: Vec::new(),
    }
}

pub(super) fn probe(check: monitor::HealthCheck) -> ProbeSpec {
    ProbeSpec {
        target: (MEMBER_ADDRESS, 80).into(),
        source: None,
        timeout: Duration::from_secs(3),
        check,
        vips: Vec::new(),
        routing: None,
        default_host: [10, 0, 0, 100].into(),
        names: None,
    }
}

pub(super) fn http(path: &str) -> monitor::HealthCheck {
    monitor::HealthCheck::Http(HttpCheck {
        http_method: HttpMethod::Get,
        url_path: path.parse().unwrap(),
        domain_name: None,
        expected_codes: Default::default(),
        expected_body: None,
    })
}

pub(super) fn grpc() -> monitor::HealthCheck {
    monitor::HealthCheck::Grpc(monitor::GrpcCheck {
        http_method: HttpMethod::Post,
        url_path: monitor::UrlPath::grpc_health(),
        domain_name: None,
        expected_codes: Default::default(),
        expected_body: (),
    })
}

pub(super) fn outcome(result: Result<(), Cause>) -> ProbeOutcome {
    ProbeOutcome {
        result: result.map_err(Failure::new),
        duration: Duration::from_millis(1),
        path: ProbePath::Direct,
        other: None,
        vips: Vec::new(),
    }
}

pub(super) fn refused(by: [u8; 4]) -> ProbeOutcome {
    outcome(Err(Cause::Refused { by: by.into() }))
}

pub(super) fn silence() -> ProbeOutcome {
    outcome(Err(Cause::Timeout { stage: Stage::Connect }))
}

/// As [`healthy`], but its probes fail with `cause`, and nothing else was found.
pub(super) fn failing(cause: Cause) -> Evidence {
    let mut evidence = healthy();
    evidence.health.status = OperatingStatus::Offline;
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

pub(super) fn changed(mut evidence: Evidence, change: impl FnOnce(&mut Evidence)) -> Evidence {
    change(&mut evidence);
    evidence
}

/// As [`failing`] without a word from the probed port.
pub(super) fn silent(control: ProbeOutcome, echo: bool) -> Evidence {
    changed(failing(Cause::Timeout { stage: Stage::Connect }), |evidence| {
        evidence.looks.control = Some(control);
        evidence.looks.echo = Some(if echo { Ok(()) } else { Err(Cause::NoEchoReply) });
        evidence.looks.stray = Some(false);
    })
}

pub(super) fn behind_a_router(evidence: &mut Evidence) {
    evidence.way.gateway = Some(ROUTER.into());
}
