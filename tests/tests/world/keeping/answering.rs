//! The API socket's file is removed: commands find the agent again, and traffic notices nothing.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use elb_tests::{address::Families, process::output, wait::wait_for};

use super::scene::{LIMIT, Scene, answered};

#[test]
fn a_socket_that_is_removed_comes_back() -> Result<()> {
    let scene = Scene::start(Families::V4, |lab, config| {
        config.agent.socket = lab.files().join("run/elb.sock");
    })?;
    let socket = scene.config.agent.socket.clone();
    let folder = socket.parent().expect("a folder").to_owned();
    let traffic = scene.traffic()?;
    // Who follows events goes on by the connection that is open.
    let follows = scene.agent.start_command(&["events", "--follow"])?;
    let back = || wait_for("the socket", LIMIT, || Ok(socket.exists().then_some(())));

    fs::remove_file(&socket)?;
    back()?;
    scene.wait_healthy()?;
    fs::remove_dir_all(&folder)?;
    back()?;
    scene.wait_healthy()?;
    let other = scene.lab.files().join("other");
    fs::write(&other, "no socket")?;
    fs::rename(&other, &socket)?;
    wait_for("another agent's answer", LIMIT, || Ok(scene.agent.status().ok().map(drop)))?;
    assert_eq!(scene.restored("API socket")?, 3);
    let log = scene.agent.log();
    assert!(log.contains("API socket") && log.contains("its file was removed"), "{log}");
    assert_eq!(scene.doctor()?["conclusion"], "healthy", "{}", scene.doctor()?);
    drop(follows);

    // It cannot be made: the agent goes on, and doctor says what is missing.
    wait_for("a file in the place of its folder", LIMIT, || {
        fs::remove_dir_all(&folder)?;
        // The agent may have made it again in between.
        Ok(fs::write(&folder, "no folder").ok())
    })?;
    let said = wait_for("doctor to miss the socket", LIMIT, || {
        let said = scene.doctor()?;
        Ok((said["cause"] == "owner").then(|| said.to_string()))
    })?;
    assert!(said.contains("socket file") && said.contains("is missing"), "{said}");
    assert!(!said.contains("stop that process"), "{said}");
    wait_for("the log to say it", LIMIT, || {
        Ok(scene.agent.log().contains("no command finds this agent").then_some(()))
    })?;
    answered(&traffic, 20)?;
    fs::remove_file(&folder)?;
    back()?;
    scene.wait_healthy()?;
    assert_eq!(traffic.stop()?.failures().len(), 0);
    Ok(())
}

/// Its limit of open files is lowered below what it has: commands are refused in words, at once.
#[test]
fn an_agent_without_descriptors_says_so() -> Result<()> {
    let scene = Scene::start(Families::V4, |_, _| ())?;
    let traffic = scene.traffic()?;
    let limit = |limit: &str| {
        let id = scene.agent.id().to_string();
        output(command(&["prlimit", "--pid", &id, &format!("--nofile={limit}:")]), LIMIT)
    };
    limit("40")?;
    let mut answers = Vec::new();
    for _ in 0..5 {
        let asked = Instant::now();
        let ended = scene.agent.end(&["status"], LIMIT)?;
        assert!(asked.elapsed() < Duration::from_secs(5), "{ended:?}");
        answers.push(ended.said);
    }
    let refused = answers.iter().any(|said| said.contains("cannot open any more files"));
    assert!(refused, "{answers:?}\n{}", scene.agent.log());
    let said = scene.doctor()?;
    assert_eq!(said["cause"], "owner", "{said}");
    assert!(said.to_string().contains("files open and may have 40"), "{said}");
    let lines = scene.agent.log().matches("cannot take connections").count();
    assert_eq!(lines, 1, "{}", scene.agent.log());
    answered(&traffic, 20)?;

    limit("1024")?;
    scene.wait_healthy()?;

    // A stopped agent does not answer at all.
    let signal = |name: &str| {
        output(command(&["sh", "-c", &format!("kill -{name} {}", scene.agent.id())]), LIMIT)
    };
    signal("STOP")?;
    let said = scene.doctor();
    signal("CONT")?;
    assert!(said?.to_string().contains("it is stopped by a signal (state T)"));
    scene.wait_healthy()?;
    traffic.stop()?;
    Ok(())
}

fn command(words: &[&str]) -> Command {
    let mut command = Command::new(words[0]);
    command.args(&words[1..]);
    command
}
