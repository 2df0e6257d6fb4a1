//! The way to the member, and the way back.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use elb_tests::{
    config::{Forwarding, HealthMonitor, Member, MonitorKind},
    lab::Lab,
    process::output,
    status,
    wire::HTTP_PORT,
};

use crate::scene::{self, LIMIT, Scene, WEB, is_named, is_well};

/// Acceptance 102: the load balancer reaches its members through a router only.
#[test]
fn a_default_route_that_was_removed_is_named() -> Result<()> {
    let scene = scene::behind_a_router(|lab| {
        Ok(scene::config(lab, Forwarding::Ipip, HealthMonitor::quick(MonitorKind::Tcp)))
    })?;
    scene.run(0, "ip route del default")?;
    let report = scene.names(0, "route")?;
    assert_eq!(report.all_that("fail"), ["route"], "{:#}", report.said);
    let (_, fix) = report.fix().split_once("without a route: ").context("what to do")?;
    scene.run(0, &fix.replace("GATEWAY", "10.0.0.1").replace("DEVICE", scene.lab.device()))?;
    scene.repaired(0)
}

#[test]
fn what_a_router_says_is_reported_with_which_it_is() -> Result<()> {
    let scene = scene::behind_a_router(|lab| {
        // A router asks for three seconds before it says so, to who sent the packet.
        let monitor = HealthMonitor::patient(MonitorKind::Tcp).direct();
        Ok(scene::config(lab, Forwarding::Ipip, monitor))
    })?;
    let router = scene.lab.router();
    let filter = |rule: &str| {
        let mut command = router.command("nft");
        command.arg(rule);
        output(command, LIMIT)
    };
    // Else the router's messages are used up by probes, and a look finds silence.
    router.sysctl("ipv4/icmp_ratelimit", "0")?;
    filter(
        "add table inet acl; add chain inet acl way { type filter hook forward priority 0; }; \
         add rule inet acl way ip daddr 10.0.0.11 reject with icmp type admin-prohibited",
    )?;
    scene.lab.unplug(1)?;
    // What it knew lasts for half a minute, in which it is silent.
    router.ip("neigh flush dev back")?;

    let report = scene.names(0, "network-acl")?;
    is_named(&report, "network-acl", "a packet filter on the way, at 10.1.0.1, rejects probes");
    assert!(
        report.fix().contains("on the routers between: let TCP port 80 pass"),
        "{}",
        report.fix()
    );
    let report = scene.names(1, "neighbor")?;
    is_named(&report, "neighbor", "the router 10.1.0.1 says that 10.0.0.12 is unreachable");

    filter("insert rule inet acl way ip saddr 10.1.0.2 ip daddr 10.0.0.11 accept")?;
    scene.lab.plug(1)?;
    scene.repaired(0)?;
    scene.repaired(1)
}

#[test]
fn a_member_in_a_network_without_a_route_is_named() -> Result<()> {
    let far: IpAddr = "10.66.0.1".parse()?;
    let scene = Scene::begin(Lab::builder().backends(1), |lab| {
        lab.backend(0).ip("address add 10.66.0.1/32 dev eth0")?;
        let monitor = HealthMonitor::quick(MonitorKind::Tcp);
        let mut config = scene::config(lab, Forwarding::Ipip, monitor);
        config.pool_mut(WEB).members[0].address = far;
        Ok(config)
    })?;
    scene.agent.wait_members(&[far], "OFFLINE", LIMIT)?;
    let report = scene.agent.diagnose(&["10.66.0.1"])?;
    is_named(&report, "neighbor", "the load balancer has no way to 10.66.0.1");
    let (_, fix) =
        report.fix().split_once("add the route that is missing: ip ").context("a fix")?;
    scene.lab.lb().ip(&fix.replace("GATEWAY", "10.0.0.11"))?;
    scene.agent.wait_members(&[far], "ONLINE", LIMIT)?;
    is_well(&scene.agent.diagnose(&["10.66.0.1"])?);

    // An entry that an administrator made for a gateway that has another Ethernet address by now.
    scene.lab.lb().ip("neigh replace 10.0.0.11 lladdr 02:de:ad:00:00:01 dev lb0 nud permanent")?;
    scene.agent.wait_members(&[far], "OFFLINE", LIMIT)?;
    let report = scene.agent.diagnose(&["10.66.0.1"])?;
    let words = "10.0.0.11 on lb0 is PERMANENT and has 02:de:ad:00:00:01, but ";
    is_named(&report, "neighbor", words);
    assert!(report.evidence().contains("answers ARP requests for it"), "{}", report.evidence());
    let (fix, _) = report.fix().split_once("    #").context("a fix")?;
    assert_eq!(fix, "ip neigh del 10.0.0.11 dev lb0");
    scene.lab.lb().ip(fix.trim_start_matches("ip "))?;
    scene.agent.wait_members(&[far], "ONLINE", LIMIT)?;
    is_well(&scene.agent.diagnose(&["10.66.0.1"])?);
    Ok(())
}

