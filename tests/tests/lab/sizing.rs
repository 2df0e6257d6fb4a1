//! Maps get other sizes while they serve, by a reload and by a restart.

use anyhow::{Context as _, Result};
use aya::maps::MapInfo;
use elb_common::names::{self, ABI_VERSION};
use elb_tests::{
    config::{Config, Forwarding, MonitorKind, Pool},
    status,
};
use serde_json::Value;

use crate::scene::{LIMIT, Scene, WEB, wait_until_serving};
use crate::tracing;

/// Requests that must be answered in each phase.
const SOME: usize = 300;

/// A size: how it is set, the map that has it, and how many elements of that make one of it.
struct Size {
    key: &'static str,
    set: fn(&mut Config, u32),
    map: &'static str,
    values: [u32; 4],
    unit: u32,
}

/// Two rings of 65,537 slots take 131,104; two listeners and six members use few of the others. Flows have room for
/// more than a client opens until their records are swept, on whatever machine: it takes 12,000 a second to fill the least.
const SIZES: [Size; 4] = [
    Size {
        key: "ring_slots",
        set: |config, value| config.agent.ring_slots = Some(value),
        map: names::RINGS,
        values: [262_144, 524_288, 1_048_576, 262_144],
        unit: 16,
    },
    Size {
        key: "max_flows",
        set: |config, value| config.agent.max_flows = Some(value),
        map: names::FLOWS_V4,
        values: [262_144, 524_288, 131_072, 262_144],
        unit: 1,
    },
    Size {
        key: "max_backends",
        set: |config, value| config.agent.max_backends = Some(value),
        map: names::BACKENDS,
        values: [64, 128, 32, 64],
        unit: 1,
    },
    Size {
        key: "max_listeners",
        set: |config, value| config.agent.max_listeners = Some(value),
        map: names::LISTENERS_V4,
        values: [64, 128, 32, 64],
        unit: 1,
    },
];

fn elements(scene: &Scene, map: &str) -> Result<u32> {
    let pin = scene.config.agent.pin_dir.join(format!("v{ABI_VERSION}")).join(map);
    Ok(MapInfo::from_pin(&pin).with_context(|| pin.display().to_string())?.max_entries())
}

