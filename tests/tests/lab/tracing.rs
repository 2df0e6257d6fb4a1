//! `elb trace` next to real traffic: it reports the packets that were asked for, the interfaces
//! carry the program that does so only meanwhile, and no one notices.

use std::{thread::sleep, time::Duration};

use anyhow::{Context as _, Result};
use aya::programs::{
    links::{FdLink, PinnedLink},
    loaded_programs,
};
use elb_common::names;
use elb_tests::{
    address::Family,
    client::{Load, http_requests},
    config::Forwarding,
    running::Running,
    wait::wait_for,
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::scene::{LIMIT, Scene, WEB};

/// Starts a trace; packets are reported when this returns.
pub(crate) fn start(scene: &Scene, arguments: &[&str]) -> Result<Running> {
    let mut running = scene.agent.start_command(arguments)?;
    running.wait_said("tracing; Ctrl-C ends it", LIMIT)?;
    Ok(running)
}

/// The program that the load balancer's interface carries.
pub(crate) fn program(scene: &Scene) -> Result<String> {
    let directory = scene.config.agent.pin_dir.join(format!("v{}", names::ABI_VERSION));
    let index = scene.lab.lb().run(|| nix::net::if_::if_nametoindex("lb0"))??;
    let link = PinnedLink::from_pin(directory.join(format!("link-{index}")))?;
    let id = FdLink::from(link).info()?.program_id();
    let found = loaded_programs().find(|one| one.as_ref().is_ok_and(|one| one.id() == id));
    let found = found.context("the link's program is not there")??;
    Ok(found.name_as_str().context("it has no name")?.to_owned())
}

pub(crate) fn wait_plain(scene: &Scene) -> Result<()> {
    wait_for("the plain program to be back", LIMIT, || {
        Ok((program(scene)? == names::PROGRAM).then_some(()))
    })
}

fn events(printed: &str) -> Result<Vec<Value>> {
    elb_tests::printed::lines(&["trace"], printed)
}

/// To members, in packets of IPv4 in IPv4.
fn are_forwarded(shown: &[Value]) {
    for event in shown {
        assert_eq!(event["fate"], "forwarded", "{event}");
        assert_eq!((&event["interface"], &event["protocol"]), (&"lb0".into(), &"tcp".into()));
        assert!(event["source"].as_str().expect("a string").starts_with("10."), "{event}");
        let member = event["member"]["address"].as_str().expect("a string");
        let outer = &event["sent"]["encapsulation"];
        assert!(member.starts_with(outer["destination"].as_str().expect("a string")), "{event}");
        let sizes = (event["length"].as_u64(), event["sent"]["length"].as_u64());
        assert_eq!(sizes.0.map(|length| length + 20), sizes.1, "{event}");
    }
}

#[test]
fn packets_are_reported_and_none_is_lost_by_the_switch() -> Result<()> {
    let scene = Scene::start(2, Forwarding::Ipip, |pool| pool)?;
    let traffic = scene.traffic()?;
    assert_eq!(program(&scene)?, names::PROGRAM);

    let vip = scene.lab.vip4().to_string();
    // Held connections may send so many packets between two requests.
    wait_for("a report of a request", LIMIT, || {
        let trace = start(&scene, &["trace", "--vip", &vip, "--count", "60", "-o", "json"])?;
        assert_eq!(program(&scene)?, names::TRACED_PROGRAM);
        let shown = events(&trace.finish(LIMIT)?)?;
        assert_eq!(shown.len(), 60);
        are_forwarded(&shown);
        wait_plain(&scene)?;
        Ok(shown.iter().any(|event| event["listener"] == WEB).then_some(()))
    })?;

    // Again and again, while traffic goes on.
    for _ in 0..5 {
        start(&scene, &["trace", "--count", "5"])?.finish(LIMIT)?;
        wait_plain(&scene)?;
    }
    traffic.flows_for(100)?;
    traffic.was_never_disturbed().map(drop)
}

#[test]
fn only_what_is_asked_for_and_each_for_himself() -> Result<()> {
    let scene = Scene::start(2, Forwarding::L2, |pool| pool)?;
    let client = scene.lab.client_addr(Family::V4).to_string();
    let member = scene.member(1).to_string();
    let json = |arguments: &[&str]| start(&scene, &[&["trace", "-o", "json"], arguments].concat());
    let mut all = json(&["--client", &client])?;
    let mut one = json(&["--member", &member])?;
    let mut unmatched = json(&["--client", "203.0.113.0/24"])?;
    let mut refused = json(&["--reason", "closed_port_answered", "--reason", "too_big"])?;
    assert_eq!(scene.request(40)?.answers_by_backend().len(), 2);
    let elsewhere = Load::on(std::net::SocketAddr::new(scene.lab.vip4(), 4444));
    http_requests(scene.lab.client(), Load { timeout: LIMIT / 40, ..elsewhere }, 3)?;
    // What was reported is on its way for less than this.
    sleep(Duration::from_millis(500));

    let mut ended = Vec::new();
    for running in [&mut all, &mut one, &mut unmatched, &mut refused] {
        assert_eq!(program(&scene)?, names::TRACED_PROGRAM);
        running.signal(Signal::SIGINT)?;
    }
    for running in [all, one, unmatched, refused] {
        ended.push(events(&running.finish(LIMIT)?)?);
    }
    let [all, one, unmatched, refused] = &ended[..] else { unreachable!("four traces") };
    assert!(all.len() > 40 * 4 && one.len() > 4, "{} and {}", all.len(), one.len());
    let fates = |fate: &str| all.iter().filter(|event| event["fate"] == fate).count();
    assert!(fates("forwarded") > 40 * 4 && fates("answered") >= 3);
    let to_member = |event: &&Value| {
        let address = event["member"]["address"].as_str();
        address.is_some_and(|address| address.starts_with(&member))
    };
    assert_eq!(all.iter().filter(to_member).count(), one.len());
    assert_eq!(one.iter().filter(to_member).count(), one.len());
    assert!(unmatched.is_empty(), "{unmatched:?}");
    assert!(refused.len() >= 3, "{refused:?}");
    assert!(refused.iter().all(|event| event["reason"] == "closed_port_answered"), "{refused:?}");
    wait_plain(&scene)
}

#[test]
fn what_is_beyond_the_limit_is_said() -> Result<()> {
    let scene = Scene::start(1, Forwarding::L2, |pool| pool)?;
    let mut trace = start(&scene, &["trace", "--rate", "3"])?;
    scene.request(60)?;
    // The agent says what was missed when it looks after who listens.
    sleep(Duration::from_secs(1));
    trace.signal(Signal::SIGINT)?;
    trace.wait_said("more were beyond the limit per second, see --rate and --sample", LIMIT)?;
    assert!(trace.printed()?.lines().count() > 0);
    let wrong =
        scene.agent.run(&["trace", "--member", "203.0.113.9"]).expect_err("a refusal").to_string();
    let known = "no member is called \"203.0.113.9\", or has it as its address; there are: ";
    assert!(wrong.contains(known), "{wrong}");
    Ok(())
}

#[test]
fn an_agent_that_dies_or_stops_while_packets_are_traced() -> Result<()> {
    let mut scene = Scene::start(2, Forwarding::Ipip, |pool| pool)?;
    let traffic = scene.traffic()?;
    let mut trace = start(&scene, &["trace"])?;
    scene.agent.kill()?;
    trace.wait_said("the agent", LIMIT)?;
    assert_eq!(program(&scene)?, names::TRACED_PROGRAM, "no agent is there to put the other back");
    traffic.flows_for(100)?;
    scene.agent.restart()?;
    assert_eq!(program(&scene)?, names::PROGRAM);

    let mut trace = start(&scene, &["trace"])?;
    assert_eq!(program(&scene)?, names::TRACED_PROGRAM);
    let status = scene.agent.terminate()?;
    assert!(status.success(), "{status}");
    assert_eq!(program(&scene)?, names::PROGRAM);
    trace.wait_said("the agent", LIMIT)?;
    scene.agent.restart()?;
    traffic.flows_for(100)?;
    traffic.was_never_disturbed().map(drop)
}