/// Probes from an address that backends have no route to.
#[test]
fn a_source_of_probes_without_a_way_back_is_named() -> Result<()> {
    let scene = Scene::begin(Lab::builder().backends(1), |lab| {
        lab.lb().ip("address add 10.7.0.1/32 dev lo")?;
        let monitor = HealthMonitor::quick(MonitorKind::Tcp);
        let mut config = scene::config(lab, Forwarding::Ipip, monitor);
        config.agent.probe_source = Some([10, 7, 0, 1].into());
        Ok(config)
    })?;
    let report = scene.names_with_host(0, "route")?;
    is_named(&report, "route", "there is no route to 10.7.0.1, and no default route");
    scene.follow(0, &report, &[("GATEWAY", "10.0.0.2")])?;
    scene.repaired(0)
}

#[test]
fn a_source_of_probes_that_is_no_address_of_the_load_balancer_is_named() -> Result<()> {
    let scene = Scene::begin(Lab::builder().backends(1), |lab| {
        let monitor = HealthMonitor::quick(MonitorKind::Tcp);
        let mut config = scene::config(lab, Forwarding::Ipip, monitor);
        config.agent.probe_source = Some([10, 0, 0, 77].into());
        Ok(config)
    })?;
    // It is no verdict on the member, which has none.
    let said = scene.agent.wait_status("the fault of this host", LIMIT, |said| {
        said["agent"]["problems"].to_string().contains("fail on this load balancer itself")
    })?;
    assert!(status::all_are(&said, scene.address(0), "INITIAL"), "{said:#}");
    assert_eq!(said["load_balancers"][0]["operating_status"], "DEGRADED", "{said:#}");
    let report = scene.diagnose(0)?;
    is_named(&report, "probes", "cannot even begin a probe from 10.0.0.77");
    assert!(
        report.fix().contains("probe_source must be an address of this host"),
        "{}",
        report.fix()
    );
    scene.lab.lb().ip("address add 10.0.0.77/24 dev lb0")?;
    let added = Instant::now();
    scene.wait_for(0, "ONLINE")?;
    println!("ONLINE {:?} after the address was added", added.elapsed());
    assert!(added.elapsed() < Duration::from_secs(5), "{:?}", added.elapsed());
    let said = scene.agent.status()?;
    assert_eq!(said["agent"]["problems"], serde_json::json!([]), "{said:#}");
    scene.repaired(0)
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
            backup: false,
            max_connection: 0,
        });
    })?;
    scene.agent.wait_members(&[own], "OFFLINE", LIMIT)?;
    let report = scene.agent.diagnose(&["10.0.0.2"])?;
    assert_eq!((report.code, report.cause()), (1, Some("itself")), "{:#}", report.said);
    scene.reload(|config| config.pool_mut(WEB).members.retain(|member| member.address != own))?;
    scene.agent.wait_members(&[own], "REMOVED", LIMIT)?;
    let report = scene.agent.diagnose(&["pool:web"])?;
    assert_eq!(report.code, 0, "{:#}", report.said);
    Ok(())
}
