//! Nothing is forgotten: not when the file changes, and not when the agent starts again.

use std::{fs, path::PathBuf};

use anyhow::{Context as _, Result};
use elb_tests::wait::wait_for;
use serde_json::Value;

use crate::watched::{LIMIT, Watched, every_second, member, probes, results};

/// What must be the same afterwards.
fn kept(member: &Value) -> [Value; 5] {
    let health = &member["health"];
    [
        member["operating_status"].clone(),
        member["since"].clone(),
        member["reason"].clone(),
        health["turned_unhealthy"].clone(),
        health["recovered"].clone(),
    ]
}

/// Whether the probes that `before` remembers are still there, but for the oldest.
fn assert_goes_on(before: &Value, after: &Value) {
    assert_eq!(kept(before), kept(after));
    assert!(probes(after) >= probes(before), "{before}\n{after}");
    let (old, new) = (&before["health"]["probes"], &after["health"]["probes"]);
    let last = old.as_array().and_then(|probes| probes.last()).expect("there were probes");
    let new = new.as_array().expect("there are probes");
    assert!(new.contains(last), "{last} is not in {new:?}");
    assert!(new.len() <= 20, "{new:?}");
}

fn health_file(scene: &Watched) -> PathBuf {
    scene.config.agent.state().join("health.json")
}

/// Member 0 is ONLINE, and member 1 was twice OFFLINE and is.
fn eventful() -> Result<Watched> {
    let scene = Watched::start(2, every_second(1, 2))?;
    (0..2).try_for_each(|index| scene.wait(index, "ONLINE"))?;
    for (codes, state) in [([500], "OFFLINE"), ([200], "ONLINE"), ([418], "OFFLINE")] {
        scene.scripts[1].answer(&codes);
        scene.wait(1, state)?;
    }
    Ok(scene)
}

#[test]
fn a_file_with_another_weight_and_member_changes_no_history() -> Result<()> {
    let mut scene = eventful()?;
    let before = [scene.member(0)?, scene.member(1)?];
    let pool = &mut scene.config.pools[0];
    pool.members[0].weight = 7;
    pool.members[1].weight = 3;
    let more = pool.members[0].clone();
    pool.members.insert(0, elb_tests::config::Member { address: [10, 0, 0, 99].into(), ..more });
    scene.agent.reload(&scene.config)?;
    let weight = |said: &Value| member(said, scene.address(0)).is_ok_and(|one| one["weight"] == 7);
    let said = scene.agent.wait_status("the other weight", LIMIT, weight)?;
    for (index, before) in before.iter().enumerate() {
        assert_goes_on(before, &member(&said, scene.address(index))?);
    }
    Ok(())
}

#[test]
fn a_streak_goes_on_when_the_file_changes() -> Result<()> {
    let mut scene = Watched::start(1, every_second(1, 6))?;
    scene.wait(0, "ONLINE")?;
    scene.scripts[0].answer(&[500]);
    let address = scene.address(0);
    let streak = move |least: u64| {
        move |said: &Value| {
            let member = member(said, address).unwrap_or_default();
            member["health"]["streak"].as_u64() >= Some(least)
        }
    };
    scene.agent.wait_status("two failures", LIMIT, streak(2))?;
    scene.config.pools[0].members[0].weight = 9;
    scene.agent.reload(&scene.config)?;
    scene.wait(0, "OFFLINE")?;
    // Six failures were enough, those before the change included.
    let event = scene.agent.ask(&["events"])?;
    let member = scene.member(0)?;
    let until = event["time"].as_str().context("no time")?;
    let probes = member["health"]["probes"].as_array().context("no probes")?;
    let is_before = |probe: &&Value| probe["time"].as_str().is_some_and(|time| time <= until);
    let failures = probes.iter().filter(is_before).filter(|probe| probe["result"] != "OK");
    assert_eq!(failures.count(), 6, "{event} {member}");
    assert_eq!((&member["weight"], &member["health"]["turned_unhealthy"]), (&9.into(), &1.into()));
    Ok(())
}

#[test]
fn another_monitor_keeps_the_verdict_and_the_history() -> Result<()> {
    let mut scene = eventful()?;
    let before = scene.member(1)?;
    let monitor = scene.config.pools[0].healthmonitor.as_mut().context("there is one")?;
    monitor.max_retries = 5;
    scene.agent.reload(&scene.config)?;
    let after = scene.probed(1, 2)?;
    assert_goes_on(&before, &after);
    Ok(())
}

#[test]
fn an_agent_that_is_stopped_goes_on_where_it_was() -> Result<()> {
    let mut scene = eventful()?;
    let events = scene.agent.run(&["events"])?;
    let before = [scene.member(0)?, scene.member(1)?];
    assert!(scene.agent.terminate()?.success());
    scene.agent.restart()?;
    for (index, before) in before.iter().enumerate() {
        assert_goes_on(before, &scene.member(index)?);
    }
    assert_eq!(scene.agent.run(&["events"])?, events);
    scene.scripts[1].answer(&[200]);
    scene.wait(1, "ONLINE")?;
    assert_eq!(scene.member(1)?["health"]["recovered"], 2);
    Ok(())
}

#[test]
fn an_agent_that_is_killed_goes_on_from_the_last_verdicts() -> Result<()> {
    let mut scene = eventful()?;
    let verdict = scene.member(1)?;
    wait_for("the verdict to be written down", LIMIT, || {
        let text = fs::read_to_string(health_file(&scene)).unwrap_or_default();
        let written: Value = serde_json::from_str(&text).unwrap_or_default();
        let pools = written["pools"].as_object().into_iter().flat_map(|pools| pools.values());
        let members = pools.flat_map(|members| members.as_array().into_iter().flatten());
        let mut turned = members.map(|one| &one["history"]["turned_unhealthy"]);
        Ok(turned.any(|turned| *turned == 2).then_some(()))
    })?;
    scene.agent.kill()?;
    scene.agent.restart()?;
    let after = scene.member(1)?;
    assert_eq!(kept(&verdict), kept(&after));
    assert!(results(&after).iter().any(|result| result == "RESPONSE_MISMATCH"), "{after}");
    Ok(())
}

#[test]
fn a_file_of_nonsense_is_reported_and_the_agent_starts_without() -> Result<()> {
    for nonsense in ["{", "\u{0}", r#"{"members":{"web":[{"member":"x"}]}}"#] {
        let mut scene = Watched::start(1, every_second(1, 2))?;
        scene.wait(0, "ONLINE")?;
        scene.agent.terminate()?;
        fs::write(health_file(&scene), nonsense)?;
        scene.agent.restart()?;
        assert!(scene.agent.log().contains("the saved state cannot be used"), "{nonsense}");
        scene.wait(0, "ONLINE")?;
    }
    Ok(())
}
