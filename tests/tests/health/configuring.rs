//! What the settings of a monitor do.

use std::time::Duration;

use anyhow::Result;
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{FailureKind, Load, http_requests},
    config::{Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    lab::Lab,
    server::{Ports, Server},
    status,
    wire::{ECHO_PORT, HTTP_PORT},
};

use crate::watch::{LIMIT, Watch, lab};

const WEB: &str = "web";
/// Where a server listens that is not what clients ask for.
const HEALTH: Ports = Ports { http: 8080, echo: 8081 };

fn tcp() -> HealthMonitor {
    HealthMonitor::patient(MonitorKind::Tcp).direct()
}

fn config(lab: &Lab, monitor: HealthMonitor) -> Config {
    let pool = Pool::of(lab, WEB, Family::V4, Protocol::Tcp, HTTP_PORT).watched(monitor);
    Config::new(lab).balance(lab, Family::V4, HTTP_PORT, pool)
}

#[test]
fn a18_the_monitor_port_is_probed_instead_of_the_service() -> Result<()> {
    let lab = lab(1)?;
    let _server = Server::start_on(lab.backend(0), "backend-0", HEALTH)?;
    let config = config(&lab, tcp().port(HEALTH.http));
    let mut watch = Watch::start_config(lab, config)?;
    watch.wait(WEB, "ONLINE")?;

    watch.config.pool_mut(WEB).healthmonitor = Some(tcp());
    watch.reload()?;
    watch.wait_reason(WEB, "CONNECT_REFUSED")?;
    Ok(())
}

#[test]
fn a19_without_a_check_dead_members_get_traffic_too() -> Result<()> {
    let lab = lab(2)?;
    let _server = Server::start(lab.backend(0), "backend-0")?;
    lab.backends_up(Forwarding::Ipip)?;
    let config = config(&lab, HealthMonitor { admin_state_up: false, ..tcp() });
    let watch = Watch::start_config(lab, config)?;
    let members = [0, 1].map(|index| watch.lab.member_addr(index, Family::V4));
    watch.agent.wait_members(&members, "NO_MONITOR", LIMIT)?;
    let service = watch.lab.service(Family::V4, HTTP_PORT);
    watch.agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
    let report = http_requests(watch.lab.client(), Load::on(service), 60)?;
    assert!(report.answered() > 0, "no member served");
    let refused = |failure: &&elb_tests::client::Failure| failure.kind == FailureKind::Refused;
    let refused = report.failures().into_iter().filter(refused).count();
    assert!(refused > 0, "the dead member got nothing");
    assert_eq!(report.answered() + refused, 60, "{:?}", report.failures());
    Ok(())
}

#[test]
fn a20_switching_the_check_on_probes_at_once() -> Result<()> {
    let lab = lab(1)?;
    let _server = Server::start(lab.backend(0), "backend-0")?;
    // The second probe comes when the test is long over.
    let monitor = HealthMonitor { delay: 50, ..tcp() };
    let off = HealthMonitor { admin_state_up: false, ..monitor.clone() };
    let config = config(&lab, off);
    let mut watch = Watch::start_config(lab, config)?;
    watch.wait(WEB, "NO_MONITOR")?;
    watch.config.pool_mut(WEB).healthmonitor = Some(monitor);
    watch.reload()?;
    let member = watch.lab.member_addr(0, Family::V4);
    watch.agent.wait_members(&[member], "ONLINE", Duration::from_secs(10))
}

#[test]
fn a23_a_type_that_does_not_fit_the_pool_is_refused() -> Result<()> {
    let lab = lab(1)?;
    for (protocol, kind, instead) in [
        (Protocol::Udp, MonitorKind::Http, "use UDP_CONNECT or COMMAND"),
        (Protocol::Tcp, MonitorKind::UdpConnect, "use TCP, HTTP, HTTPS, TLS, GRPC or COMMAND"),
    ] {
        let pool = Pool::of(&lab, WEB, Family::V4, protocol, ECHO_PORT);
        let pool = pool.watched(HealthMonitor::quick(kind));
        let config = Config::new(&lab).balance(&lab, Family::V4, ECHO_PORT, pool);
        let mut good = config.clone();
        good.pool_mut(WEB).healthmonitor = None;
        let mut agent = Agent::start(&lab, &good)?;
        agent.reload(&config)?;
        let said = agent.wait_status("the problem to be reported", LIMIT, |said| {
            said["agent"]["problems"].as_array().is_some_and(|problems| !problems.is_empty())
        })?;
        let problems = said["agent"]["problems"].to_string();
        assert!(problems.contains(instead), "{problems}");
        agent.terminate()?;
    }
    Ok(())
}
