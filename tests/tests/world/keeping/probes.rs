//! What routes health probes goes, as when a network manager tidies up: no member pays for it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::{Families, Family},
    config::HealthMonitor,
    process::output,
    status,
    wait::wait_for,
};
use serde_json::Value;

use super::scene::{BAR, LIMIT, Scene, balancer};

const PATH: &str = "path of health probes";

/// Each in turn, with traffic over it: what takes it away, and what the agent says was missing.
#[test]
fn rules_routes_and_interfaces_of_probes_are_made_again() -> Result<()> {
    let scene = Scene::start(Families::Both, |_, config| {
        for pool in &mut config.pools {
            let monitor = pool.healthmonitor.take();
            pool.healthmonitor = monitor.map(|one| HealthMonitor { max_retries_down: 3, ..one });
        }
    })?;
    let traffic = scene.traffic()?;
    let (device, peer) = (interface(&scene, "elb-probe-")?, interface(&scene, "elb-prober-")?);
    let routes = shown(&scene, "-4 route show table all")?;
    let found = routes.lines().find(|line| line.contains(&device)).context("no route")?;
    let table = found.split(" table ").nth(1).and_then(|rest| rest.split(' ').next());
    let table = table.context("no table")?.to_owned();
    let cases = [
        ("rule del pref 90".to_owned(), "the IPv4 rule to table"),
        ("-6 rule del pref 90".to_owned(), "the IPv6 rule to table"),
        (format!("route flush table {table}"), "the IPv4 route in table"),
        (format!("link del {peer}"), "is gone or down"),
        (format!("link set {device} down"), "is gone or down"),
    ];
    for (n, (line, what)) in (1..).zip(&cases) {
        shown(&scene, line)?;
        let gone = Instant::now();
        wait_for("the path to be restored", LIMIT, || {
            Ok((scene.restored(PATH)? >= n).then_some(()))
        })?;
        let away = gone.elapsed();
        println!("ip {line}: restored after {away:?}");
        assert!(away <= BAR, "{line}: {away:?}");
        let said = scene.agent.status()?;
        let mut kept = said["agent"]["kept"].as_array().into_iter().flatten();
        let kept = kept.find(|one| one["object"] == PATH).context("it is not kept")?;
        let missing = kept["was_missing"].as_str().unwrap_or_default();
        assert!(missing.contains(what), "{line}: {missing}");
        scene.agent.wait_status("probes to succeed again", LIMIT, |said| {
            let pools = status::pools(said).into_iter();
            let mut members = pools.flat_map(|pool| pool["members"].as_array().cloned().unwrap());
            members.all(|member| member["health"]["streak"] == 0 && member["paths"]["vip"] == "ok")
        })?;
    }
    let said = scene.wait_healthy()?;
    for index in 0..2 {
        for family in [Family::V4, Family::V6] {
            let member = scene.lab.member_addr(index, family);
            assert!(status::all_are(&said, member, "ONLINE"), "{said}");
        }
    }
    let events = scene.agent.run(&["events"])?;
    assert!(!events.contains("OFFLINE"), "{events}");
    let report = traffic.stop()?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    Ok(())
}

/// It cannot be restored: then members are probed at their own addresses, and the load balancer is said
/// to be what is not in order.
#[test]
fn what_cannot_be_restored_is_said_and_no_member_suffers() -> Result<()> {
    let scene = Scene::start(Families::V4, |_, _| ())?;
    let traffic = scene.traffic()?;
    scene.lab.lb().ip("rule add pref 40 lookup main")?;
    let said = scene.wait_problem(&[PATH, "another rule comes first"])?;
    assert_eq!(balancer(&said), "DEGRADED", "{said}");
    scene.agent.wait_status("probes to go direct", LIMIT, |said| {
        let member = status::member(said, super::scene::WEB, scene.lab.member_addr(0, Family::V4));
        member.is_some_and(|member| member["paths"]["path"] == "direct")
    })?;
    let diagnosis = scene.agent.diagnose(&["10.0.0.11"])?;
    let report = diagnosis.report();
    assert!(report["subject"].as_str().is_some_and(|text| text.contains("this load balancer")));
    assert_eq!(diagnosis.cause(), Some("kept"), "{report}");
    assert!(diagnosis.evidence().contains("another rule comes first"), "{report}");
    let said = scene.doctor()?;
    assert_eq!(said["cause"], "kept", "{said}");
    assert!(said.to_string().contains("another rule comes first"), "{said}");
    std::thread::sleep(Duration::from_secs(3));
    assert!(!scene.agent.run(&["events"])?.contains("OFFLINE"));

    scene.lab.lb().ip("rule del pref 40")?;
    scene.wait_healthy()?;
    scene.agent.wait_status("probes of the virtual address", LIMIT, |said| {
        let member = status::member(said, super::scene::WEB, scene.lab.member_addr(0, Family::V4));
        member.is_some_and(|member| member["paths"]["path"] == "vip")
    })?;
    let report = traffic.stop()?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    Ok(())
}

