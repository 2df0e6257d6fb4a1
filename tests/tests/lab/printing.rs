//! What every command prints with `-o json` is what its schema says, and so is what it says when it fails.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    process::Command,
};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    client::HeldConnections,
    config::{AccessList, Forwarding, HealthMonitor, MonitorKind},
    environment::elb_bin,
    lab::Lab,
    printed,
    process::ended,
    status,
};
use serde_json::Value;

use crate::scene::{self, ECHO, LIMIT, Scene, WEB};
use crate::tracing;

/// A scene in which much is to be reported: a member that is OFFLINE, one that is drained, one that was removed,
/// access control, limits, and flows that are recorded.
fn eventful() -> Result<(Scene, HeldConnections)> {
    let (mut scene, ()) = Scene::start_of(4, Forwarding::Ipip, |lab: &Lab| {
        let mut config = scene::config(lab, Forwarding::Ipip, |pool| match pool.name == WEB {
            true => pool.watched(HealthMonitor::quick(MonitorKind::Http)),
            false => pool.by("LEAST_CONNECTIONS"),
        });
        config.restrict(WEB, AccessList::Black, "others");
        config.set_group("others", &["203.0.113.0/24", "2001:db8:2::/48"]);
        config.listener_mut(WEB).cps = 100_000;
        config.listener_mut(ECHO).max_connection = 1_000;
        Ok((config, ()))
    })?;
    let held = HeldConnections::open(
        scene.lab.client(),
        scene.echo(),
        20,
        std::time::Duration::from_millis(50),
    )?;
    scene.servers[0].stop()?;
    scene.agent.wait_status("a member to be OFFLINE", LIMIT, |said| {
        let member = status::member(said, WEB, scene.member(0));
        member.is_some_and(|member| member["operating_status"] == "OFFLINE")
    })?;
    scene.agent.run(&["drain", &scene.member(1).to_string(), "--pool", WEB])?;
    scene.config.pool_mut(ECHO).members.remove(3);
    scene.agent.reload(&scene.config)?;
    scene.request(20)?;
    Ok((scene, held))
}

/// What `elb` prints in a place that is not the agent's.
fn print(words: &[&str], mut command: Command) -> Result<Value> {
    command.args(["-o", "json"]);
    let ended = ended(command, LIMIT)?;
    printed::value(words, &ended.printed).with_context(|| format!("{words:?}: {ended:?}"))
}

#[test]
fn what_is_printed_is_what_the_schema_says() -> Result<()> {
    let (scene, held) = eventful()?;
    let ask = |words: &[&str]| scene.agent.ask(words);
    let whole = ask(&["status"])?;
    let offline = scene.member(0).to_string();
    assert_eq!(ask(&["status", &offline])?[0]["address"], *offline);
    let members = whole["pools"].as_array().context("pools")?.iter().flat_map(|pool| {
        pool["members"].as_array().into_iter().flatten().map(move |one| (&pool["name"], one))
    });
    members.for_each(|(pool, member)| assert_eq!(&member["pool"], pool, "{member}"));

    let events = scene.agent.run(&["events", "-o", "json"])?;
    let events = printed::lines(&["events"], &events)?;
    let about = |event: &&Value| event["pool"] == WEB && event["address"] == *offline;
    assert_eq!(events.iter().filter(about).count(), 1, "{events:?}");
    assert!(ask(&["drops", "--interval", "0s"])?.is_array());

    let (src, dst) = (scene.lab.client_addr(Family::V4).to_string(), scene.web().to_string());
    let packet = ["explain", "--src", &src, "--dst", &dst, "--proto", "tcp", "--syn"];
    let explained = ask(&packet)?;
    assert_eq!(
        (&explained["decision"]["fate"], &explained["backend"]["pool"]),
        (&"forwarded".into(), &WEB.into())
    );
    let flows = ask(&["flows", "--pool", ECHO])?;
    assert_eq!(flows["summary"]["members"][0]["member"]["pool"], ECHO, "{flows}");
    assert_eq!(ask(&["flows", "--cut", "--dry-run", "--client", &src])?["dry_run"], true);

    let trace = tracing::start(&scene, &["trace", "--count", "3", "-o", "json"])?;
    let traced = trace.finish(LIMIT)?;
    assert_eq!(printed::lines(&["trace"], &traced)?.len(), 3, "{traced}");

    let drained = ask(&["drain", &scene.member(1).to_string(), "--pool", WEB, "--cancel"])?;
    assert_eq!(
        (&drained["members"][0]["pool"], &drained["members"][0]["state"]),
        (&WEB.into(), &"SERVING".into())
    );
    assert_eq!(ask(&["reload", "--wait"])?["accepted"], true);
    let file = scene.agent.file().display().to_string();
    assert_eq!(ask(&["check", "--config", &file, "--against-running"])?["accepted"], true);
    assert_eq!(scene.agent.diagnose(&[])?.said["reports"][0]["conclusion"], "cause-found");

    drop(held);
    outside(&scene)
}