fn problems(said: &Value) -> String {
    let lines = said["agent"]["problems"].as_array().into_iter().flatten();
    lines.filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

/// A scene whose slots move, with small maps.
fn small(algorithm: &str) -> Result<Scene> {
    let shape = |pool: Pool| pool.by(algorithm).weights(&[1, 2, 1]).monitored_by(MonitorKind::Tcp);
    let mut scene = Scene::start_of(3, Forwarding::Ipip, |lab| {
        let mut config = crate::scene::config(lab, Forwarding::Ipip, shape);
        SIZES.iter().for_each(|size| (size.set)(&mut config, size.values[0]));
        Ok((config, ()))
    })?
    .0;
    for pool in &mut scene.config.pools {
        pool.members[2].weight = 3;
    }
    scene.agent.reload(&scene.config)?;
    let heavier = |said: &Value| {
        let member = status::member(said, WEB, scene.member(2));
        member.is_some_and(|member| member["weight"] == 3)
    };
    scene.agent.wait_status("the new weight", LIMIT, heavier)?;
    Ok(scene)
}

/// Gives each of the maps its sizes, one after the other, by what `apply` does.
fn through_all_sizes(algorithm: &str, apply: fn(&mut Scene) -> Result<()>) -> Result<()> {
    let mut scene = small(algorithm)?;
    let traffic = scene.rush()?;
    let rings = scene.rings()?;
    for size in &SIZES {
        for value in &size.values[1..] {
            let before = packets(&scene.agent.status()?)?;
            (size.set)(&mut scene.config, *value);
            apply(&mut scene)?;
            let wanted = value / size.unit;
            elb_tests::wait::wait_for(&format!("{} = {value}", size.key), LIMIT, || {
                Ok((elements(&scene, size.map).unwrap_or(0) == wanted).then_some(()))
            })?;
            traffic.flows_for(SOME)?;
            wait_until_serving(&scene.agent)?;
            let said = scene.agent.status()?;
            assert_eq!(problems(&said), "", "{} = {value}", size.key);
            assert!(packets(&said)? > before, "{} = {value}: counters began anew", size.key);
        }
    }
    assert!(scene.rings()? == rings, "slots have changed their owners");
    let log = scene.agent.log();
    assert!(!log.contains("OFFLINE"), "probes noticed: {log}");
    let said = scene.agent.status()?;
    let waited = status::drops(&said);
    assert!(waited.iter().all(|drop| drop.contains("carried_over")), "{waited:?}");
    let report = traffic.was_never_disturbed()?;
    println!("{algorithm}: {} requests, {waited:?}", report.answered());
    Ok(())
}

fn packets(said: &Value) -> Result<u64> {
    let listener = status::listener(said, WEB).context("it listens")?;
    listener["packets"].as_u64().context("it counts")
}

#[test]
fn sizes_change_by_reload() -> Result<()> {
    through_all_sizes("ROUND_ROBIN", |scene| scene.agent.reload(&scene.config))
}

#[test]
fn sizes_change_by_restart() -> Result<()> {
    through_all_sizes("5_TUPLE_HASH", |scene| scene.agent.restart_with(&scene.config))
}

#[test]
fn what_is_in_use_must_fit() -> Result<()> {
    let mut scene = small("ROUND_ROBIN")?;
    let traffic = scene.rush()?;
    // 200 connections are held, and those of the requests of the last minutes are known.
    (scene.config.agent.max_flows, scene.config.agent.max_backends) = (Some(1_024), Some(32));
    let stays = SIZES[1].values[0];
    let is_shown = |said: &Value| {
        let problem = format!("[agent] max_flows = 1024 is too small, it stays {stays}");
        problems(said).contains(&problem)
    };
    traffic.flows_for(2 * SOME)?;
    scene.agent.reload(&scene.config)?;
    scene.agent.wait_status("the refusal", LIMIT, is_shown)?;
    assert_eq!(elements(&scene, names::FLOWS_V4)?, stays);
    assert_eq!(elements(&scene, names::BACKENDS)?, 32, "what fits is taken over");
    scene.agent.restart()?;
    scene.agent.wait_status("the refusal after a restart", LIMIT, is_shown)?;
    assert_eq!(elements(&scene, names::FLOWS_V4)?, stays);
    traffic.flows_for(SOME)?;

    scene.config.agent.max_flows = Some(stays);
    scene.agent.reload(&scene.config)?;
    let fine = |said: &Value| problems(said).is_empty();
    scene.agent.wait_status("no problem", LIMIT, fine)?;
    traffic.was_never_disturbed().map(drop)
}

/// Who traces goes on, and so do probes by the virtual address.
#[test]
fn a_trace_goes_on_in_the_other_maps() -> Result<()> {
    let mut scene = small("5_TUPLE_HASH")?;
    let trace = tracing::start(&scene, &["trace", "--count", "60"])?;
    assert_eq!(tracing::program(&scene)?, names::TRACED_PROGRAM);
    scene.config.agent.max_flows = Some(131_072);
    scene.agent.reload(&scene.config)?;
    elb_tests::wait::wait_for("another size", LIMIT, || {
        Ok((elements(&scene, names::FLOWS_V4).unwrap_or(0) == 131_072).then_some(()))
    })?;
    assert_eq!(tracing::program(&scene)?, names::TRACED_PROGRAM);
    assert_eq!(scene.request(60)?.answered(), 60);
    let is_shown = trace.finish(LIMIT)?;
    assert!(is_shown.lines().count() >= 60, "{is_shown}");
    tracing::wait_plain(&scene)?;
    let said = scene.agent.status()?;
    assert!((0..3).all(|index| status::all_are(&said, scene.member(index), "ONLINE")), "{said}");
    Ok(())
}
