//! Checks of UDP: an echo, and no error for a datagram. In both families.

use anyhow::Result;
use elb_tests::{
    address::{Families, Family},
    config::{HealthMonitor, MonitorKind, Protocol},
    lab::Lab,
    server::Server,
    wire::Service,
};

use crate::watch::{Case, Watch};

const OPEN: u16 = 4000;
const CLOSED: u16 = 4001;
const ECHO: u16 = 7;

const FAMILIES: [(&str, Family); 2] = [("v4", Family::V4), ("v6", Family::V6)];

/// A backend that hides nothing, one that answers no echo, one that sends no errors; on each a
/// service that is silent, and one that answers.
struct Scene {
    watch: Watch,
    _servers: Vec<Server>,
}

/// Probes `port` of a backend, in both families.
fn start(backend: usize, port: u16) -> Result<Scene> {
    let lab = Lab::builder().backends(3).families(Families::Both).start()?;
    let offers = [(Service::Silent, OPEN), (Service::Echo, ECHO)];
    let servers = lab.backends().iter().map(|b| Server::start_with(b, "backend", &offers, None));
    let servers = servers.collect::<Result<_>>()?;
    lab.backend(1).sysctl("ipv4/icmp_echo_ignore_all", "1")?;
    lab.backend(1).sysctl("ipv6/icmp/echo_ignore_all", "1")?;
    // One error in ten minutes, and a host that sent none for a minute has saved up one minute: none.
    lab.backend(2).sysctl("ipv4/icmp_ratelimit", "600000")?;
    lab.backend(2).sysctl("ipv6/icmp/ratelimit", "600000")?;
    let case = |(name, family): (&str, Family)| Case {
        name: name.to_owned(),
        member: lab.member_addr(backend, family),
        protocol: Protocol::Udp,
        monitor: HealthMonitor {
            timeout: 2,
            ..HealthMonitor::quick(MonitorKind::UdpConnect).port(port).direct()
        },
    };
    let cases = FAMILIES.map(case).into();
    Ok(Scene { watch: Watch::start(lab, cases)?, _servers: servers })
}

impl Scene {
    fn are_online(&self) -> Result<()> {
        FAMILIES.iter().try_for_each(|(name, _)| self.watch.wait(name, "ONLINE").map(drop))
    }
}

#[test]
fn a14_a_silent_port_is_healthy() -> Result<()> {
    start(0, OPEN)?.are_online()
}

#[test]
fn a14_a_port_that_answers_is_healthy() -> Result<()> {
    start(0, ECHO)?.are_online()
}

#[test]
fn a15_a_closed_port_is_not() -> Result<()> {
    let scene = start(0, CLOSED)?;
    for (name, family) in FAMILIES {
        let said = scene.watch.wait_reason(name, "CONNECT_REFUSED")?;
        let by = scene.watch.lab.member_addr(0, family);
        let detail = format!("port unreachable (ICMP from {by})");
        assert_eq!(said["reason"]["detail"], detail, "{said}");
    }
    Ok(())
}

#[test]
fn a16_a_host_that_answers_no_echo_is_not() -> Result<()> {
    let scene = start(1, OPEN)?;
    for (name, _) in FAMILIES {
        let said = scene.watch.wait_reason(name, "CONNECT_TIMEOUT")?;
        assert_eq!(said["reason"]["detail"], "no ICMP echo reply", "{said}");
    }
    Ok(())
}

/// The documented false positive: the host limits the rate of its ICMP errors.
#[test]
fn a17_a_closed_port_of_a_host_that_hides_its_errors_is_healthy() -> Result<()> {
    start(2, CLOSED)?.are_online()
}
