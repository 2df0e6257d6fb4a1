//! What several agents could share has one owner.

use std::{fs, os::unix::fs::symlink, process::Command};

use anyhow::Result;
use elb_tests::{agent::Agent, config::Config, lab::Lab, process::Process, status, wait::wait_for};
use nix::sys::signal::Signal;

use crate::served::{LIMIT, Served, config, elb, run, status_of};

/// Another socket, another state directory, another name of the pin directory, and other addresses.
fn rival(served: &Served) -> Result<Config> {
    let mut rival = served.config.clone();
    let link = served.lab.pins().join("alias");
    symlink(&served.config.agent.pin_dir, &link)?;
    rival.agent.pin_dir = link;
    rival.agent.socket = served.lab.files().join("rival.sock");
    rival.agent.state_dir = served.lab.files().join("rival-state");
    rival.load_balancers[0].vip_address = Some("10.0.0.101".parse()?);
    Ok(rival)
}

#[test]
fn a_second_agent_of_one_pin_directory_is_refused() -> Result<()> {
    let mut served = Served::start()?;
    let held = served.held(30)?;
    let rival = rival(&served)?;
    for (mut config, what) in [(served.config.clone(), "the same"), (rival.clone(), "by a link")] {
        config.agent.socket = served.lab.files().join("rival.sock");
        let refusal = Agent::refusal(&served.lab, &config.text()?)?;
        assert_eq!(refusal.code, Some(1), "{what}: {}", refusal.said);
        let holder = format!("is in use by process {} (", served.agent.id());
        assert!(refusal.said.contains(&holder), "{what}: {}", refusal.said);
        assert!(refusal.said.contains(" agent --config "), "{what}: {}", refusal.said);
    }
    served.go_on(&held)?;
    served.request(100)?;
    let said = served.agent.status()?;
    assert!(status::all_serve(&said), "{said}");

    // Its owner is gone: the directory is free for another one.
    served.agent.terminate()?;
    fs::remove_file(served.lab.pins().join("alias"))?;
    served.agent.restart()?;
    served.go_on(&held)?;
    assert_eq!(held.stop()?.broken().len(), 0);
    Ok(())
}

/// A process that elb knows nothing of has the directory, an agent that starts, and one that runs.
#[test]
fn the_owner_of_the_directory_is_named() -> Result<()> {
    let mut served = Served::start()?;
    let held = served.held(30)?;
    let text = served.config.text()?;

    // A detach with another socket in its file.
    let other = text.replace("elb.sock", "other.sock");
    let refused = run(&served.lab, &["detach"], "other.toml", &other)?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    let holder = format!("is in use by process {} (", served.agent.id());
    assert!(refused.said.contains(&holder), "{refused:?}");
    served.go_on(&held)?;

    served.agent.terminate()?;
    let mut command = Command::new("flock");
    command.arg("--no-fork").arg(&served.config.agent.pin_dir).args(["sleep", "600"]);
    let mut owner = Process::start("another owner", command)?;
    let named = format!("is in use by process {} (sleep ", owner.id());
    let refuses = |words: &[&str]| -> Result<Option<()>> {
        let refused = run(&served.lab, words, "again.toml", &text)?;
        assert!(words == ["agent"] || refused.code == Some(1), "{refused:?}");
        Ok(refused.said.contains(&named).then_some(()))
    };
    wait_for("the refusal of an agent", LIMIT, || refuses(&["agent"]))?;
    wait_for("the refusal of a detach", LIMIT, || refuses(&["detach"]))?;
    served.go_on(&held)?;
    owner.kill()?;
    served.agent.restart()?;
    served.go_on(&held)?;
    assert_eq!(held.stop()?.broken().len(), 0);
    Ok(())
}

/// Two agents next to each other, with one state directory and sockets that differ at the end only.
#[test]
fn agents_of_one_state_directory_do_not_share_state() -> Result<()> {
    let lab = Lab::builder().backends(2).two_armed().start()?;
    let agents = [("blue", "lb0"), ("green", "lb1")];
    let mut running = Vec::new();
    for (color, interface) in agents {
        let mut config = config(&lab);
        config.agent.interfaces = vec![interface.to_owned()];
        config.agent.socket = lab.files().join(format!("elb.{color}"));
        config.agent.pin_dir = lab.pins().join(color);
        config.load_balancers[0].name = color.to_owned();
        let file = format!("{color}.toml");
        let text = config.text()?;
        let start = || Process::start(color, elb(&lab, &["agent"], &file, &text)?);
        running.push((color, config.agent.clone(), start()?, file.clone(), text.clone()));
    }
    let name = |lab: &Lab, socket: &std::path::Path| -> Result<Option<String>> {
        let said = status_of(lab, socket)?;
        Ok(said.and_then(|said| Some(said["load_balancers"][0]["name"].as_str()?.to_owned())))
    };
    for (color, agent, _, _, _) in &running {
        let found = wait_for(color, LIMIT, || name(&lab, &agent.socket))?;
        assert_eq!(&found, color);
        assert!(agent.state().join("numbers.json").exists(), "{}", agent.state().display());
    }
    assert_ne!(running[0].1.state(), running[1].1.state());
    for (_, _, process, file, text) in &mut running {
        process.signal(Signal::SIGTERM)?;
        assert!(process.wait(LIMIT)?.success());
        let detached = run(&lab, &["detach"], file, text)?;
        assert_eq!(detached.code, Some(0), "{detached:?}");
    }
    Ok(())
}
