//! Members that leave: how long their connections go on, what cuts them, and how someone who
//! drains a member learns that nothing is left.

use std::time::{Duration, Instant};

use anyhow::Result;
use elb_tests::{
    client::{FailureKind, HeldConnections, HeldReport},
    config::{Forwarding, MonitorKind, Pool},
    lab::Lab,
    server::{Ports, Server},
    status,
    wait::wait_for,
};
use serde_json::Value;

use crate::scene::{self, ECHO, LIMIT, Scene};

const HEALTH: Ports = Ports { http: 8080, echo: 8081 };
const BEAT: Duration = Duration::from_millis(200);
/// Seconds that members serve on after they leave: the least there is.
const DELAY: u32 = 10;

/// Waits until new connections go to exactly these backends.
fn wait_serving(scene: &Scene, wanted: &[usize]) -> Result<()> {
    let wanted: Vec<_> = wanted.iter().map(|index| scene.member(*index)).collect();
    let serve = |said: &Value| {
        let slots = status::slots(said, ECHO);
        let owners = slots.iter().filter(|(_, slots)| **slots > 0).map(|(owner, _)| owner);
        owners.eq(&wanted)
    };
    let what = format!("new connections to go to {wanted:?}");
    scene.agent.wait_status(&what, LIMIT, serve).map(drop)
}

fn open(scene: &Scene, count: usize) -> Result<HeldConnections> {
    HeldConnections::open(scene.lab.client(), scene.echo(), count, BEAT)
}

fn broken_on(report: &HeldReport, backend: usize) -> usize {
    let on = report.on(&format!("backend-{backend}"));
    on.iter().filter(|connection| connection.failure.is_some()).count()
}

/// A member is removed, one gets weight 0, one fails its health check and one is drained by command;
/// the agent is killed meanwhile.
#[test]
fn connections_of_members_that_leave_are_cut_after_the_delay() -> Result<()> {
    let (mut scene, mut health) = Scene::start_of(5, Forwarding::Ipip, |lab: &Lab| {
        let monitored = |pool: Pool| pool.monitored_on(MonitorKind::Http, HEALTH.http);
        let config = scene::config(lab, Forwarding::Ipip, |p| monitored(p).drained_for(DELAY));
        let backends = lab.backends().iter().enumerate();
        let start = |(n, netns)| Server::start_on(netns, &format!("health-{n}"), HEALTH);
        Ok((config, backends.map(start).collect::<Result<Vec<_>>>()?))
    })?;
    let held = open(&scene, 200)?;

    let left = Instant::now();
    let pool = scene.config.pool_mut(ECHO);
    pool.members[2].weight = 0;
    pool.members.remove(1);
    scene.agent.reload(&scene.config)?;
    health[3].kill()?;
    scene.agent.run(&["drain", &scene.member(4).to_string(), "--pool", ECHO])?;
    wait_serving(&scene, &[0])?;
    scene.agent.restart()?;
    let new = open(&scene, 20)?.stop()?;
    assert_eq!((new.broken().len(), new.on("backend-0").len()), (0, 20));

    let all_are_cut = |report: &HeldReport| {
        (1..5).all(|n| broken_on(report, n) == report.on(&format!("backend-{n}")).len())
    };
    wait_for("all connections of members that left to be cut", LIMIT, || {
        Ok(all_are_cut(&held.so_far()).then_some(()))
    })?;
    let before = held.so_far();
    let report = held.stop()?;
    assert!((0..5).all(|n| before.on(&format!("backend-{n}")).len() > 10));
    assert_eq!(broken_on(&report, 0), 0, "{:?}", report.broken());
    let reset = |kind| matches!(kind, FailureKind::Reset | FailureKind::Closed);
    let failures = report.broken().into_iter().filter_map(|one| one.failure.clone());
    assert!(failures.clone().all(|failure| reset(failure.kind)), "{:?}", report.broken());
    let most_of_it = Duration::from_secs(DELAY.into()) - Duration::from_secs(2);
    assert!(failures.clone().all(|one| one.at - left > most_of_it), "{:?}", report.broken());
    assert_eq!(status::drops(&scene.agent.status()?), Vec::<String>::new());
    Ok(())
}

