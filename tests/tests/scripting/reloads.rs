//! `elb reload --wait`: generation, what changed, and since when it is in force.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use elb_tests::{address::Family, config::Member, printed};
use serde_json::Value;

use crate::scene::{LIMIT, Scene, WEB};

impl Scene {
    /// How `elb reload --wait -o json` ends with a text.
    fn reload(&self, text: &str, more: &[&str]) -> Result<(Option<i32>, Value)> {
        self.agent.write(text)?;
        let words = [&["reload", "--wait", "-o", "json"], more].concat();
        let ended = self.agent.end(&words, LIMIT)?;
        let value = printed::value(&["reload"], &ended.printed);
        Ok((ended.code, value.with_context(|| format!("{ended:?}"))?))
    }
}

#[test]
fn a_reload_says_its_generation_and_since_when_it_is_in_force() -> Result<()> {
    let mut scene = Scene::start(3)?;
    let right = scene.config.text()?;
    let (code, same) = scene.reload(&right, &[])?;
    let first = same["generation"].as_u64().context("a generation")?;
    assert_eq!((code, same["effects"].as_array().map(Vec::len)), (Some(0), Some(0)), "{same}");

    scene.config.pool_mut(WEB).members.truncate(2);
    let fewer = scene.config.text()?;
    let (code, changed) = scene.reload(&fewer, &[])?;
    assert_eq!((code, &changed["generation"]), (Some(0), &(first + 1).into()), "{changed}");
    assert!(!changed["effects"].as_array().context("effects")?.is_empty(), "{changed}");
    let published = &changed["published"];
    assert!(published.as_str().context("a time")? > same["published"].as_str().context("a time")?);
    let agent = &scene.agent.status()?["agent"];
    assert_eq!((&agent["generation"], &agent["published"]), (&changed["generation"], published));

    let (code, refused) = scene.reload(&fewer.replacen("[[pool]]", "[[pol]]", 1), &[])?;
    assert_eq!((code, &refused["accepted"]), (Some(1), &false.into()));
    assert_eq!(refused["generation"], changed["generation"], "that of before is served");

    scene.agent.write(&fewer)?;
    scene.agent.restart()?;
    scene.agent.wait_status("the generation of before", LIMIT, |said| {
        said["agent"]["generation"] == changed["generation"]
    })?;
    Ok(())
}

/// A member whose first probe has no result yet.
#[test]
fn a_reload_that_is_not_in_force_in_time_says_what_it_waits_for() -> Result<()> {
    let scene = Scene::start(2)?;
    let mut config = scene.config.clone();
    let web = config.pool_mut(WEB);
    // An address of the members' network that is no host's.
    let IpAddr::V4(member) = scene.lab.member_addr(0, Family::V4) else { unreachable!("of IPv4") };
    let [a, b, c, _] = member.octets();
    let nowhere = IpAddr::from([a, b, c, 222]);
    web.members.push(Member { address: nowhere, ..web.members[0].clone() });
    if let Some(monitor) = &mut web.healthmonitor {
        (monitor.delay, monitor.timeout, monitor.max_retries_down) = (40, 40, 3);
    }
    let (code, said) = scene.reload(&config.text()?, &["--timeout", "1s"])?;
    assert_eq!((code, &said["accepted"]), (Some(1), &true.into()), "{said}");
    let waiting = said["waiting"].to_string();
    assert!(waiting.contains("first probe of 1 members"), "{waiting}");
    assert_eq!(said["published"], Value::Null, "{said}");
    Ok(())
}
