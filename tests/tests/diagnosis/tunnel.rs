//! What direct server return needs on the member's host: probes go as traffic goes, and show.

use anyhow::{Context as _, Result};
use elb_tests::{
    address::{Families, Family},
    config::{Forwarding, HealthMonitor, MonitorKind},
    lab::Lab,
};

use crate::scene::{self, Scene, at_once, is_named};

fn start(backends: u8, families: Families, mode: Forwarding) -> Result<Scene> {
    let monitor = HealthMonitor::quick(MonitorKind::Http);
    let shape = Lab::builder().backends(backends).families(families);
    Scene::start_in(shape, |lab| Ok(scene::config(lab, mode, monitor)))
}

/// Takes the virtual address from `lo`.
fn lose_address(scene: &Scene, index: usize, families: Families) -> Result<()> {
    let family = families.list()[0];
    let (vip, prefix) = (scene.lab.vip(family), if family == Family::V4 { 32 } else { 128 });
    scene.run(index, &format!("ip address del {vip}/{prefix} dev lo")).map(drop)
}

/// Undoes the set-up but for the virtual address.
fn lose_decapsulation(
    scene: &Scene,
    index: usize,
    families: Families,
    mode: Forwarding,
) -> Result<()> {
    let vip = scene.lab.vip(families.list()[0]);
    scene.lab.backend_down(index, mode)?;
    scene.run(index, &format!("ip address add {vip} dev lo scope host")).map(drop)
}

fn address_is_missed(scene: &Scene, index: usize, mode: Forwarding) -> Result<()> {
    let report = scene.names(index, "virtual-address")?;
    let from = if mode == Forwarding::L2 { "" } else { " --from " };
    let fix = format!(" --mode {}{from}", mode.name());
    assert!(report.fix().contains("elb backend up --vip ") && report.fix().contains(&fix));
    for check in ["listening", "firewall", "route", "security-group"] {
        assert_eq!(report.outcome(check), "pass", "{check}: {:#}", report.said);
    }
    scene.follow(index, &report, &[])?;
    scene.repaired(index)
}

fn decapsulation_is_missed(scene: &Scene, index: usize) -> Result<()> {
    let report = scene.names(index, "decapsulation")?;
    is_named(&report, "decapsulation", "says with ICMP");
    scene.follow(index, &report, &[])?;
    scene.repaired(index)
}

/// Probes succeed all the same.
fn room_is_missed(scene: &Scene, index: usize) -> Result<()> {
    let report = scene.diagnose(index)?;
    is_named(&report, "mtu", "packets of 1520 bytes");
    assert_eq!(report.all_that("fail"), ["mtu"], "{:#}", report.said);
    let (_, command) = report.fix().split_once(": ").context("where, and what")?;
    scene.run(index, &command.replace("DEVICE", scene.lab.device()))?;
    scene.repaired(index)
}

#[test]
fn a_virtual_address_that_is_missing_on_lo_is_named_by_l2() -> Result<()> {
    let scene = start(1, Families::V4, Forwarding::L2)?;
    lose_address(&scene, 0, Families::V4)?;
    address_is_missed(&scene, 0, Forwarding::L2)
}

/// Also a link that loses full packets of clients, but not small ones, such as probes.
#[test]
fn what_ipip_needs_on_the_backend_is_named() -> Result<()> {
    let scene = start(3, Families::V4, Forwarding::Ipip)?;
    lose_address(&scene, 0, Families::V4)?;
    lose_decapsulation(&scene, 1, Families::V4, Forwarding::Ipip)?;
    scene.run(2, "ip link set eth0 mtu 1500")?;
    at_once(3, |index| match index {
        0 => address_is_missed(&scene, 0, Forwarding::Ipip),
        1 => decapsulation_is_missed(&scene, 1),
        _ => room_is_missed(&scene, 2),
    })
}

#[test]
fn what_gue_needs_on_the_backend_is_named() -> Result<()> {
    // One stays well: where none answers, the load balancer suspects itself.
    let scene = start(3, Families::V4, Forwarding::Gue)?;
    lose_address(&scene, 0, Families::V4)?;
    lose_decapsulation(&scene, 1, Families::V4, Forwarding::Gue)?;
    at_once(2, |index| match index {
        0 => address_is_missed(&scene, 0, Forwarding::Gue),
        _ => decapsulation_is_missed(&scene, 1),
    })
}

/// Also a host that is gone: there is no ARP in IPv6.
#[test]
fn what_an_ipv6_member_lacks_is_named() -> Result<()> {
    let scene = start(4, Families::V6, Forwarding::Ipip)?;
    lose_address(&scene, 0, Families::V6)?;
    lose_decapsulation(&scene, 1, Families::V6, Forwarding::Ipip)?;
    scene.lab.unplug(2)?;
    at_once(3, |index| match index {
        0 => address_is_missed(&scene, 0, Forwarding::Ipip),
        1 => decapsulation_is_missed(&scene, 1),
        _ => {
            let report = scene.names(2, "neighbor")?;
            is_named(
                &report,
                "neighbor",
                "fd00::13 does not answer neighbour solicitations on lb0",
            );
            scene.lab.plug(2)?;
            scene.repaired(2)
        }
    })
}

/// GUE in IPv6 has no UDP checksum, and what no one takes is dropped without a word: from outside the
/// virtual address could be missing as well, which the same command repairs.
#[test]
fn a_decapsulation_of_gue_that_is_missing_in_ipv6_is_reported_by_the_host() -> Result<()> {
    let scene = start(1, Families::V6, Forwarding::Gue)?;
    lose_decapsulation(&scene, 0, Families::V6, Forwarding::Gue)?;
    let report = scene.names_with_host(0, "decapsulation")?;
    is_named(&report, "decapsulation", "nothing takes the outer headers of gue off");
    scene.follow(0, &report, &[])?;
    scene.repaired(0)
}
