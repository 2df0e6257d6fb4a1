//! Pools that choose for each connection, and record it: none is lost by a change, and all are counted.

use std::{
    net::SocketAddrV4,
    ops::Range,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::maps::{HashMap, Map, MapData};
use elb_common::{flow::Flow, names};
use elb_tests::{
    client::{HeldConnection, HeldConnections},
    config::{Forwarding, MonitorKind, Pool},
    generated::{Segment, key},
    lab::Lab,
    record::Record,
    server::{Ports, Server},
    status,
    wait::{STUCK, wait_for},
    wire::HTTP_PORT,
};
use serde_json::Value;

use crate::{
    load::{OPENING, of_listener, since},
    scene::{self, ECHO, LIMIT, Scene, WEB},
};

const HEALTH: Ports = Ports { http: 8080, echo: 8081 };
/// Real connections, opened as fast as can be.
const REAL: usize = 4_000;
const BEAT: Duration = Duration::from_secs(4);
/// Generated connections that are open at once: nearly as many as one listener may have.
const GENERATED: Range<u32> = 0..500_000;

/// Whether a count is right within a hundredth.
fn is_near(count: u64, due: u64) -> bool {
    count.abs_diff(due) * 100 <= due
}

/// A member fails, and another gets another weight.
fn real_connections_outlive_changes(algorithm: &str) -> Result<()> {
    let (mut scene, mut health) = Scene::start_of(3, Forwarding::Ipip, |lab: &Lab| {
        let shape = |pool: Pool| pool.by(algorithm).monitored_on(MonitorKind::Http, HEALTH.http);
        let backends = lab.backends().iter().enumerate();
        let start = |(n, netns)| Server::start_on(netns, &format!("health-{n}"), HEALTH);
        let health = backends.map(start).collect::<Result<Vec<_>>>()?;
        Ok((scene::config(lab, Forwarding::Ipip, shape), health))
    })?;
    let begun = Instant::now();
    let held = HeldConnections::open(scene.lab.client(), scene.echo(), REAL, BEAT)?;
    println!("{algorithm}: {REAL} connections opened within {:?}", begun.elapsed());
    let by_member: Vec<u64> =
        (0..3).map(|index| held.so_far().on(&scene.lab.backend_name(index)).len() as u64).collect();
    counts(&scene, "all connections to be counted", &by_member)?;

    health[2].kill()?;
    scene.agent.wait_members(&[scene.member(2)], "OFFLINE", LIMIT)?;
    scene.config.pool_mut(ECHO).members[1].weight = 3;
    let second = scene.member(1);
    scene.reload("another weight", |said| {
        status::member(said, ECHO, second).is_some_and(|member| member["weight"] == 3)
    })?;
    let before = held.so_far();
    let is_healthy =
        |one: &HeldConnection| one.backend.as_deref() != Some(&*scene.lab.backend_name(2));
    wait_for("two more answers on every connection of the healthy", STUCK, || {
        let now = held.so_far();
        let mut pairs = now.connections.iter().zip(&before.connections);
        let goes_on = |(now, before): (&HeldConnection, &HeldConnection)| {
            now.failure.is_some() || now.round_trips >= before.round_trips + 2
        };
        Ok(pairs.all(|pair| !is_healthy(pair.0) || goes_on(pair)).then_some(()))
    })?;
    counts(&scene, "the connections of the healthy to be counted", &by_member[..2])?;
    let report = held.stop()?;
    let broken: Vec<_> = report.broken().into_iter().filter(|one| is_healthy(one)).collect();
    assert_eq!(broken.len(), 0, "{:?}", broken.first());
    let said = scene.agent.status()?;
    assert_eq!(of_listener(&said, ECHO, "refused_records")?, 0);
    assert_eq!(status::packets_of(&said, "no_record"), 0, "{said}");
    Ok(())
}

/// Waits until as many connections are counted of each of the first members as it has.
fn counts(scene: &Scene, what: &str, due: &[u64]) -> Result<()> {
    let are_right = |said: &Value| {
        let counted = scene.by_member(said, ECHO, "connections");
        counted.is_ok_and(|all| all.iter().zip(due).all(|(count, due)| is_near(*count, *due)))
    };
    let said = scene.agent.wait_status(what, LIMIT, are_right)?;
    println!("counted {:?}, open {due:?}", scene.by_member(&said, ECHO, "connections")?);
    Ok(())
}

#[test]
fn four_thousand_connections_take_turns_and_stay() -> Result<()> {
    real_connections_outlive_changes("ROUND_ROBIN")
}

#[test]
fn four_thousand_connections_go_where_fewest_are_and_stay() -> Result<()> {
    real_connections_outlive_changes("LEAST_CONNECTIONS")
}

/// Nearly as many connections as one listener may record, opened at once; none moves at a change.
fn generated_connections_stay(algorithm: &str) -> Result<()> {
    let mut scene = Scene::start(3, Forwarding::Ipip, |pool| pool.by(algorithm))?;
    let begun = Instant::now();
    scene.play(HTTP_PORT, &OPENING, GENERATED)?;
    let all = u64::from(GENERATED.end);
    let rate = all as f64 / begun.elapsed().as_secs_f64();
    println!("{algorithm}: {all} connections, {rate:.0} a second");
    let said = scene.agent.wait_status("all connections to be counted", LIMIT, |said| {
        of_listener(said, WEB, "connections").is_ok_and(|count| is_near(count, all))
    })?;
    println!("counted {}", of_listener(&said, WEB, "connections")?);
    assert_eq!(of_listener(&said, WEB, "refused_records")?, 0);
    let open = scene.by_member(&said, WEB, "connections")?;
    assert!(open.iter().all(|count| is_near(*count, all / 3)), "{open:?}");
    let owners = owners(&scene, scene.port(HTTP_PORT))?;

    scene.config.pool_mut(WEB).members[0].weight = 0;
    scene.config.pool_mut(WEB).members[1].weight = 5;
    let first = scene.member(0);
    scene.reload("other weights", |said| status::slots(said, WEB).get(&first) == Some(&0))?;
    let before = scene.packets(WEB)?;
    scene.play(HTTP_PORT, &[Segment::Ack], GENERATED)?;
    assert_eq!(owners, self::owners(&scene, scene.port(HTTP_PORT))?, "records changed");
    let got = since(&before, &scene.packets(WEB)?);
    assert_eq!(got.iter().sum::<u64>(), all, "a packet of each connection is forwarded");
    let moved = got.iter().zip(&open).map(|(got, open)| got.abs_diff(*open)).sum::<u64>();
    println!("packets {got:?} of connections {open:?}");
    assert!(moved * 100 <= all, "{got:?} packets of {open:?} connections");
    Ok(())
}

/// The backend that serves each of some generated connections.
fn owners(scene: &Scene, target: SocketAddrV4) -> Result<Vec<u16>> {
    let map = MapData::from_pin(scene.pin(names::FLOWS_V4)).context("no flow table")?;
    let flows: HashMap<_, Record<[u64; 2]>, Record<Flow>> = Map::LruHashMap(map).try_into()?;
    let owner = |client| {
        let key = Record(key(client, target).words());
        let flow = flows.get(&key, 0).with_context(|| format!("client {client} has no record"))?;
        Ok(flow.0.backend)
    };
    GENERATED.step_by(97).map(owner).collect()
}

#[test]
fn half_a_million_connections_take_turns_and_stay() -> Result<()> {
    generated_connections_stay("ROUND_ROBIN")
}

#[test]
fn half_a_million_connections_go_where_fewest_are_and_stay() -> Result<()> {
    generated_connections_stay("LEAST_CONNECTIONS")
}
