//! Another version of the maps: traffic never notices, and nothing is left behind.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Result;
use elb_common::names::ABI_VERSION;
use elb_tests::{
    config::{Forwarding, Pool},
    environment::elb_bin,
    status,
};
use serde_json::Value;

use crate::scene::{ECHO, LIMIT, Scene, WEB, wait_until_serving};

/// The same program, with the next number of its maps.
fn next() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_elb-next"))
}

const NEXT: u32 = ABI_VERSION + 1;

/// Requests that must be answered in each phase.
const SOME: usize = 1_000;

/// Three members whose weights have just changed, so that slots move for as long as the lab goes on.
pub(crate) fn moving(algorithm: &str) -> Result<Scene> {
    let shape = |pool: Pool| pool.by(algorithm).weights(&[1, 2, 1]);
    let mut scene = Scene::start(3, Forwarding::Ipip, shape)?;
    for pool in &mut scene.config.pools {
        for (member, weight) in pool.members.iter_mut().zip([2, 1, 3]) {
            member.weight = weight;
        }
    }
    scene.agent.reload(&scene.config)?;
    let heavier = |said: &Value| {
        let member = status::member(said, WEB, scene.member(2));
        member.is_some_and(|member| member["weight"] == 3)
    };
    scene.agent.wait_status("the new weights", LIMIT, heavier)?;
    Ok(scene)
}

/// What is in the folder of the pins.
pub(crate) fn folders(pin_dir: &Path) -> Result<Vec<String>> {
    let names = fs::read_dir(pin_dir)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
    let mut names: Vec<String> = names.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect();
    names.sort();
    Ok(names)
}

/// Packets that listeners and members got so far, by name.
fn counted(said: &Value) -> Result<Vec<u64>> {
    let listeners = [WEB, ECHO].iter().filter_map(|name| status::listener(said, name));
    let members = status::pools(said).into_iter().flat_map(|pool| pool["members"].as_array());
    let all = listeners.chain(members.flatten());
    let packets: Vec<_> = all.filter_map(|one| one["packets"].as_u64()).collect();
    anyhow::ensure!(packets.len() == 8, "two listeners, six members: {said}");
    Ok(packets)
}

fn only_waited(said: &Value) -> bool {
    status::drops(said).iter().all(|drop| drop.contains("carried_over"))
}

fn upgrade_and_back(algorithm: &str) -> Result<()> {
    let mut scene = moving(algorithm)?;
    let pins = scene.config.agent.pin_dir.clone();
    let traffic = scene.rush()?;
    let rings = scene.rings()?;
    let mut before = counted(&scene.agent.status()?)?;
    for (program, version) in [(next(), NEXT), (elb_bin()?, ABI_VERSION), (next(), NEXT)] {
        traffic.flows_for(SOME)?;
        scene.agent.upgrade(&program)?;
        let said = scene.agent.status()?;
        assert_eq!(said["agent"]["adopted"], true);
        assert_eq!(folders(&pins)?, [format!("v{version}")]);
        traffic.flows_for(SOME)?;
        wait_until_serving(&scene.agent)?;
        assert!(scene.rings_of(version)? == rings, "slots have changed their owners");
        let now = counted(&scene.agent.status()?)?;
        let went_on = now.iter().zip(&before).all(|(now, before)| now > before);
        assert!(went_on, "counters began anew: {before:?}, then {now:?}");
        before = now;
    }
    let said = scene.agent.status()?;
    assert!(only_waited(&said), "{:?}", status::drops(&said));
    let report = traffic.was_never_disturbed()?;
    println!("{algorithm}: {} requests, {:?}", report.answered(), status::drops(&said));
    let log = scene.agent.log();
    log.lines().filter(|line| line.contains("waited=")).for_each(|line| println!("{line}"));
    scene.agent.terminate()?;
    scene.agent.detach()?;
    assert!(!pins.exists());
    Ok(())
}

#[test]
fn another_version_takes_over_pools_by_hash_and_gives_them_back() -> Result<()> {
    upgrade_and_back("5_TUPLE_HASH")
}

#[test]
fn another_version_takes_over_pools_in_turn_and_gives_them_back() -> Result<()> {
    upgrade_and_back("ROUND_ROBIN")
}

/// At every point of the way there and back.
#[test]
fn killed_anywhere_on_the_way() -> Result<()> {
    const POINTS: u32 = 24;
    let mut scene = moving("ROUND_ROBIN")?;
    let pins = scene.config.agent.pin_dir.clone();
    let traffic = scene.rush()?;
    let programs = [(next(), NEXT), (elb_bin()?, ABI_VERSION)];
    for point in 0..POINTS {
        // The next start may be of either version.
        let (program, _) = &programs[(point % 2) as usize];
        scene.agent.start_in_vain(program, Duration::from_millis(u64::from(25 * point + 5)))?;
        if point % 3 == 2 {
            let (program, version) = &programs[(point / 3 % 2) as usize];
            scene.agent.upgrade(program)?;
            assert_eq!(folders(&pins)?, [format!("v{version}")], "after point {point}");
        }
        traffic.flows_for(100)?;
    }
    let said = scene.agent.status()?;
    assert!(only_waited(&said), "{:?}", status::drops(&said));
    let report = traffic.was_never_disturbed()?;
    println!("{POINTS} points: {} requests, {:?}", report.answered(), status::drops(&said));
    Ok(())
}

/// Maps of a version that no one knows stay as they are, and `elb detach` knows what to do.
#[test]
fn a_version_that_is_unknown_is_left_alone() -> Result<()> {
    let mut scene = Scene::start(2, Forwarding::L2, |pool| pool)?;
    let pins = scene.config.agent.pin_dir.clone();
    scene.agent.upgrade(&next())?;
    scene.agent.terminate()?;
    damage_settings(&pins.join(format!("v{NEXT}")))?;
    let refusal = elb_tests::agent::Agent::refusal(&scene.lab, &scene.config.text()?)?;
    assert_eq!(refusal.code, Some(1), "{}", refusal.said);
    for expected in ["are of ABI version 99, whose records this elb does not know", "elb detach"] {
        assert!(refusal.said.contains(expected), "{}", refusal.said);
    }
    assert_eq!(folders(&pins)?, [format!("v{NEXT}")]);
    assert_eq!(scene.request(100)?.answered(), 100);
    let said = scene.agent.detach_by(&elb_bin()?)?;
    assert!(said.contains("forwarding has stopped"), "{said}");
    assert!(!pins.exists());
    Ok(())
}

/// Says in maps that their records are of versions to come.
fn damage_settings(folder: &Path) -> Result<()> {
    use aya::maps::{Array, Map, MapData};
    let map = MapData::from_pin(folder.join(elb_common::names::SETTINGS))?;
    let mut settings: Array<_, [u32; 2]> = Map::Array(map).try_into()?;
    Ok(settings.set(0, [99, 99], 0)?)
}