/// Commands that need no agent.
fn outside(scene: &Scene) -> Result<()> {
    let lab = &scene.lab;
    let file = scene.agent.file();
    let on_lb = |words: &[&str]| -> Result<Command> {
        let mut command = lab.lb().command(elb_bin()?);
        command.args(words).arg("--config").arg(file);
        Ok(command)
    };
    assert!(print(&["check"], on_lb(&["check"])?)?.is_array());
    assert!(print(&["doctor"], on_lb(&["doctor"])?)?["findings"].is_array());

    let (vip, place) = (lab.vip4().to_string(), lab.backend_place(0));
    let on_backend = |words: &[&str]| -> Result<Command> {
        let mut command = lab.backend(0).command(elb_bin()?);
        command.args(words).args(&place);
        Ok(command)
    };
    let up = ["backend", "up", "--vip", &vip, "--mode", "ipip", "--interface", lab.device()];
    let from = lab.from_lbs("ipip");
    let up: Vec<&str> = up.into_iter().chain(from.iter().map(String::as_str)).collect();
    assert!(print(&up, on_backend(&up)?)?["steps"].is_array());
    assert!(
        print(&["backend", "status"], on_backend(&["backend", "status"])?)?["packets"].is_array()
    );
    let inspect = ["backend", "inspect", "--port", "80"];
    assert_eq!(print(&inspect, on_backend(&inspect)?)?["asked"]["port"], 80);
    let down = ["backend", "down", "--all"];
    assert!(print(&down, on_backend(&down)?)?["steps"].is_array());
    assert_eq!(print(&["backend", "status"], on_backend(&["backend", "status"])?)?, Value::Null);
    Ok(())
}

#[test]
fn a_command_that_fails_says_why_in_one_shape() -> Result<()> {
    let (mut scene, ()) = Scene::start_of(1, Forwarding::L2, |lab| {
        Ok((scene::config(lab, Forwarding::L2, |pool| pool), ()))
    })?;
    let code = |words: &[&str]| -> Result<(Option<i32>, Value)> {
        let ended = scene.agent.end(&[words, &["-o", "json"]].concat(), LIMIT)?;
        assert_eq!(ended.printed, "", "{words:?}");
        Ok((ended.code, printed::error(&ended.said)?))
    };
    for words in [
        &["status", "nothing"][..],
        &["drain", "nobody"],
        &["flows", "--member", "nobody"],
        &["trace", "--member", "nobody"],
        &[
            "explain",
            "--src",
            "10.0.0.1",
            "--dst",
            "10.0.0.2:80",
            "--proto",
            "tcp",
            "--interface",
            "none",
        ],
    ] {
        let (ended, said) = code(words)?;
        assert_eq!(
            (ended, &said["code"]),
            (Some(1), &"invalid_request".into()),
            "{words:?}: {said}"
        );
    }
    let (ended, said) = code(&["diagnose", "nobody"])?;
    assert_eq!((ended, &said["code"]), (Some(3), &"invalid_request".into()), "{said}");

    let socket = scene.config.agent.socket.clone();
    for (request, status, code) in [
        ("GET /nothing", 404, "unknown_request"),
        ("GET /drain?action=look&member=a", 404, "unknown_request"),
        ("GET /explain?src=here", 400, "invalid_request"),
        ("POST /drain?action=look&member=nobody", 400, "invalid_request"),
    ] {
        let mut stream = UnixStream::connect(&socket)?;
        write!(stream, "{request} HTTP/1.1\r\nHost: elb\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").context("a body")?;
        assert_eq!(printed::error(body)?["code"], code, "{request}: {answer}");
    }

    scene.agent.terminate()?;
    let ended = scene.agent.end(&["status", "-o", "json"], LIMIT)?;
    assert_eq!((ended.code, ended.printed.as_str()), (Some(1), ""));
    assert_eq!(printed::error(&ended.said)?["code"], "no_agent", "{ended:?}");
    let mut detach = scene.lab.lb().command(elb_bin()?);
    detach.args(["detach", "--config"]).arg(scene.agent.file());
    let removed = print(&["detach"], detach)?;
    assert!(removed["removed"].as_array().is_some_and(|pins| !pins.is_empty()), "{removed}");
    Ok(())
}
