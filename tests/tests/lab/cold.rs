//! An agent that begins with empty maps: after a reboot, after `elb detach`, on a second node.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::Result;
use elb_tests::{
    address::{Family, Host},
    agent::Agent,
    client::{FailureKind, HeldConnections, HttpLoad, Load, Talk, http_requests},
    config::{Announce, Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    lab::Lab,
    server::Server,
    status,
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT},
};
use serde_json::Value;

use crate::scene::{ECHO, LIMIT, WEB, assert_shares, wait_until_serving};

const CONNECTIONS: usize = 100;
/// How long an answer may take while no one serves: the client sends again, ever more rarely.
const PATIENCE: Duration = Duration::from_secs(40);
/// Seconds between two probes: nothing comes of waiting for a second one.
const DELAY: u32 = 50;

/// Probed as rarely as possible.
fn rarely(kind: MonitorKind) -> HealthMonitor {
    HealthMonitor { delay: DELAY, ..HealthMonitor::patient(kind) }
}

/// A lab whose client always finds the address at the first load balancer, and its servers.
fn lab(backends: u8) -> Result<(Lab, Vec<Server>)> {
    let lab = Lab::builder().backends(backends).standby().start()?;
    let servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    lab.lead_client_to(Host::LoadBalancer)?;
    Ok((lab, servers))
}

/// One pool, on a port of the lab's address that no one announces.
fn config(lab: &Lab, name: &str, port: u16, monitor: HealthMonitor) -> Config {
    let pool = Pool::of(lab, name, Family::V4, Protocol::Tcp, port).watched(monitor);
    let mut config = Config::new(lab).balance(lab, Family::V4, port, pool);
    config.load_balancers[0].announce = Announce::None;
    config
}

fn is_settled(said: &Value) -> bool {
    status::pools(said).iter().all(|pool| pool["moving_slots"] == 0 && pool["former_slots"] == 0)
}

/// The ring began as it is: no slot moves, and none ever did.
fn assert_settled(agent: &Agent) -> Result<()> {
    let said = agent.status()?;
    assert!(is_settled(&said), "{said}");
    assert!(!agent.log().contains("of the ring moves"), "{}", agent.log());
    Ok(())
}

#[test]
fn twenty_members_that_are_probed_rarely_have_their_shares_from_the_first_connection_on()
-> Result<()> {
    let weights: Vec<u32> = (0..20).map(|index| 1 + index % 2).collect();
    let (lab, _servers) = lab(20)?;
    let mut config = config(&lab, WEB, HTTP_PORT, rarely(MonitorKind::Http));
    *config.pool_mut(WEB) = config.pool_mut(WEB).clone().weights(&weights);
    let target = lab.service(Family::V4, HTTP_PORT);
    let short = Duration::from_millis(200);
    let eager = Load { timeout: short, limit: PATIENCE, ..Load::on(target) };
    let load = HttpLoad::start(lab.client(), eager);

    let begun = Instant::now();
    let agent = Agent::start(&lab, &config)?;
    let ready = begun.elapsed();
    wait_for("three thousand answers", PATIENCE, || {
        Ok((load.so_far().answered() >= 3_000).then_some(()))
    })?;
    let report = load.stop()?;
    assert_settled(&agent)?;
    wait_until_serving(&agent)?;
    let first = report.outcomes().iter().find(|one| one.result.is_ok()).expect("some answers");
    let served = first.ended - begun;
    println!("ready after {ready:?}, the first answer after {served:?} of the agent's start");

    // Of the very first connections already.
    let names: Vec<String> = (0..20).map(|index| lab.backend_name(index)).collect();
    let counts: Vec<usize> = {
        let answers = report.answers_by_backend();
        names.iter().map(|name| answers.get(name).copied().unwrap_or(0)).collect()
    };
    assert_shares("from the first on", &counts, &weights, 0.025);
    let later = http_requests(lab.client(), Load::on(target), 500)?;
    assert_eq!(later.failures().len(), 0, "{:?}", later.failures());
    Ok(())
}

#[test]
fn live_connections_outlive_a_detach_and_a_new_start() -> Result<()> {
    outlives(|agent, _| agent.detach().map(drop))
}

/// What was saved of the members' health is still there.
#[test]
fn live_connections_outlive_the_loss_of_the_maps_alone() -> Result<()> {
    outlives(|_, config| Ok(fs::remove_dir_all(&config.agent.pin_dir)?))
}

/// The maps are lost while no one serves, and an agent begins anew.
fn outlives(lose: impl FnOnce(&Agent, &Config) -> Result<()>) -> Result<()> {
    let (lab, _servers) = lab(4)?;
    let config = config(&lab, ECHO, ECHO_PORT, HealthMonitor::patient(MonitorKind::Tcp));
    let mut agent = Agent::start(&lab, &config)?;
    wait_until_serving(&agent)?;
    let held = hold(&lab)?;

    agent.terminate()?;
    lose(&agent, &config)?;
    let begun = Instant::now();
    agent.restart()?;
    let ready = begun.elapsed();
    assert_eq!(agent.status()?["agent"]["adopted"], false);
    goes_on(held, &format!("ready {ready:?} after the start"), begun)?;
    assert_settled(&agent)
}

