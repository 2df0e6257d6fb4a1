//! Events: ids, times, log lines.

use anyhow::{Context as _, Result};
use elb_tests::{address::Family, printed, wait::wait_for};
use serde_json::Value;

use crate::scene::{LIMIT, Scene, WEB};

#[test]
fn events_have_ids_and_are_found_by_their_time() -> Result<()> {
    let mut scene = Scene::start_json(2)?;
    drop(scene.servers.remove(0));
    let first = scene.lab.member_addr(0, Family::V4);
    scene.agent.wait_members(&[first], "OFFLINE", LIMIT)?;
    let events = |since: &str| {
        let text = scene.agent.run(&["events", "--since", since, "--pool", WEB, "-o", "json"])?;
        printed::lines(&["events"], &text)
    };
    let recent = events("10m")?;
    let last = recent.last().context("an event")?;
    assert_eq!(
        (&last["event"], &last["event_id"]),
        (&"unhealthy".into(), &"healthCheckUnhealthy".into())
    );
    let time = last["time"].as_str().context("a time")?;
    assert_eq!(events(time)?.len(), 1);
    assert_eq!(events("0s")?, [Value::Null; 0]);
    let wrong = scene.agent.end(&["events", "--since", "soon"], LIMIT)?;
    assert_eq!(wrong.code, Some(2), "{wrong:?}");

    let lines = wait_for("the event in the log", LIMIT, || {
        let log = scene.agent.log();
        let lines: Vec<Value> =
            log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        let is_it = |line: &Value| line["event_id"] == "healthCheckUnhealthy";
        Ok(lines.iter().any(is_it).then_some(lines))
    })?;
    let line =
        lines.iter().find(|line| line["event_id"] == "healthCheckUnhealthy").context("one")?;
    assert_eq!(
        (&line["level"], &line["message"]),
        (&"warn".into(), &"a member turned unhealthy".into())
    );
    assert_eq!(line["fields"]["address"], first.to_string(), "{line}");
    assert!(lines.iter().all(|line| line["time"].is_string() && line["fields"].is_object()));
    Ok(())
}