#[test]
fn without_the_delay_connections_of_a_member_without_weight_go_on() -> Result<()> {
    let mut scene = Scene::start(2, Forwarding::Ipip, |pool| pool)?;
    let held = open(&scene, 60)?;
    assert!(held.so_far().on("backend-1").len() > 10);
    for (weight, serving) in [(0, &[0][..]), (1, &[0, 1]), (0, &[0])] {
        scene.config.pool_mut(ECHO).members[1].weight = weight;
        scene.agent.reload(&scene.config)?;
        wait_serving(&scene, serving)?;
        let new = open(&scene, 30)?.stop()?;
        assert_eq!(new.broken().len(), 0, "{:?}", new.broken());
        assert_eq!(new.on("backend-1").is_empty(), weight == 0);
    }
    let before = held.so_far();
    wait_for("two more answers on every connection", LIMIT, || {
        Ok(held.so_far().is_beyond(&before, 2).then_some(()))
    })?;
    assert_eq!(held.stop()?.broken().len(), 0);
    Ok(())
}

#[test]
fn a_drained_member_is_watched_until_nothing_is_left() -> Result<()> {
    let mut scene = Scene::start_short(2, |pool| pool)?;
    let held = open(&scene, 40)?;
    let member = scene.member(1).to_string();
    let drain = ["drain", &member, "--pool", ECHO];
    let unknown = scene.agent.run(&["drain", "nobody"]).unwrap_err().to_string();
    assert!(unknown.contains("no member of any pool is called \"nobody\""), "{unknown}");

    let wait = |limit| [&drain[..], &["--wait", "--timeout", limit]].concat();
    let in_vain = scene.agent.run(&wait("2s")).unwrap_err().to_string();
    assert!(in_vain.contains("exit code 1: elb: after 2s, something is left on "), "{in_vain}");
    let address = scene.member(1);
    let is_draining = |said: &Value| {
        let member = status::member(said, ECHO, address);
        member.is_some_and(|member| member["operating_status"] == "DRAINING")
    };
    assert!(is_draining(&scene.agent.status()?));
    // However long it takes, and through a restart of the agent.
    let waiting = scene.agent.start_command(&[&drain[..], &["--wait"]].concat())?;
    wait_for("the wait to begin", LIMIT, || Ok((!waiting.printed()?.is_empty()).then_some(())))?;
    scene.agent.restart()?;
    let said = scene.agent.status()?;
    assert!(is_draining(&said), "it outlives the agent: {said}");
    assert_eq!(open(&scene, 20)?.stop()?.on("backend-0").len(), 20);
    assert_eq!(held.so_far().broken().len(), 0, "{:?}", held.so_far().broken());

    assert_eq!(held.stop()?.broken().len(), 0);
    let printed = waiting.finish(Duration::from_secs(60))?;
    assert!(
        printed.contains("was owner of") && printed.ends_with("nothing is left\n"),
        "{printed}"
    );
    let report = &scene.agent.ask(&drain)?["members"][0];
    assert_eq!(
        (&report["slots"], &report["former_slots"], &report["flows"]),
        (&0.into(), &0.into(), &0.into())
    );

    let other = scene.member(0).to_string();
    let last = scene.agent.end(&["drain", &other, "--pool", ECHO], LIMIT)?;
    assert_eq!(last.code, Some(0), "{last:?}");
    assert!(last.said.contains("no member of pool echo takes new connections"), "{last:?}");
    scene.agent.run(&["drain", &other, "--cancel"])?;

    scene.agent.run(&["drain", &member, "--cancel"])?;
    wait_serving(&scene, &[0, 1])?;
    assert!(!is_draining(&scene.agent.status()?));
    Ok(())
}
