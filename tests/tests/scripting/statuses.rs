//! `elb status`: filters, rates, checks.

use std::time::Duration;

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    client::{HttpLoad, Load},
    printed, status,
    wire::HTTP_PORT,
};
use serde_json::Value;

use crate::scene::{ECHO, LIMIT, Scene, WEB};

impl Scene {
    /// The exit code of `elb status` with these words, and all that it printed and said.
    fn check(&self, words: &[&str]) -> Result<(Option<i32>, String)> {
        let ended = self.agent.end(&[&["status"], words].concat(), LIMIT)?;
        Ok((ended.code, ended.printed + &ended.said))
    }
}

fn names(said: &Value) -> Vec<String> {
    let pools = said["pools"].as_array().into_iter().flatten();
    pools.filter_map(|pool| pool["name"].as_str().map(str::to_owned)).collect()
}

#[test]
fn checks_end_with_what_serves() -> Result<()> {
    let mut scene = Scene::start(2)?;
    assert_eq!(scene.check(&["--ready"])?, (Some(0), String::new()));
    let (code, said) = scene.check(&["--check"])?;
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(said, "OK: 2 of 2 listeners serve, 4 of 4 members\n");

    let gone = scene.servers.remove(0);
    drop(gone);
    let first = scene.lab.member_addr(0, Family::V4);
    scene.agent.wait_members(&[first], "OFFLINE", LIMIT)?;
    let (code, said) = scene.check(&["--check"])?;
    assert!(code == Some(1) && said.starts_with("DEGRADED: 2 of 2 listeners"), "{code:?} {said}");
    assert_eq!(scene.check(&["--ready"])?.0, Some(0));
    let said = scene.agent.ask(&["status", "--pool", WEB, "--unhealthy"])?;
    assert_eq!(names(&said), [WEB]);
    let members = said["pools"][0]["members"].as_array().context("members")?;
    assert_eq!(members.len(), 1, "{said}");
    assert_eq!(members[0]["address"], first.to_string());
    let listener = said["load_balancers"][0]["listeners"][0]["name"].as_str().context("one")?;
    assert_eq!(names(&scene.agent.ask(&["status", "--listener", listener])?), [WEB]);
    let both = scene.agent.ask(&["status", "--listener", listener, "--pool", ECHO])?;
    assert_eq!(names(&both), [""; 0], "{both}");

    scene.servers.clear();
    let second = scene.lab.member_addr(1, Family::V4);
    scene.agent.wait_members(&[first, second], "OFFLINE", LIMIT)?;
    let ended = scene.agent.end(&["status", "--check", "-o", "json"], LIMIT)?;
    let said = printed::value(&["status"], &ended.printed)?;
    assert_eq!((ended.code, &said["serving"]), (Some(2), &"none".into()), "{said}");
    let (code, said) = scene.check(&["--ready"])?;
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(said, "not ready: no listener has a member that takes new connections\n");

    scene.servers = scene.lab.serve()?;
    scene.agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
    assert_eq!(scene.check(&["--check"])?.0, Some(0));
    scene.agent.terminate()?;
    for words in ["--check", "--ready", "--problems"] {
        let (code, said) = scene.check(&[words])?;
        assert!(
            code == Some(3) && said.contains("no agent answers at"),
            "{words} {code:?}: {said}"
        );
    }
    Ok(())
}

#[test]
fn rates_are_those_of_the_traffic() -> Result<()> {
    let scene = Scene::start(2)?;
    let load = Load {
        concurrency: 2,
        pause: Duration::from_millis(20),
        limit: Duration::from_secs(60),
        ..Load::on(scene.lab.service(Family::V4, HTTP_PORT))
    };
    let load = HttpLoad::start(scene.lab.client(), load);
    let from = std::time::Instant::now();
    let said = scene.agent.ask(&["status", "--rate", "2s", "--pool", WEB])?;
    let took = from.elapsed().as_secs_f64();
    let answered = load.so_far().since(from).answered() as f64;
    let report = load.stop()?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    let new = |one: &Value| one["rate"]["new_connections"].as_f64().context("a rate");
    let listener = &said["load_balancers"][0]["listeners"][0];
    let members = said["pools"][0]["members"].as_array().context("members")?;
    let sum: f64 = members.iter().map(new).sum::<Result<f64>>()?;
    assert!((new(listener)? - sum).abs() < 0.01, "{said}");
    // As many a second as clients opened; the load of the machine is not even.
    let seen = answered / took;
    assert!(sum > seen * 0.5 && sum < seen * 2.0 + 5.0, "{sum} a second, {seen} were answered");
    let packets = listener["rate"]["packets"].as_f64().context("a rate")?;
    assert!(packets > 2.0 * sum, "{listener}");
    let table = scene.agent.run(&["status", "--rate"])?;
    assert!(table.contains("PACKETS/S") && table.contains("new/s"), "{table}");
    Ok(())
}