/// A second node that begins when the address has come to it already.
#[test]
fn live_connections_go_on_with_another_node() -> Result<()> {
    let (lab, _servers) = lab(4)?;
    let config = config(&lab, ECHO, ECHO_PORT, HealthMonitor::patient(MonitorKind::Tcp));
    let first = Agent::start(&lab, &config)?;
    wait_until_serving(&first)?;
    let held = hold(&lab)?;
    assert_settled(&first)?;

    lab.lead_client_to(Host::Standby)?;
    let begun = Instant::now();
    let second = Agent::start_standby(&lab, &config)?;
    goes_on(held, "another node", begun)?;
    wait_until_serving(&second)?;
    assert_settled(&second)?;

    // At rest, it takes over without a pause.
    let held = hold(&lab)?;
    lab.lead_client_to(Host::LoadBalancer)?;
    goes_on(held, "and back", Instant::now())
}

#[test]
fn a_pool_that_a_reload_adds_serves_soon_and_one_that_it_renames_goes_on() -> Result<()> {
    let (lab, _servers) = lab(4)?;
    let mut config = config(&lab, ECHO, ECHO_PORT, rarely(MonitorKind::Tcp));
    let mut agent = Agent::start(&lab, &config)?;
    wait_until_serving(&agent)?;
    let held = hold(&lab)?;

    let pool = Pool::of(&lab, WEB, Family::V4, Protocol::Tcp, HTTP_PORT);
    config = config.balance(&lab, Family::V4, HTTP_PORT, pool.watched(rarely(MonitorKind::Http)));
    agent.reload(&config)?;
    let served = |said: &Value| status::pools(said).len() == 2 && status::all_serve(said);
    agent.wait_status("the new pool to serve", LIMIT, served)?;
    assert_settled(&agent)?;

    // Until now each member was probed once or twice, and would be again within 50 s.
    let renamed = "echoes";
    config.pool_mut(ECHO).name = renamed.to_owned();
    config.listener_mut(ECHO).default_pool = renamed.to_owned();
    agent.reload(&config)?;
    let said =
        agent.wait_status("the new name", LIMIT, |said| status::pool(said, renamed).is_some())?;
    assert!(status::all_serve(&said), "{said}");
    let all_online =
        (0..4).all(|n| status::all_are(&said, lab.member_addr(n, Family::V4), "ONLINE"));
    assert!(all_online, "{said}");
    goes_on(held, "another name", Instant::now())?;
    assert_settled(&agent)
}

fn hold(lab: &Lab) -> Result<HeldConnections> {
    let beat = Duration::from_millis(50);
    let target = lab.service(Family::V4, ECHO_PORT);
    let talk = Talk { patience: PATIENCE, ..Talk::to(target, beat) };
    HeldConnections::open_for(lab.client(), CONNECTIONS, talk)
}

/// Each connection gets answers, more than may have been under way before; none breaks.
fn goes_on(held: HeldConnections, what: &str, begun: Instant) -> Result<()> {
    let before = held.so_far();
    wait_for("answers on every connection, or one that breaks", PATIENCE, || {
        let (now, broken) = (held.so_far(), held.first_broken().is_some());
        Ok((broken || now.is_beyond(&before, 3)).then_some(()))
    })?;
    let answered = begun.elapsed();
    let report = held.stop()?;
    let broken = report.broken().len();
    let slowest = report.slowest();
    println!(
        "{what}: {broken} of {CONNECTIONS} broke, all answered after {answered:?}, slowest {slowest:?}"
    );
    assert_eq!(broken, 0, "{:?}", report.broken());
    Ok(())
}

#[test]
fn a_ring_that_waits_goes_on_waiting_after_a_restart() -> Result<()> {
    let (lab, _servers) = lab(3)?;
    // Members that are silent, but whose Ethernet addresses are known: probes wait for an answer.
    for index in 0..3 {
        let mac = Host::Backend(u8::try_from(index)?).mac(elb_tests::address::Network::Back, false);
        let mac: Vec<String> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
        let (address, mac) = (lab.member_addr(index, Family::V4), mac.join(":"));
        lab.lb().ip(&format!("neigh replace {address} lladdr {mac} dev lb0 nud permanent"))?;
        lab.unplug(index)?;
    }
    // They try again each second, not ever more rarely, so that all end soon after an answer can come
    // (kernels before 6.5 cannot).
    let _ = lab.lb().sysctl("ipv4/tcp_syn_linear_timeouts", "60");
    let patient = HealthMonitor { timeout: 40, ..rarely(MonitorKind::Tcp) };
    let config = config(&lab, WEB, HTTP_PORT, patient);
    let mut agent = Agent::start(&lab, &config)?;
    let nothing = |agent: &Agent| -> Result<()> {
        let said = agent.status()?;
        let slots = status::slots(&said, WEB);
        assert!(slots.len() == 3 && slots.values().all(|slots| *slots == 0), "{said}");
        assert!(status::all_are(&said, lab.member_addr(0, Family::V4), "INITIAL"), "{said}");
        Ok(())
    };
    nothing(&agent)?;
    let load = Load {
        timeout: Duration::from_millis(300),
        ..Load::on(lab.service(Family::V4, HTTP_PORT))
    };
    let report = http_requests(lab.client(), load, 8)?;
    assert!(report.failures().iter().all(|one| one.kind == FailureKind::TimedOut));
    assert!(status::packets_of(&agent.status()?, "no_backend") > 0);

    agent.restart()?;
    assert_eq!(agent.status()?["agent"]["adopted"], true);
    nothing(&agent)?;
    (0..3).try_for_each(|index| lab.plug(index))?;
    let online = |said: &Value| status::all_serve(said);
    agent.wait_status("all to serve", 2 * LIMIT, online)?;
    assert_settled(&agent)?;
    let report = http_requests(lab.client(), Load::on(load.target), 300)?;
    assert_eq!((report.answered(), report.answers_by_backend().len()), (300, 3));
    Ok(())
}
