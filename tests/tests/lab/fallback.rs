//! A pool that takes a listener over: while too few members of its default pool can serve, and no longer;
//! connections stay where they are, both ways.

use anyhow::Result;
use elb_tests::{
    address::Family,
    config::{Config, Forwarding, MonitorKind, Pool, Protocol},
    lab::Lab,
    printed,
    server::{Ports, Server},
    status,
    wait::{STUCK, wait_for},
    wire::ECHO_PORT,
};
use serde_json::Value;

use crate::scene::{ECHO, LIMIT, Scene, all_go_on};

const HEALTH: Ports = Ports { http: 8080, echo: 8081 };
const SPARE: &str = "spare";

/// Two backends in the pool of echoes, and two in the one that takes over when one is left.
fn start() -> Result<(Scene, Vec<Server>)> {
    Scene::start_of(4, Forwarding::Ipip, |lab: &Lab| {
        let own = Pool::of(lab, ECHO, Family::V4, Protocol::Tcp, ECHO_PORT)
            .monitored_on(MonitorKind::Http, HEALTH.http);
        let mut spare = Pool { name: SPARE.to_owned(), ..own.clone() };
        spare.members.drain(..2);
        let mut own = own;
        own.members.truncate(2);
        let mut config = Config::new(lab).balance(lab, Family::V4, ECHO_PORT, own);
        let listener = config.listener_mut(ECHO);
        (listener.fallback_pool, listener.fallback_below) = (Some(SPARE.to_owned()), Some(2));
        config.pools.push(spare);
        let backends = lab.backends().iter().enumerate();
        let start = |(n, netns)| Server::start_on(netns, &format!("health-{n}"), HEALTH);
        Ok((config, backends.map(start).collect::<Result<Vec<_>>>()?))
    })
}

/// Waits until the other pool serves, or does not.
fn wait_fallback(scene: &Scene, in_use: bool) -> Result<()> {
    let is_so = |said: &Value| {
        status::listener(said, ECHO).is_some_and(|one| one["fallback"]["in_use"] == in_use)
    };
    scene.agent.wait_status(&format!("the fallback pool in use: {in_use}"), LIMIT, is_so).map(drop)
}

/// Events of listeners by their ids, the oldest first; found by the name of either pool.
fn fallback_events(scene: &Scene) -> Result<Vec<String>> {
    let ask = |pool: &str| -> Result<Vec<String>> {
        let said = scene.agent.run(&["events", "--pool", pool, "-o", "json"])?;
        let events = printed::lines(&["events"], &said)?;
        let of_listener = events.iter().filter(|event| event["listener"] == ECHO);
        Ok(of_listener.filter_map(|event| Some(event["event_id"].as_str()?.to_owned())).collect())
    };
    let ids = ask(SPARE)?;
    assert_eq!(ids, ask(ECHO)?);
    Ok(ids)
}

#[test]
fn another_pool_takes_over_and_gives_back_and_connections_stay() -> Result<()> {
    let (mut scene, mut health) = start()?;
    wait_fallback(&scene, false)?;
    let before = scene.held_on(&[0, 1])?;

    // One member is left, fewer than two.
    health[1].kill()?;
    wait_fallback(&scene, true)?;
    let meanwhile = scene.held_on(&[2, 3])?;
    let text = scene.agent.run(&["status"])?;
    let words = "fallback pool spare in use: 1 members of the default pool take new connections";
    assert!(text.contains(words), "{text}");
    let checked = scene.agent.end(&["status", "--check"], STUCK)?;
    assert_eq!(checked.code, Some(1), "{checked:?}");
    assert!(checked.printed.contains("fallback pool spare in use"), "{checked:?}");
    let echo = scene.echo().to_string();
    let ask = ["explain", "--src", "10.1.0.9", "--dst", &echo, "--proto", "tcp", "--syn"];
    let explained = scene.agent.run(&ask)?;
    assert!(explained.contains("served by pool spare"), "{explained}");
    let diagnosed = scene.agent.end(&["diagnose", &format!("pool:{ECHO}")], STUCK)?.printed;
    assert!(diagnosed.contains("health") || diagnosed.contains("OFFLINE"), "{diagnosed}");
    wait_for("metrics of the fallback", LIMIT, || {
        let said = scene.agent.run(&["metrics"])?;
        let mut lines = said.lines();
        let line = lines.find(|line| line.starts_with("elb_listener_fallback_used{"));
        Ok(line.is_some_and(|line| line.ends_with(" 1")).then_some(()))
    })?;

    assert_eq!(fallback_events(&scene)?, ["listenerFallback"]);
    let table = scene.agent.run(&["events"])?;
    assert!(
        table.contains("served by pool spare: 1 members of echo take new connections"),
        "{table}"
    );

    // Without any member of its own the listener serves on, also by the next agent.
    health[0].kill()?;
    scene.agent.wait_members(&[scene.member(0)], "OFFLINE", LIMIT)?;
    scene.agent.restart()?;
    wait_fallback(&scene, true)?;
    scene.held_on(&[2, 3])?.stop()?;

    health[0].restart()?;
    health[1].restart()?;
    wait_fallback(&scene, false)?;
    let after = scene.held_on(&[0, 1])?;
    let log = scene.agent.log();
    assert!(log.contains("the default pool serves the listener again"), "{log}");
    assert_eq!(fallback_events(&scene)?, ["listenerFallback", "listenerFallbackOver"]);
    all_go_on([("before", before), ("meanwhile", meanwhile), ("after", after)])?;
    assert_eq!(status::drops(&scene.agent.status()?), Vec::<String>::new());
    Ok(())
}
