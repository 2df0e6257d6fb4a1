//! The way to the member, and the way back.

use anyhow::Result;
use elb_tests::{
    config::{Forwarding, HealthMonitor, Member, MonitorKind},
    lab::Lab,
    wire::HTTP_PORT,
};

use crate::scene::{self, LIMIT, Scene, WEB};

/// Acceptance 102: the load balancer reaches its members through a router only.
#[test]
fn a_default_route_that_was_removed_is_named() -> Result<()> {
    let scene = Scene::start_in(Lab::builder().two_armed(), |lab| {
        // The router's link takes 1500 bytes.
        lab.lb().ip("address del 10.0.0.2/24 dev lb1\n\
             route add 10.0.0.0/24 via 10.1.0.1 dev lb0 mtu 1500")?;
        Ok(scene::config(lab, Forwarding::Ipip, HealthMonitor::quick(MonitorKind::Tcp)))
    })?;
    scene.run(0, "ip route del default")?;
    let told = scene.names(0, "route")?;
    let fix = "ip route add default via GATEWAY dev DEVICE";
    assert!(told.fix().contains(fix), "{}", told.fix());
    assert_eq!(told.all_that("fail"), ["route"], "{:#}", told.said);
    scene.run(0, &fix.replace("GATEWAY", "10.0.0.1").replace("DEVICE", scene.lab.device()))?;
    scene.mended(0)
}

#[test]
fn a_host_that_is_gone_is_no_neighbour_any_more() -> Result<()> {
    let scene = Scene::start(HealthMonitor::quick(MonitorKind::Tcp))?;
    scene.lab.unplug(1)?;
    let told = scene.names(1, "neighbor")?;
    assert!(
        told.evidence().contains("10.0.0.12 does not answer ARP requests"),
        "{}",
        told.evidence()
    );
    scene.lab.plug(1)?;
    scene.mended(1)
}

#[test]
fn a_member_that_is_the_load_balancer_itself_is_named() -> Result<()> {
    let mut scene = Scene::start(HealthMonitor::quick(MonitorKind::Tcp))?;
    let own = "10.0.0.2".parse()?;
    scene.reload(|config| {
        config.pool_mut(WEB).members.push(Member {
            address: own,
            protocol_port: HTTP_PORT,
            weight: 1,
        });
    })?;
    scene.agent.wait_members(&[own], "OFFLINE", LIMIT)?;
    let told = scene.agent.diagnose(&["10.0.0.2"])?;
    assert_eq!((told.code, told.cause()), (1, Some("itself")), "{:#}", told.said);
    scene.reload(|config| config.pool_mut(WEB).members.retain(|member| member.address != own))?;
    scene.agent.wait_members(&[own], "REMOVED", LIMIT)?;
    let told = scene.agent.diagnose(&["pool:web"])?;
    assert_eq!(told.code, 0, "{:#}", told.said);
    Ok(())
}
