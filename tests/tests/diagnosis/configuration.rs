//! What the configuration file gets wrong.

use anyhow::Result;
use elb_tests::{
    config::{Config, Forwarding, HealthMonitor, MonitorKind},
    lab::Lab,
};

use crate::scene::{self, LIMIT, Scene, WEB};

/// Acceptance 96.
#[test]
fn a_pool_without_a_listener_is_to_be_attached() -> Result<()> {
    let mut scene = Scene::start(HealthMonitor::quick(MonitorKind::Tcp))?;
    let listener = scene.config.load_balancers[0].listeners[0].clone();
    scene.reload(|config| config.load_balancers[0].listeners.clear())?;
    scene.agent.wait_status("a pool without listener", LIMIT, |said| {
        said["unused_pools"].as_array().is_some_and(|pools| pools.len() == 1)
    })?;
    for target in [WEB.to_owned(), scene.name(0)] {
        let told = scene.agent.diagnose(&[&target])?;
        assert_eq!((told.code, told.cause()), (1, Some("attached")), "{:#}", told.said);
        assert!(
            told.fix().contains("add a listener with default_pool = \"web\""),
            "{}",
            told.fix()
        );
    }
    let told = scene.agent.diagnose(&[])?;
    assert_eq!((told.code, told.cause()), (1, Some("attached")), "{:#}", told.said);

    scene.reload(|config| config.load_balancers[0].listeners.push(listener))?;
    scene.agent.wait_status("a listener", LIMIT, |said| {
        said["unused_pools"].as_array().is_some_and(Vec::is_empty)
    })?;
    scene.mended(0)
}

/// Acceptance 97.
#[test]
fn a_load_balancer_without_an_address_is_to_get_one() -> Result<()> {
    let mut scene = Scene::begin(Lab::builder(), |lab| {
        let monitor = HealthMonitor::quick(MonitorKind::Tcp);
        let mut config = scene::config(lab, Forwarding::Ipip, monitor);
        config.load_balancers[0].vip_address = None;
        Ok(config)
    })?;
    for target in ["lb:lb-0".to_owned(), scene.name(0)] {
        let told = scene.agent.diagnose(&[&target])?;
        assert_eq!((told.code, told.cause()), (1, Some("address-bound")), "{:#}", told.said);
        assert!(told.evidence().contains("TCP listener \"web\""), "{}", told.evidence());
        assert!(told.fix().contains("set vip_address = \"ADDRESS\""), "{}", told.fix());
    }
    scene.reload(|config| config.load_balancers[0].vip_address = Some([10, 0, 0, 100].into()))?;
    scene.mended(0)
}

/// Acceptance 98.
#[test]
fn a_wrong_path_is_named_with_its_code_and_tcp_is_suggested() -> Result<()> {
    let mut scene = Scene::start(HealthMonitor::quick(MonitorKind::Http))?;
    scene.reload(|config| watch(config).url_path = Some("/nowhere".to_owned()))?;
    let told = scene.names(0, "configuration")?;
    let evidence = told.evidence();
    assert!(evidence.contains("GET /nowhere") && evidence.contains("404"), "{evidence}");
    assert!(told.fix().contains("url_path = \"/\""), "{}", told.fix());
    assert!(told.fix().contains("type = \"TCP\""), "{}", told.fix());
    for check in ["listening", "security-group", "firewall", "route", "hosts-deny"] {
        assert_eq!(told.verdict(check), "pass", "{check}: {:#}", told.said);
    }

    scene.reload(|config| watch(config).url_path = Some("/".to_owned()))?;
    scene.mended(0)
}

#[test]
fn a_code_that_is_not_expected_is_named() -> Result<()> {
    let mut scene = Scene::start(HealthMonitor::quick(MonitorKind::Http))?;
    scene.reload(|config| {
        watch(config).url_path = Some("/status/204".to_owned());
    })?;
    let told = scene.names(1, "configuration")?;
    assert!(told.evidence().contains("204, expected 200"), "{}", told.evidence());
    scene.reload(|config| watch(config).expected_codes = Some("200,204".to_owned()))?;
    scene.mended(1)
}

#[test]
fn a_port_that_is_not_the_services_is_named() -> Result<()> {
    let mut scene = Scene::start(HealthMonitor::quick(MonitorKind::Tcp))?;
    scene.reload(|config| watch(config).monitor_port = Some(8099))?;
    let told = scene.names(0, "configuration")?;
    assert!(told.evidence().contains("port 8099 is probed and closed"), "{}", told.evidence());
    scene.reload(|config| watch(config).monitor_port = None)?;
    scene.mended(0)
}

#[test]
fn tls_where_plain_http_is_spoken_is_named() -> Result<()> {
    let mut scene = Scene::start(HealthMonitor::quick(MonitorKind::Http))?;
    for kind in [MonitorKind::Https, MonitorKind::Tls] {
        scene.reload(|config| watch(config).kind = kind)?;
        let told = scene.names(0, "configuration")?;
        assert!(told.evidence().contains("speaks plain HTTP"), "{}", told.evidence());
        assert!(told.fix().contains("type = \"HTTP\""), "{}", told.fix());
        scene.reload(|config| watch(config).kind = MonitorKind::Http)?;
        scene.mended(0)?;
    }
    Ok(())
}

#[test]
fn names_that_are_wrong_or_mean_too_much_are_answered_with_names() -> Result<()> {
    let scene = Scene::start(HealthMonitor::quick(MonitorKind::Tcp))?;
    for (target, said) in [
        ("nobody", "no load balancer, listener, pool or member is called \"nobody\"; there are: "),
        (WEB, "is more than one thing; say which: listener:lb-0/web, pool:web"),
    ] {
        let ended = scene.agent.end(&["diagnose", target], LIMIT)?;
        assert_eq!(ended.code, Some(3), "{ended:?}");
        assert!(ended.said.contains(said), "{ended:?}");
    }
    Ok(())
}

fn watch(config: &mut Config) -> &mut HealthMonitor {
    config.pool_mut(WEB).healthmonitor.as_mut().expect("the pool is watched")
}
