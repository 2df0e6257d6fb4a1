//! Packet filters: what they let the load balancer see.

use anyhow::Result;
use elb_tests::{
    config::{HealthMonitor, MonitorKind},
    environment::elb_bin,
    lab::Lab,
    process::ended,
    wire::HTTP_PORT,
};

use crate::scene::{LIMIT, Scene, at_once, echoes, is_named};

/// Acceptance 99.
#[test]
fn a_rule_against_the_load_balancer_is_named_and_nothing_else_fails() -> Result<()> {
    let scene = Scene::start(HealthMonitor::quick(MonitorKind::Tcp))?;
    scene.filter(0, "ip saddr 10.0.0.0/24 tcp dport 80 drop")?;
    // Everything from there: nothing comes back that would show whose rule it is.
    scene.filter(1, "ip saddr 10.0.0.0/24 drop")?;
    at_once(2, |index| {
        let cause = ["firewall", "security-group"][index];
        let report = scene.names(index, cause)?;
        assert_eq!(report.all_that("fail"), [cause], "{:#}", report.said);
        if cause == "firewall" {
            assert_eq!(report.all_that("warn"), Vec::<&str>::new(), "{:#}", report.said);
            let fix = report.fix();
            assert!(fix.contains("let TCP port 80 in from 10.0.0.2"), "{fix}");
        } else {
            assert_eq!(report.outcome("firewall"), "unknown", "{:#}", report.said);
        }
        scene.unfilter(index)?;
        scene.repaired(index)
    })
}

#[test]
fn the_host_itself_names_the_rule_that_is_only_inferred_from_outside() -> Result<()> {
    let scene = Scene::start(HealthMonitor::quick(MonitorKind::Tcp))?;
    scene.filter(0, "ip saddr 10.0.0.0/24 drop")?;
    scene.names(0, "security-group")?;
    let report = scene.diagnose_with_host(0)?;
    assert_eq!((report.code, report.cause()), (1, Some("firewall")), "{:#}", report.said);
    assert_eq!(report.finding("firewall")["basis"], "seen", "{:#}", report.said);
    assert_eq!(report.outcome("security-group"), "unknown", "{:#}", report.said);
    assert_ne!(report.outcome("route"), "fail", "{:#}", report.said);

    let file = scene.inspection(0, HTTP_PORT)?.display().to_string();
    let read = scene.agent.diagnose(&[&scene.name(0), "--inspect", &file])?;
    assert_eq!(read.cause(), Some("firewall"), "{:#}", read.said);
    let mut piped = scene.lab.lb().command("sh");
    piped.args(["-c", r#"exec "$@" < "$0""#, &file]).arg(elb_bin()?);
    piped.args(["diagnose", &scene.name(0), "--inspect", "-", "-o", "json", "--socket"]);
    piped.arg(&scene.config.agent.socket);
    let piped = elb_tests::printed::value(&["diagnose"], &ended(piped, LIMIT)?.printed)?;
    assert_eq!(piped["reports"][0]["cause"], "firewall", "{piped:#}");
    let other = scene.inspection(0, 81)?.display().to_string();
    let refused = scene.agent.end(&["diagnose", &scene.name(0), "--inspect", &other], LIMIT)?;
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(refused.said.contains("is about the port 81, and the member has 80"), "{refused:?}");

    scene.run(0, report.fix())?;
    scene.repaired(0)
}

#[test]
fn a_filter_that_lets_only_echoes_in_looks_like_a_security_group() -> Result<()> {
    let scene = Scene::start(HealthMonitor::quick(MonitorKind::Tcp))?;
    scene.filter(0, "meta l4proto tcp drop")?;
    let report = scene.names(0, "security-group")?;
    assert!(
        report.evidence().contains("security groups are not on the host"),
        "{}",
        report.evidence()
    );
    assert!(report.fix().contains("let TCP port 80 of 10.0.0.11 in"), "{}", report.fix());
    scene.unfilter(0)?;
    scene.repaired(0)
}

#[test]
fn a_filter_that_says_so_is_named_with_who_says_it() -> Result<()> {
    let scene = Scene::start(HealthMonitor::quick(MonitorKind::Http))?;
    let rejects = ["admin-prohibited", "port-unreachable"];
    for (index, reject) in rejects.iter().enumerate() {
        // Else the host's messages are used up by probes, and a look finds silence.
        scene.lab.backend(index).sysctl("ipv4/icmp_ratelimit", "0")?;
        scene.filter(index, &format!("tcp dport 80 reject with icmp type {reject}"))?;
    }
    at_once(rejects.len(), |index| {
        let report = scene.names(index, "firewall")?;
        is_named(&report, "firewall", &format!("ICMP from {}", scene.address(index)));
        assert_eq!(report.all_that("fail"), ["firewall"], "{:#}", report.said);
        scene.unfilter(index)?;
        scene.repaired(index)
    })
}

/// Acceptance 100.
#[test]
fn icmp_that_is_blocked_for_a_udp_listener_is_named() -> Result<()> {
    let scene = Scene::start_in(Lab::builder(), |lab| Ok(echoes(lab)))?;
    scene.filter(0, "icmp type echo-request drop")?;
    let report = scene.names(0, "security-group")?;
    assert!(report.evidence().contains("ICMP is blocked"), "{}", report.evidence());
    assert!(report.fix().contains("let ICMP (echo requests) and UDP port"), "{}", report.fix());
    assert_eq!(report.all_that("fail"), ["security-group"], "{:#}", report.said);
    scene.unfilter(0)?;
    scene.repaired(0)
}

#[test]
fn a_udp_port_without_a_socket_is_not_listening() -> Result<()> {
    let mut scene = Scene::start_in(Lab::builder(), |lab| Ok(echoes(lab)))?;
    scene.servers[1].kill()?;
    let report = scene.names(1, "listening")?;
    assert!(report.evidence().contains("not listening on UDP port"), "{}", report.evidence());
    scene.servers[1].restart()?;
    scene.repaired(1)
}