/// What stands in the way is there before the agent: each is said, probes go direct meanwhile, and go by
/// the virtual addresses soon after it is gone.
#[test]
fn what_is_in_the_way_at_the_start_is_said_and_is_no_more_than_that() -> Result<()> {
    let cases = [
        (Families::Both, "link add PEER type bridge", "link del PEER", "that is not elb's"),
        (
            Families::V4,
            "rule add pref 40 lookup main",
            "rule del pref 40",
            "another rule comes first",
        ),
    ];
    for (families, obstacle, remedy, words) in cases {
        let mut scene = Scene::start(families, |_, _| ())?;
        let name = interface(&scene, "elb-prober-")?;
        scene.agent.terminate()?;
        scene.agent.detach()?;
        scene.lab.lb().ip(&obstacle.replace("PEER", &name))?;
        scene.agent.restart()?;
        let traffic = scene.traffic()?;
        let said = scene.wait_problem(&[PATH, words])?;
        assert_eq!(balancer(&said), "DEGRADED", "{said}");
        let member = scene.lab.member_addr(0, Family::V4);
        assert_eq!(path_of(&scene, &said), Some("direct"), "{said}");
        let diagnosis = scene.agent.diagnose(&[&member.to_string()])?;
        assert_eq!(diagnosis.cause(), Some("kept"), "{}", diagnosis.said);
        assert!(diagnosis.evidence().contains(words), "{}", diagnosis.said);
        let doctor = scene.doctor()?;
        assert_eq!(doctor["cause"], "kept", "{doctor}");

        scene.lab.lb().ip(&remedy.replace("PEER", &name))?;
        let gone = Instant::now();
        scene.wait_in_place(PATH)?;
        println!("{obstacle}: in place {:?} after it was gone", gone.elapsed());
        assert!(gone.elapsed() <= BAR, "{:?}", gone.elapsed());
        scene.agent.wait_status("probes of the virtual addresses", LIMIT, |said| {
            let pools = status::pools(said).into_iter();
            let mut members = pools.flat_map(|pool| pool["members"].as_array().cloned().unwrap());
            members.all(|member| member["paths"]["vip"] == "ok")
        })?;
        scene.wait_healthy()?;
        assert!(!scene.agent.run(&["events"])?.contains("OFFLINE"));
        let report = traffic.stop()?;
        assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    }
    Ok(())
}

/// The interface on the load balancer whose name begins like this.
fn interface(scene: &Scene, prefix: &str) -> Result<String> {
    let links = shown(scene, "-oneline link")?;
    let found = links.split_whitespace().find(|word| word.starts_with(prefix));
    let found = found.and_then(|word| word.split(['@', ':']).next()).context("no interface")?;
    Ok(found.to_owned())
}

fn path_of<'s>(scene: &Scene, said: &'s Value) -> Option<&'s str> {
    let member = scene.lab.member_addr(0, Family::V4);
    status::member(said, super::scene::WEB, member)?["paths"]["path"].as_str()
}

/// What `ip`, with these words, prints on the load balancer.
fn shown(scene: &Scene, words: &str) -> Result<String> {
    let mut command = scene.lab.lb().command("ip");
    command.args(words.split(' '));
    output(command, LIMIT)
}
