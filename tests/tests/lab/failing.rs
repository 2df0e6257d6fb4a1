//! Members that fail and recover. What decides their health is a server of its own, so that a member
//! which counts as dead could still answer, and every packet that reaches it is seen.

use std::time::{Duration, Instant};

use anyhow::Result;
use elb_tests::{
    address::Family,
    client::{HeldConnections, Load, http_requests},
    config::{Forwarding, MonitorKind, Pool},
    lab::Lab,
    server::{Ports, Server},
    status,
};

use crate::scene::{LIMIT, Scene, WEB};

const HEALTH: Ports = Ports { http: 8080, echo: 8081 };
const IN_VAIN: Duration = Duration::from_millis(300);

/// Three backends, and what decides their health.
fn start(shape: impl Fn(Pool) -> Pool) -> Result<(Scene, Vec<Server>)> {
    let monitored = |pool: Pool| shape(pool.monitored_on(MonitorKind::Http, HEALTH.http));
    let health = |lab: &Lab| {
        let backends = lab.backends().iter().enumerate();
        backends
            .map(|(index, netns)| Server::start_on(netns, &format!("health-{index}"), HEALTH))
            .collect()
    };
    Scene::start_with(3, Forwarding::Ipip, monitored, health)
}

#[test]
fn a_member_gets_no_new_connection_from_the_verdict_to_the_recovery() -> Result<()> {
    let (scene, mut health) = start(|pool| pool)?;
    let traffic = scene.traffic()?;
    let beat = Duration::from_millis(50);
    let held = HeldConnections::open(scene.lab.client(), scene.echo(), 60, beat)?;

    health[1].kill()?;
    scene.agent.wait_members(&[scene.member(1)], "OFFLINE", LIMIT)?;
    let verdict = Instant::now();
    traffic.flows_for(300)?;
    let recovery = Instant::now();
    health[1].restart()?;
    scene.agent.wait_members(&[scene.member(1)], "ONLINE", LIMIT)?;
    let recovered = Instant::now();
    traffic.flows_for(300)?;

    let report = traffic.was_never_disturbed()?;
    assert!(report.before(verdict).share("backend-1") > 0.1);
    let out = report.since(verdict).before(recovery).answers_by_backend();
    assert!(!out.contains_key("backend-1") && out.values().sum::<usize>() >= 300, "{out:?}");
    let share = report.since(recovered).share("backend-1");
    assert!((share - 1.0 / 3.0).abs() < 0.15, "{share}");

    // It still answers, and connections of TCP are kept.
    let held = held.stop()?;
    assert!(!held.on("backend-1").is_empty());
    assert_eq!(held.broken().len(), 0, "{:?}", held.broken());
    Ok(())
}

#[test]
fn without_a_healthy_member_nothing_is_forwarded_and_that_is_counted() -> Result<()> {
    let (scene, mut health) = start(|pool| pool)?;
    all_fail(&mut health, &scene)?;
    let said = scene.agent.status()?;
    assert!(status::slots(&said, WEB).values().all(|slots| *slots == 0), "{said}");

    let load = Load { timeout: IN_VAIN, ..Load::on(scene.web()) };
    let report = http_requests(scene.lab.client(), load, 8)?;
    assert_eq!(report.answered(), 0, "{:?}", report.answers_by_backend());
    assert!(status::packets_of(&scene.agent.status()?, "no_backend") >= 8);

    health[2].restart()?;
    scene.agent.wait_members(&[scene.member(2)], "ONLINE", LIMIT)?;
    assert_eq!(scene.request(50)?.answers_by_backend(), [("backend-2".to_owned(), 50)].into());
    Ok(())
}

#[test]
fn without_a_healthy_member_all_are_forwarded_to_if_that_is_asked_for() -> Result<()> {
    let (scene, mut health) = start(Pool::all_if_none_healthy)?;
    all_fail(&mut health, &scene)?;
    let report = scene.request(200)?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    assert_eq!(report.answers_by_backend().len(), 3, "{:?}", report.answers_by_backend());
    assert_eq!(status::drops(&scene.agent.status()?), Vec::<String>::new());
    Ok(())
}

fn all_fail(health: &mut [Server], scene: &Scene) -> Result<()> {
    health.iter_mut().try_for_each(Server::kill)?;
    let all: Vec<_> = (0..3).map(|index| scene.lab.member_addr(index, Family::V4)).collect();
    scene.agent.wait_members(&all, "OFFLINE", LIMIT)
}
