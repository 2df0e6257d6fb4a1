//! Checks that connect, and nothing more.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::Result;
use elb_tests::{
    address::{Families, Family},
    client::{Load, http_requests},
    config::{Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    lab::Lab,
    server::Server,
    wire::HTTP_PORT,
};

use crate::{
    sniff::{ACK, RST, SYN, Sniffer},
    times::{failures_by, last_event, not_at_midnight, probes, seconds},
    watch::{Case, LIMIT, Watch, lab},
};

fn tcp() -> HealthMonitor {
    HealthMonitor::patient(MonitorKind::Tcp).port(HTTP_PORT)
}

#[test]
fn a01_an_open_port_is_online_and_gets_traffic() -> Result<()> {
    let lab = lab(1)?;
    let _server = Server::start(lab.backend(0), "backend-0")?;
    lab.backends_up(Forwarding::Ipip)?;
    let pool = Pool::of(&lab, "web", Family::V4, Protocol::Tcp, HTTP_PORT);
    let config = Config::new(&lab).balance(&lab, Family::V4, HTTP_PORT, pool.watched(tcp()));
    not_at_midnight()?;
    let watch = Watch::start_config(lab, config)?;
    let said = watch.wait("web", "ONLINE")?;
    assert!(said["reason"].is_null(), "{said}");
    // By its first probe, within an interval and the timeout; a second is as fine as these times are.
    let first = probes(&watch.member("web")?)?[0].clone();
    let (started, since) =
        (seconds(&watch.agent.status()?["agent"]["started"])?, seconds(&said["since"])?);
    assert_eq!(first.result, "OK");
    assert!((-1.0..=1.0 + 5.0 + 1.0).contains(&(first.ended - started)), "{started} {first:?}");
    assert!((-1.0..=1.0).contains(&(since - first.ended)), "{since} {first:?}");
    let service = watch.lab.service(Family::V4, HTTP_PORT);
    let report = http_requests(watch.lab.client(), Load::on(service), 20)?;
    assert_eq!(report.answered(), 20, "{:?}", report.failures());
    Ok(())
}

#[test]
fn a02_a_closed_port_is_offline_after_three_refusals() -> Result<()> {
    let lab = Lab::builder().backends(1).families(Families::Both).start()?;
    let mut server = Server::start(lab.backend(0), "backend-0")?;
    let names = [("v4", Family::V4), ("v6", Family::V6)];
    let case = |(name, family): (&str, Family)| Case {
        name: name.to_owned(),
        member: lab.member_addr(0, family),
        protocol: Protocol::Tcp,
        monitor: HealthMonitor { max_retries_down: 3, ..tcp().direct() },
    };
    let cases = names.map(case).into();
    let watch = Watch::start(lab, cases)?;
    for (name, _) in names {
        watch.wait(name, "ONLINE")?;
    }
    not_at_midnight()?;
    server.kill()?;
    for (name, family) in names {
        let said = watch.wait_reason(name, "CONNECT_REFUSED")?;
        let at = last_event(&watch.agent, name, "unhealthy")?;
        let failures = failures_by(&probes(&watch.member(name)?)?, at);
        assert!(failures.iter().all(|probe| probe.result == "CONNECT_REFUSED"), "{failures:?}");
        // Three probes, an interval of a second between one and the next, less jitter; at most
        // timeout x 3 + interval x 2.
        assert_eq!(failures.len(), 3, "{at} {failures:?}");
        let window = at - failures[0].began;
        assert!((1.75..=5.0 * 3.0 + 2.0).contains(&window), "{window} {failures:?}");
        let by = watch.lab.member_addr(0, family);
        assert_eq!(said["reason"]["detail"], format!("connection refused by {by}"));
    }
    Ok(())
}

#[test]
fn a03_a_black_hole_is_offline_within_the_window() -> Result<()> {
    let lab = lab(1)?;
    let _server = Server::start(lab.backend(0), "backend-0")?;
    let monitor = HealthMonitor { delay: 4, timeout: 2, max_retries_down: 3, ..tcp().direct() };
    let watch = Watch::start_tcp(lab, &[("web", monitor)])?;
    watch.wait("web", "ONLINE")?;
    // Packets still leave for it: that its cable is out is not to be noticed by ARP.
    let member = watch.lab.member_addr(0, Family::V4);
    let device = watch.lab.lb_interfaces()[0];
    watch.lab.lb().ip(&format!("neigh change {member} dev {device} nud permanent"))?;
    not_at_midnight()?;
    watch.lab.unplug(0)?;
    let said = watch.wait_reason("web", "CONNECT_TIMEOUT")?;
    let at = last_event(&watch.agent, "web", "unhealthy")?;
    let failures = failures_by(&probes(&watch.member("web")?)?, at);
    assert_eq!(failures.len(), 3, "{at} {failures:?}");
    // From the first probe that fails, 2 + 4 + 2 + 4 + 2: within one interval of that.
    let window = at - failures[0].began;
    assert!((12.0..=14.0 + 4.0).contains(&window), "{window} {failures:?}");
    assert_eq!(said["reason"]["detail"], "no answer to the connection");
    Ok(())
}

#[test]
fn a06_a_probe_is_a_handshake_and_a_reset() -> Result<()> {
    let lab = lab(1)?;
    let _server = Server::start(lab.backend(0), "backend-0")?;
    let sniffer = Sniffer::open(lab.backend(0))?;
    let watch = Watch::start_tcp(lab, &[("web", tcp().direct())])?;
    let seen = sniffer.connection(HTTP_PORT, LIMIT)?;
    let flags: Vec<u8> = seen.iter().map(|segment| segment.flags).collect();
    assert_eq!(flags, [SYN, SYN | ACK, ACK, RST | ACK], "{seen:?}");
    assert!(seen.iter().all(|segment| segment.content == 0), "{seen:?}");
    watch.wait("web", "ONLINE").map(drop)
}

#[test]
fn a25_probes_come_from_the_address_that_is_set() -> Result<()> {
    probed_from_the_address_that_is_set(tcp().direct(), |lab| lab.member_addr(0, Family::V4))
}

#[test]
fn a25_probes_of_the_virtual_address_do_too() -> Result<()> {
    probed_from_the_address_that_is_set(tcp(), Lab::vip4)
}

fn probed_from_the_address_that_is_set(
    monitor: HealthMonitor,
    to: impl Fn(&Lab) -> IpAddr,
) -> Result<()> {
    let lab = lab(1)?;
    let _server = Server::start(lab.backend(0), "backend-0")?;
    lab.backends_up(Forwarding::Ipip)?;
    let source = Ipv4Addr::new(10, 0, 0, 77);
    lab.lb().ip(&format!("addr add {source}/24 dev {}", lab.lb_interfaces()[0]))?;
    let sniffer = Sniffer::open(lab.backend(0))?;
    let pool = Pool::of(&lab, "web", Family::V4, Protocol::Tcp, HTTP_PORT).watched(monitor);
    let mut config = Config::new(&lab).balance(&lab, Family::V4, HTTP_PORT, pool);
    config.agent.probe_source = Some(source);
    let watch = Watch::start_config(lab, config)?;
    let seen = sniffer.connection(HTTP_PORT, LIMIT)?;
    assert_eq!((seen[0].from, seen[0].flags), (source, SYN), "{seen:?}");
    assert_eq!(IpAddr::from(seen[0].to), to(&watch.lab), "{seen:?}");
    watch.wait("web", "ONLINE").map(drop)
}
