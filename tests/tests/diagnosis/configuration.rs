//! What the configuration file gets wrong.

use std::sync::Mutex;

use anyhow::Result;
use elb_tests::{
    address::Family,
    config::{Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    lab::Lab,
    server::Server,
    status,
    wire::Service,
};

use crate::scene::{self, LIMIT, Scene, WEB, at_once, is_named, is_well};

/// Acceptance 96.
#[test]
fn a_pool_without_a_listener_is_to_be_attached() -> Result<()> {
    let mut scene = Scene::start(HealthMonitor::quick(MonitorKind::Tcp))?;
    let listener = scene.config.load_balancers[0].listeners[0].clone();
    scene.reload(|config| {
        config.agent.allow_empty = Some(true);
        config.load_balancers[0].listeners.clear();
    })?;
    scene.agent.wait_status("a pool without listener", LIMIT, |said| {
        status::pool(said, WEB).is_some_and(|pool| pool["listeners"] == 0)
    })?;
    for target in [WEB.to_owned(), scene.name(0)] {
        let diagnosis = scene.agent.diagnose(&[&target])?;
        assert_eq!(
            (diagnosis.code, diagnosis.cause()),
            (1, Some("attached")),
            "{:#}",
            diagnosis.said
        );
        assert!(
            diagnosis.fix().contains("add a listener with default_pool = \"web\""),
            "{}",
            diagnosis.fix()
        );
    }
    let diagnosis = scene.agent.diagnose(&[])?;
    assert_eq!((diagnosis.code, diagnosis.cause()), (1, Some("attached")), "{:#}", diagnosis.said);

    scene.reload(|config| config.load_balancers[0].listeners.push(listener))?;
    scene.agent.wait_status("a listener", LIMIT, |said| {
        status::pool(said, WEB).is_some_and(|pool| pool["listeners"] == 1)
    })?;
    scene.repaired(0)
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
        let diagnosis = scene.agent.diagnose(&[&target])?;
        assert_eq!(
            (diagnosis.code, diagnosis.cause()),
            (1, Some("address-bound")),
            "{:#}",
            diagnosis.said
        );
        assert!(diagnosis.evidence().contains("TCP listener \"web\""), "{}", diagnosis.evidence());
        assert!(diagnosis.fix().contains("set vip_address = \"ADDRESS\""), "{}", diagnosis.fix());
    }
    scene.reload(|config| config.load_balancers[0].vip_address = Some([10, 0, 0, 100].into()))?;
    scene.repaired(0)
}

/// The others that the pool serves have one, and what keeps the member from working is named as well.
#[test]
fn an_address_that_one_of_two_load_balancers_lacks_hides_nothing() -> Result<()> {
    let mut scene = Scene::start_in(Lab::builder(), |lab| {
        let mut config =
            scene::config(lab, Forwarding::Ipip, HealthMonitor::quick(MonitorKind::Tcp));
        let mut bare = config.load_balancers[0].clone();
        (bare.name, bare.vip_address) = ("bare".to_owned(), None);
        bare.listeners[0].name = "bare-web".to_owned();
        config.load_balancers.push(bare);
        Ok(config)
    })?;
    is_well(&scene.diagnose(0)?);
    scene.servers[0].kill()?;
    scene.wait_for(0, "OFFLINE")?;
    for target in ["lb:lb-0", "listener:lb-0/web", &scene.name(0)] {
        let diagnosis = scene.agent.diagnose(&[target])?;
        is_named(&diagnosis, "listening", "");
    }
    let diagnosis = scene.agent.diagnose(&["lb:bare"])?;
    is_named(&diagnosis, "address-bound", "load balancer \"bare\" has no address");
    let diagnosis = scene.agent.diagnose(&[])?;
    let causes = diagnosis.said["reports"].as_array().into_iter().flatten();
    let causes: Vec<_> = causes.map(|report| report["cause"].clone()).collect();
    assert_eq!(causes, ["address-bound", "listening"], "{:#}", diagnosis.said);
    Ok(())
}

/// They are healthy, and no one may connect.
#[test]
fn a_pool_whose_members_all_rest_is_named() -> Result<()> {
    let scene = Scene::start_in(Lab::builder().backends(2), |lab| {
        Ok(scene::config(lab, Forwarding::Ipip, HealthMonitor::quick(MonitorKind::Tcp)))
    })?;
    let members = [0, 1].map(|index| scene.address(index).to_string());
    scene.agent.run(&["drain", &members[0]])?;
    assert_eq!(scene.agent.diagnose(&[])?.code, 0);
    scene.agent.run(&["drain", &members[1]])?;
    let listener = status::listener(&scene.agent.status()?, WEB).cloned();
    assert!(listener.is_some_and(|listener| listener["operating_status"] == "DEGRADED"));
    let diagnosis = scene.agent.diagnose(&["lb:lb-0"])?;
    is_named(&diagnosis, "taken", "no member of pool \"web\" takes new connections");
    let fix: Vec<&str> = diagnosis.fix().split_whitespace().skip(1).collect();
    scene.agent.run(&fix)?;
    is_well(&scene.agent.diagnose(&[])?);
    let listener = status::listener(&scene.agent.status()?, WEB).cloned();
    assert!(listener.is_some_and(|listener| listener["operating_status"] == "ONLINE"));
    Ok(())
}

