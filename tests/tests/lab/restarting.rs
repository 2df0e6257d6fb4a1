//! The agent ends, however, and comes back: traffic never notices, and nothing is shuffled.

use std::{fs, path::PathBuf, time::Duration};

use anyhow::Result;
use elb_tests::{
    agent::Agent,
    client::HeldConnections,
    config::{Forwarding, MonitorKind, Pool},
    status,
    wait::wait_for,
};

use crate::scene::{ECHO, LIMIT, Scene, wait_until_serving};

/// Requests that must be answered in each phase.
const SOME: usize = 300;

#[test]
fn killed_and_started_again() -> Result<()> {
    let scene = goes_on_across(Agent::kill, |_| Ok(()))?;
    // A second time, as an adopted agent.
    goes_on(scene, Agent::kill, |_| Ok(())).map(drop)
}

#[test]
fn stopped_and_started_again() -> Result<()> {
    let stop = |agent: &mut Agent| {
        let status = agent.terminate()?;
        assert!(status.success(), "{status}");
        Ok(())
    };
    goes_on_across(stop, |_| Ok(())).map(drop)
}

#[test]
fn started_again_without_its_saved_state() -> Result<()> {
    goes_on_across(Agent::kill, |scene| Ok(fs::remove_file(saved_state(scene))?)).map(drop)
}

#[test]
fn started_again_with_a_spoilt_saved_state() -> Result<()> {
    let damage = |scene: &Scene| {
        let text = fs::read(saved_state(scene))?;
        Ok(fs::write(saved_state(scene), &text[..text.len() / 2])?)
    };
    let scene = goes_on_across(Agent::kill, damage)?;
    assert!(scene.agent.log().contains("the saved state cannot be used"));
    Ok(())
}

fn saved_state(scene: &Scene) -> PathBuf {
    scene.config.agent.state().join("numbers.json")
}

fn goes_on_across(
    end: impl FnOnce(&mut Agent) -> Result<()>,
    meanwhile: impl FnOnce(&Scene) -> Result<()>,
) -> Result<Scene> {
    let watched = |pool: Pool| pool.weights(&[1, 2, 1]).monitored_by(MonitorKind::Tcp);
    goes_on(Scene::start(3, Forwarding::Ipip, watched)?, end, meanwhile)
}

fn goes_on(
    mut scene: Scene,
    end: impl FnOnce(&mut Agent) -> Result<()>,
    meanwhile: impl FnOnce(&Scene) -> Result<()>,
) -> Result<Scene> {
    let rings = scene.rings()?;
    let earlier = scene.agent.status()?["agent"]["pid"].clone();
    let traffic = scene.traffic()?;

    end(&mut scene.agent)?;
    traffic.flows_for(SOME)?;
    meanwhile(&scene)?;
    scene.agent.restart()?;
    let said = scene.agent.status()?;
    traffic.flows_for(SOME)?;
    wait_until_serving(&scene.agent)?;
    traffic.was_never_disturbed()?;

    assert_eq!(said["agent"]["adopted"], true);
    assert_ne!(said["agent"]["pid"], earlier);
    assert_eq!(status::drops(&scene.agent.status()?), Vec::<String>::new());
    assert!(scene.rings()? == rings, "slots have changed their owners");
    Ok(scene)
}

#[test]
fn connections_of_a_member_that_was_removed_outlive_the_agent() -> Result<()> {
    let mut scene = Scene::start(3, Forwarding::Ipip, |pool| pool)?;
    let beat = Duration::from_millis(50);
    let held = HeldConnections::open(scene.lab.client(), scene.echo(), 60, beat)?;
    assert!(!held.so_far().on("backend-2").is_empty());
    let removed = scene.member(2);
    for pool in &mut scene.config.pools {
        pool.members.truncate(2);
    }
    scene.agent.reload(&scene.config)?;
    let gone = |said: &_| status::slots(said, ECHO).get(&removed) == Some(&0);
    scene.agent.wait_status("no slots for the removed member", LIMIT, gone)?;

    scene.agent.restart()?;
    let before = held.so_far();
    wait_for("answers on every connection", LIMIT, || {
        Ok(held.so_far().is_beyond(&before, 3).then_some(()))
    })?;
    let held = held.stop()?;
    assert_eq!(held.broken().len(), 0, "{:?}", held.broken());
    assert_eq!(status::drops(&scene.agent.status()?), Vec::<String>::new());
    Ok(())
}

#[test]
fn a_member_that_is_offline_stays_so_across_a_restart() -> Result<()> {
    let watched = |pool: Pool| pool.monitored_by(MonitorKind::Tcp);
    let mut scene = Scene::start(2, Forwarding::L2, watched)?;
    scene.servers[1].kill()?;
    scene.agent.wait_members(&[scene.member(1)], "OFFLINE", LIMIT)?;

    scene.agent.restart()?;
    assert!(status::all_are(&scene.agent.status()?, scene.member(1), "OFFLINE"));
    let report = scene.request(100)?;
    assert_eq!(report.answers_by_backend(), [("backend-0".to_owned(), 100)].into());
    Ok(())
}

#[test]
fn a_second_agent_is_refused_and_disturbs_nothing() -> Result<()> {
    let scene = Scene::start(2, Forwarding::L2, |pool| pool)?;
    let traffic = scene.traffic()?;
    let refusal = Agent::refusal(&scene.lab, &scene.config.text()?)?;
    assert_eq!(refusal.code, Some(1), "{}", refusal.said);
    let (pins, id) = (scene.config.agent.pin_dir.display(), scene.agent.id());
    for words in
        [format!("pin_dir {pins} is in use by process {id} ("), ": stop it first".to_owned()]
    {
        assert!(refusal.said.contains(&words), "{}", refusal.said);
    }
    traffic.flows_for(100)?;
    traffic.was_never_disturbed()?;
    assert_eq!(scene.agent.status()?["agent"]["pid"], scene.agent.id());
    Ok(())
}
