//! What direct server return needs on the member's host: probes go as traffic goes, and tell.

use anyhow::Result;
use elb_tests::{
    config::{Forwarding, HealthMonitor, MonitorKind},
    lab::Lab,
};

use crate::scene::{self, Scene};

fn start(mode: Forwarding) -> Result<Scene> {
    let monitor = HealthMonitor::quick(MonitorKind::Http);
    Scene::start_in(Lab::builder(), |lab| Ok(scene::config(lab, mode, monitor)))
}

fn virtual_address_is_missed(mode: Forwarding) -> Result<()> {
    let scene = start(mode)?;
    scene.run(0, "ip address del 10.0.0.100/32 dev lo")?;
    let told = scene.names(0, "virtual-address")?;
    let fix = format!("elb backend up --vip 10.0.0.100 --mode {}", mode.name());
    assert!(told.fix().ends_with(&fix), "{}", told.fix());
    for check in ["listening", "firewall", "route", "security-group"] {
        assert_eq!(told.verdict(check), "pass", "{check}: {:#}", told.said);
    }
    scene.lab.backend_up(0, mode)?;
    scene.mended(0)
}

#[test]
fn a_virtual_address_that_is_missing_on_lo_is_named_by_l2() -> Result<()> {
    virtual_address_is_missed(Forwarding::L2)
}

#[test]
fn a_virtual_address_that_is_missing_on_lo_is_named_by_ipip() -> Result<()> {
    virtual_address_is_missed(Forwarding::Ipip)
}

fn decapsulation_is_missed(mode: Forwarding) -> Result<()> {
    let scene = start(mode)?;
    scene.lab.backend_down(1, mode)?;
    let told = scene.names(1, "decapsulation")?;
    assert!(told.evidence().contains("says with ICMP"), "{}", told.evidence());
    scene.lab.backend_up(1, mode)?;
    scene.mended(1)
}

#[test]
fn a_decapsulation_that_is_missing_is_named_by_ipip() -> Result<()> {
    decapsulation_is_missed(Forwarding::Ipip)
}

#[test]
fn a_decapsulation_that_is_missing_is_named_by_gue() -> Result<()> {
    decapsulation_is_missed(Forwarding::Gue)
}