/// Acceptance 98.
#[test]
fn a_wrong_path_is_named_with_its_code_and_tcp_is_suggested() -> Result<()> {
    let mut scene = Scene::start(HealthMonitor::quick(MonitorKind::Http))?;
    scene.reload(|config| watch(config).url_path = Some("/nowhere".to_owned()))?;
    let diagnosis = scene.names(0, "configuration")?;
    let evidence = diagnosis.evidence();
    assert!(evidence.contains("GET /nowhere") && evidence.contains("404"), "{evidence}");
    assert!(diagnosis.fix().contains("url_path = \"/\""), "{}", diagnosis.fix());
    assert!(diagnosis.fix().contains("type = \"TCP\""), "{}", diagnosis.fix());
    for check in ["listening", "security-group", "firewall", "route", "hosts-deny"] {
        assert_eq!(diagnosis.outcome(check), "pass", "{check}: {:#}", diagnosis.said);
    }

    scene.follow_in_file(&diagnosis, "url_path")?;
    scene.repaired(0)
}

/// What is wrong with the health check of a pool of its own, and how the report must read.
struct Wrong {
    service: Service,
    monitor: HealthMonitor,
    /// Words of the evidence.
    evidence: &'static str,
    /// The key that the report sets.
    key: &'static str,
}

fn wrongs() -> [Wrong; 9] {
    use {MonitorKind::*, Service as Serves};
    let wrong = |service, monitor, evidence, key| Wrong { service, monitor, evidence, key };
    let quick = HealthMonitor::quick;
    [
        wrong(
            Serves::Http,
            quick(Http).path("/status/204"),
            "is answered with 204, expected 200, which says that it works",
            "expected_codes",
        ),
        wrong(
            Serves::Http,
            quick(Tcp).port(8099),
            "port 8099 is probed and closed, but the member's own port",
            "monitor_port",
        ),
        wrong(Serves::Http, quick(Https), "speaks plain HTTP, but is probed with TLS", "type"),
        wrong(Serves::Http, quick(Tls), "speaks plain HTTP, but is probed with TLS", "type"),
        wrong(Serves::Http, quick(Grpc), "speaks plain HTTP, but is probed with gRPC", "type"),
        wrong(Serves::Https, quick(Http), "speaks TLS, but is probed with plain HTTP", "type"),
        wrong(
            Serves::Grpc,
            quick(Grpc).path("/status/5"),
            "the gRPC check fails: grpc-status 5",
            "type",
        ),
        wrong(
            Serves::Http,
            quick(Http).path("/host/10.0.0.100").host("www.example.com"),
            "but as expected with Host: 10.0.0.100: the server verifies the Host",
            "domain_name",
        ),
        wrong(
            Serves::Http,
            quick(Http).path("/silence"),
            "GET /silence at 10.0.0.11:8008 is not answered in time, but / is",
            "url_path",
        ),
    ]
}

/// Each in a pool of its own: all are OFFLINE, are named, and are repaired in the file as it is said.
#[test]
fn each_key_of_a_health_check_that_is_wrong_is_named() -> Result<()> {
    let wrongs = wrongs();
    let ports = || 8000..;
    let name = |port: u16| format!("pool-{port}");
    let mut server = None;
    let mut scene = Scene::begin(Lab::builder().backends(1), |lab| {
        let offers: Vec<_> = wrongs.iter().map(|wrong| wrong.service).zip(ports()).collect();
        server = Some(Server::start_with(lab.backend(0), "more", &offers, None)?);
        let mut config = Config::new(lab);
        for (wrong, port) in wrongs.iter().zip(ports()) {
            let pool = Pool::of(lab, &name(port), Family::V4, Protocol::Tcp, port);
            let pool = pool.watched(wrong.monitor.clone());
            config = config.balance(lab, Family::V4, port, pool);
        }
        Ok(config)
    })?;
    scene.wait_for(0, "OFFLINE")?;
    let file = Mutex::new(scene.config.text()?.parse()?);
    let all: Vec<(&Wrong, u16)> = wrongs.iter().zip(ports()).collect();
    let member = |port| format!("{}/10.0.0.11", name(port));
    at_once(all.len(), |index| {
        let (wrong, port) = all[index];
        let diagnosis = scene.agent.diagnose(&[&member(port)])?;
        is_named(&diagnosis, "configuration", wrong.evidence);
        let mut file = file.lock().expect("no other thread panicked");
        scene::set_as_advised(&mut file, &name(port), &diagnosis, wrong.key)
    })?;
    let file = file.into_inner().expect("no thread panicked");
    scene.agent.reload_with(&file.to_string())?;
    scene.wait_for(0, "ONLINE")?;
    at_once(all.len(), |index| {
        is_well(&scene.agent.diagnose(&[&member(all[index].1)])?);
        Ok(())
    })
}

#[test]
fn names_that_are_wrong_or_mean_too_much_are_answered_with_names() -> Result<()> {
    let scene = Scene::start(HealthMonitor::quick(MonitorKind::Tcp))?;
    for (target, said) in [
        (
            "nobody",
            "no load balancer, listener, pool or member is called \"nobody\", or has it as its address; there are: ",
        ),
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
