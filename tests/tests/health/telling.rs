//! What the agent reports about its members: events as a stream and in the log, counters, probes.

use anyhow::{Context as _, Result};
use elb_tests::{running::Running, wait::wait_for};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::watched::{LIMIT, WEB, Watched, every_second};

fn events(printed: &str) -> Result<Vec<Value>> {
    elb_tests::printed::lines(&["events"], printed)
}

fn wait_events(following: &Running, count: usize) -> Result<Vec<Value>> {
    wait_for("events", LIMIT, || {
        let printed = following.printed()?;
        // The last line may be half there.
        let whole = printed.rfind('\n').map_or("", |end| &printed[..end]);
        let events = events(whole)?;
        Ok((events.len() >= count).then_some(events))
    })
}

#[test]
fn events_come_as_a_stream_in_the_log_and_as_counters() -> Result<()> {
    let scene = Watched::start(2, every_second(1, 2))?;
    (0..2).try_for_each(|index| scene.wait(index, "ONLINE"))?;
    let member = format!("{}:80", scene.address(1));
    let follow = ["events", "-f", "-o", "json", "--pool", WEB, "--member", &member];
    let mut following = scene.agent.start_command(&follow)?;
    scene.scripts[0].answer(&[500]);
    scene.wait(0, "OFFLINE")?;
    scene.scripts[1].answer(&[503]);
    let is_shown = wait_events(&following, 1)?;
    scene.scripts[1].answer(&[200]);
    let all = wait_events(&following, 2)?;
    assert_eq!(is_shown[0], all[0]);
    let [unhealthy, recovered] = &all[..] else { panic!("{all:?}") };
    for event in &all {
        assert_eq!(event["name"], member);
        assert_eq!(event["pool"], WEB);
        assert_eq!(event["reason"]["reason_code"], "RESPONSE_MISMATCH");
        assert_eq!(event["reason"]["healthcheck_response"], "503");
    }
    assert_eq!([&unhealthy["event"], &unhealthy["from"]], ["unhealthy", "ONLINE"]);
    assert_eq!([&recovered["event"], &recovered["from"]], ["recovered", "OFFLINE"]);
    following.signal(Signal::SIGINT)?;
    following.finish(LIMIT)?;

    // All that happened, without an end to wait for.
    let past = events(&scene.agent.run(&["events", "-o", "json"])?)?;
    let what: Vec<_> = past.iter().filter_map(|event| event["event"].as_str()).collect();
    assert_eq!(what, ["unhealthy", "unhealthy", "recovered"]);
    assert_eq!(past[1..], all);

    let log = scene.agent.log();
    let line = |words: &str| {
        let found = log.lines().find(|line| line.contains(words) && line.contains(&member));
        found.with_context(|| format!("{words:?} is not in the log:\n{log}"))
    };
    let unhealthy = line("a member turned unhealthy")?;
    for field in ["WARN", "pool=\"web\"", "from=ONLINE", "to=OFFLINE", "RESPONSE_MISMATCH"] {
        assert!(unhealthy.contains(field), "{field}: {unhealthy}");
    }
    assert!(line("a member recovered")?.contains("to=ONLINE"));

    let counted = scene.member(1)?["health"].clone();
    assert_eq!((&counted["turned_unhealthy"], &counted["recovered"]), (&1.into(), &1.into()));
    assert!(counted["probes_failed"].as_u64() >= Some(2), "{counted}");
    assert!(counted["probes_ok"].as_u64() >= Some(2), "{counted}");
    Ok(())
}

#[test]
fn a_member_by_itself_is_shown_with_its_probes() -> Result<()> {
    let scene = Watched::start(2, every_second(1, 2))?;
    scene.scripts[1].answer(&[500]);
    scene.wait(1, "OFFLINE")?;
    let said = scene.agent.run(&["status", &scene.address(1).to_string()])?;
    for words in
        ["OFFLINE since", "last failure: RESPONSE_MISMATCH", "pool web", " probes succeeded"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    let probes = scene.member(1)?["health"]["probes"].clone();
    let probe = &probes.as_array().context("no probes")?[0];
    assert!(said.contains(probe["time"].as_str().context("no time")?), "{said}\n{probe}");
    assert!(probe["duration_ms"].as_f64() > Some(0.0), "{probe}");

    let json = scene.agent.ask(&["status", &scene.address(1).to_string()])?;
    assert_eq!(json[0]["pool"], WEB);
    let unknown = scene.agent.run(&["status", "nobody"]).unwrap_err();
    assert!(format!("{unknown:#}").contains("pool or member is called \"nobody\""), "{unknown:#}");
    let lateness = scene.agent.status()?["agent"]["probing"].clone();
    assert!(lateness["late_p99_ms"].is_u64() || lateness["late_p99_ms"].is_null(), "{lateness}");
    let counts = lateness["lateness"].as_array().context("no classes")?;
    assert!(counts.iter().filter_map(|class| class["probes"].as_u64()).sum::<u64>() >= 1);
    Ok(())
}
