//! Configuration files that are wrong, while the agent runs and when it starts.

use anyhow::Result;
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{FailureKind, Load, http_requests},
    config::{Config, Forwarding, Pool, Protocol},
    lab::Lab,
    status,
    wire::{ECHO_PORT, HTTP_PORT},
};
use serde_json::Value;

use crate::scene::{LIMIT, Scene, WEB, wait_until_serving};

/// What is wrong in the status, one below the other.
fn problems(said: &Value) -> String {
    let lines = said["agent"]["problems"].as_array().into_iter().flatten();
    lines.filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

/// Line and column, counted from 1, of the value of the first key whose line reads `line`.
fn place(text: &str, line: &str) -> String {
    let number = text.lines().position(|one| one == line).expect("the line is in the file") + 1;
    let column = line.find(" = ").expect("the line has a value") + " = ".len() + 1;
    format!("elb.toml:{number}:{column}: ")
}

#[test]
fn a_file_that_is_wrong_changes_nothing_until_it_is_right() -> Result<()> {
    let mut scene = Scene::start(3, Forwarding::L2, |pool| pool)?;
    let traffic = scene.traffic()?;
    let rings = scene.rings()?;

    let right = scene.config.text()?;
    let wrong = right.replacen("forwarding = \"l2\"", "forwarding = \"l3\"", 1);
    scene.agent.reload_with(&wrong)?;
    let expected = place(&wrong, "forwarding = \"l3\"");
    let is_shown = |said: &Value| problems(said).contains(&expected);
    scene.agent.wait_status(&format!("{expected} in the status"), LIMIT, is_shown)?;
    traffic.flows_for(200)?;

    scene.agent.reload_with(&right.replacen("[[pool]]", "[[pool]", 1))?;
    let line = right.lines().position(|line| line == "[[pool]]").expect("there are pools") + 1;
    let expected = format!("elb.toml:{line}:");
    let is_shown = |said: &Value| problems(said).contains(&expected);
    scene.agent.wait_status(&format!("{expected} in the status"), LIMIT, is_shown)?;
    traffic.flows_for(200)?;
    assert!(scene.rings()? == rings, "slots have changed their owners");

    scene.config.pool_mut(WEB).members.truncate(2);
    scene.agent.reload(&scene.config)?;
    let member = scene.member(2);
    let taken_over = |said: &Value| {
        problems(said).is_empty() && status::slots(said, WEB).get(&member) == Some(&0)
    };
    scene.agent.wait_status("the right file to be taken over", LIMIT, taken_over)?;
    assert!(!scene.request(100)?.answers_by_backend().contains_key("backend-2"));
    traffic.flows_for(100)?;
    traffic.was_never_disturbed()?;
    assert_eq!(status::drops(&scene.agent.status()?), Vec::<String>::new());
    Ok(())
}

/// The ring comes from the members alone, so that even connections stay where they are.
#[test]
fn a_pool_gets_another_name_and_no_client_notices() -> Result<()> {
    let mut scene = Scene::start(3, Forwarding::Ipip, |pool| pool)?;
    let traffic = scene.traffic()?;
    for name in ["renamed", "renamed again"] {
        scene.config.pools[0].name = name.to_owned();
        scene.config.load_balancers[0].listeners[0].default_pool = name.to_owned();
        scene.agent.reload(&scene.config)?;
        let taken_over = |said: &Value| status::pools(said)[0]["name"] == name;
        scene.agent.wait_status(&format!("a pool called {name}"), LIMIT, taken_over)?;
        wait_until_serving(&scene.agent)?;
        traffic.flows_for(200)?;
    }
    traffic.was_never_disturbed()?;
    assert_eq!(status::drops(&scene.agent.status()?), Vec::<String>::new());
    Ok(())
}

#[test]
fn what_is_right_in_a_file_is_served_from_the_start() -> Result<()> {
    let lab = Lab::builder().start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::L2)?;
    let mut config = Config::new(&lab);
    for (name, port) in [("good", HTTP_PORT), ("bad", ECHO_PORT)] {
        let pool = Pool::of(&lab, name, Family::V4, Protocol::Tcp, port);
        config = config.balance(&lab, Family::V4, port, pool.forwarding(Forwarding::L2));
    }
    config.pool_mut("bad").members[1].weight = 101;
    let text = config.text()?;
    let agent = Agent::start_with(&lab, &text, &config.agent.socket)?;
    wait_until_serving(&agent)?;

    let report = http_requests(lab.client(), Load::on(lab.service(Family::V4, HTTP_PORT)), 100)?;
    assert_eq!(report.answered(), 100, "{:?}", report.failures());
    let said = agent.status()?;
    assert!(problems(&said).contains(&place(&text, "weight = 101")), "{}", problems(&said));
    assert_eq!(status::pools(&said).len(), 1, "{said}");

    let report = http_requests(lab.client(), Load::on(lab.service(Family::V4, ECHO_PORT)), 2)?;
    assert!(report.failures().iter().all(|one| one.kind == FailureKind::Refused));
    assert_eq!(report.answered(), 0);
    Ok(())
}

#[test]
fn a_file_without_anything_to_serve_is_refused() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let text = Config::new(&lab).text()?.replace("interfaces", "interface");
    let refusal = Agent::refusal(&lab, &text)?;
    assert_eq!(refusal.code, Some(1), "{}", refusal.said);
    let number = text.lines().position(|line| line == "[agent]").expect("there is one") + 1;
    let expected = format!("refused.toml:{number}:1: [agent]: interfaces is missing");
    assert!(refusal.said.contains(&expected), "{}", refusal.said);
    Ok(())
}
