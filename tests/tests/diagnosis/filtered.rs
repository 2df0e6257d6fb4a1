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
    // Everything from there: nothing comes back that would tell whose rule it is.
    scene.filter(1, "ip saddr 10.0.0.0/24 drop")?;
    at_once(2, |index| {
        let cause = ["firewall", "security-group"][index];
        let told = scene.names(index, cause)?;
        assert_eq!(told.all_that("fail"), [cause], "{:#}", told.said);
        if cause == "firewall" {
            assert_eq!(told.all_that("warn"), Vec::<&str>::new(), "{:#}", told.said);
            let fix = told.fix();
            assert!(fix.contains("let TCP port 80 in from 10.0.0.2"), "{fix}");
        } else {
            assert_eq!(told.outcome("firewall"), "unknown", "{:#}", told.said);
        }
        scene.unfilter(index)?;
        scene.mended(index)
    })
}

#[test]
fn the_host_itself_names_the_rule_that_is_only_inferred_from_outside() -> Result<()> {
    let scene = Scene::start(HealthMonitor::quick(MonitorKind::Tcp))?;
    scene.filter(0, "ip saddr 10.0.0.0/24 drop")?;
    scene.names(0, "security-group")?;
    let told = scene.diagnose_with_host(0)?;
    assert_eq!((told.code, told.cause()), (1, Some("firewall")), "{:#}", told.said);
    assert_eq!(told.finding("firewall")["basis"], "seen", "{:#}", told.said);
    assert_eq!(told.outcome("security-group"), "unknown", "{:#}", told.said);
    assert_ne!(told.outcome("route"), "fail", "{:#}", told.said);

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

    scene.run(0, told.fix())?;
    scene.mended(0)
}

#[test]
fn a_filter_that_lets_only_echoes_in_looks_like_a_security_group() -> Result<()> {
    let scene = Scene::start(HealthMonitor::quick(MonitorKind::Tcp))?;
    scene.filter(0, "meta l4proto tcp drop")?;
    let told = scene.names(0, "security-group")?;
    assert!(told.evidence().contains("security groups are not on the host"), "{}", told.evidence());
    assert!(told.fix().contains("let TCP port 80 of 10.0.0.11 in"), "{}", told.fix());
    scene.unfilter(0)?;
    scene.mended(0)
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
        let told = scene.names(index, "firewall")?;
        is_named(&told, "firewall", &format!("ICMP from {}", scene.address(index)));
        assert_eq!(told.all_that("fail"), ["firewall"], "{:#}", told.said);
        scene.unfilter(index)?;
        scene.mended(index)
    })
}

/// Acceptance 100.
#[test]
fn icmp_that_is_blocked_for_a_udp_listener_is_named() -> Result<()> {
    let scene = Scene::start_in(Lab::builder(), |lab| Ok(echoes(lab)))?;
    scene.filter(0, "icmp type echo-request drop")?;
    let told = scene.names(0, "security-group")?;
    assert!(told.evidence().contains("ICMP is blocked"), "{}", told.evidence());
    assert!(told.fix().contains("let ICMP (echo requests) and UDP port"), "{}", told.fix());
    assert_eq!(told.all_that("fail"), ["security-group"], "{:#}", told.said);
    scene.unfilter(0)?;
    scene.mended(0)
}

#[test]
fn a_udp_port_that_nobody_has_is_not_listening() -> Result<()> {
    let mut scene = Scene::start_in(Lab::builder(), |lab| Ok(echoes(lab)))?;
    scene.servers[1].kill()?;
    let told = scene.names(1, "listening")?;
    assert!(told.evidence().contains("not listening on UDP port"), "{}", told.evidence());
    scene.servers[1].restart()?;
    scene.mended(1)
}
