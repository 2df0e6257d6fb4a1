//! Where nothing is wrong, nothing is named.

use anyhow::Result;
use elb_tests::{
    address::Family,
    config::{Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    lab::Lab,
    wire::{ECHO_PORT, HTTP_PORT},
};

use crate::scene::{LIMIT, Scene};

/// Every check that members here answer, and none: four pools, each with both members.
fn pools(lab: &Lab, mode: Forwarding) -> Config {
    let http = HealthMonitor::quick(MonitorKind::Http).path("/health");
    let tcp = HealthMonitor::quick(MonitorKind::Tcp);
    let udp = HealthMonitor::quick(MonitorKind::UdpConnect);
    let pools = [
        ("web", Protocol::Tcp, HTTP_PORT, Some(http)),
        ("echo", Protocol::Tcp, ECHO_PORT, Some(tcp)),
        ("datagrams", Protocol::Udp, ECHO_PORT, Some(udp)),
    ];
    pools.into_iter().fold(Config::new(lab), |config, (name, protocol, port, monitor)| {
        let mut pool = Pool::of(lab, name, Family::V4, protocol, port).forwarding(mode);
        pool.healthmonitor = monitor;
        config.balance(lab, Family::V4, port, pool)
    })
}

fn nothing_is_named(mode: Forwarding) -> Result<()> {
    let scene = Scene::start_in(Lab::builder(), |lab| Ok(pools(lab, mode)))?;
    let all = scene.agent.diagnose(&[])?;
    assert_eq!(all.code, 0, "{:#}", all.said);
    assert_eq!(all.said["healthy"].as_array().map(Vec::len), Some(6), "{:#}", all.said);
    let text = scene.agent.end(&["diagnose", "lb-0"], LIMIT)?;
    assert!(text.printed.contains("web/10.0.0.11:80: healthy"), "{text:?}");
    for pool in &scene.config.pools {
        for member in &pool.members {
            let name = format!("{}/{}", pool.name, member.address);
            let told = scene.agent.diagnose(&[&name])?;
            assert_eq!((told.code, told.cause()), (0, None), "{name}: {:#}", told.said);
            for verdict in ["fail", "warn"] {
                assert_eq!(told.all_that(verdict), Vec::<&str>::new(), "{name}: {:#}", told.said);
            }
        }
    }
    Ok(())
}

#[test]
fn nothing_is_named_for_healthy_members_by_l2() -> Result<()> {
    nothing_is_named(Forwarding::L2)
}

#[test]
fn nothing_is_named_for_healthy_members_by_ipip() -> Result<()> {
    nothing_is_named(Forwarding::Ipip)
}

#[test]
fn nothing_is_named_for_healthy_members_by_gue() -> Result<()> {
    nothing_is_named(Forwarding::Gue)
}
