//! Checks by commands of the load balancer: what they say, what they may do, and what it means that one cannot be
//! run.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Result;
use elb_tests::address::Family;
use elb_tests::agent::Agent;
use elb_tests::config::{Config, HealthMonitor, MonitorKind, Pool, Protocol};
use elb_tests::environment::elb_bin;
use elb_tests::lab::Lab;
use elb_tests::process::ended;
use elb_tests::status;
use elb_tests::wait::wait_for;
use serde_json::Value;

use crate::watch::{LIMIT, Watch, lab};

/// A folder that every user may look into.
fn folder(lab: &Lab) -> Result<PathBuf> {
    fs::set_permissions(lab.files(), Permissions::from_mode(0o755))?;
    let folder = lab.files().join("checks");
    fs::create_dir(&folder)?;
    Ok(folder)
}

/// Writes a script, in place of another of this name if there is one.
fn script(folder: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let (written, path) = (folder.join("new"), folder.join(name));
    fs::write(&written, format!("#!/bin/sh\n{text}\n"))?;
    fs::set_permissions(&written, Permissions::from_mode(0o755))?;
    fs::rename(&written, &path)?;
    Ok(path)
}

fn command(path: &Path, arguments: &[&str]) -> HealthMonitor {
    let path = path.to_string_lossy();
    let words = [&*path].into_iter().chain(arguments.iter().copied());
    let words: Vec<toml::Value> = words.map(toml::Value::from).collect();
    // An agent is ready once its first probes are over, or could be.
    let monitor = HealthMonitor { timeout: 3, ..HealthMonitor::quick(MonitorKind::Command) };
    monitor.with("command", words)
}

/// Healthy, failing, hanging, and printing for ever; each says why.
#[test]
fn what_commands_say_is_the_verdict() -> Result<()> {
    let lab = lab(1)?;
    let folder = folder(&lab)?;
    let seen =
        r#"echo "$(id -u):$(id -g) $ELB_MEMBER_ADDRESS:$ELB_MEMBER_PORT $ELB_POOL $1"; exit 3"#;
    let member = lab.member_addr(0, Family::V4);
    let quick = |monitor: HealthMonitor| HealthMonitor { timeout: 1, ..monitor };
    let monitors = [
        ("well", command(&script(&folder, "well", "exit 0")?, &[])),
        ("seen", command(&script(&folder, "seen", seen)?, &["a 'b'"]).port(99)),
        ("hang", quick(command(&script(&folder, "hang", "echo asking; sleep 1000")?, &[]))),
        ("loud", command(&script(&folder, "loud", "yes")?, &[])),
    ];
    let watch = Watch::start_tcp(lab, &monitors)?;
    watch.wait("well", "ONLINE")?;
    let said = watch.wait_reason("seen", "RESPONSE_MISMATCH")?;
    let printed = format!("65534:65534 {member}:99 seen a 'b'");
    let detail = format!("the command ended with exit status 3: \"{printed}\"");
    assert_eq!(said["reason"]["detail"], detail, "{said}");
    assert_eq!(said["reason"]["cause"]["said"], printed, "{said}");
    assert_eq!(said["reason"]["expected_response"], "exit status 0", "{said}");
    let said = watch.wait_reason("hang", "RECV_RESPONSE_TIMEOUT")?;
    let detail = "the command did not end in time and was killed: \"asking\"";
    assert_eq!(said["reason"]["detail"], detail, "{said}");
    let said = watch.wait_reason("loud", "RESPONSE_FORMAT_ERROR")?;
    let detail = "gave up on the answer after 1024 KiB of output of the command";
    assert_eq!(said["reason"]["detail"], detail, "{said}");
    let said = watch.agent.diagnose(&["pool:seen"])?.report().to_string();
    assert!(said.contains("by a command fails: the command ended with exit status 3"), "{said}");
    assert!(said.contains("sudo -u nobody env -i ELB_MEMBER_ADDRESS="), "{said}");
    Ok(())
}

/// Without its file nothing is known of the member: it stays as it is, and the load balancer's own side is named.
#[test]
fn a_command_that_cannot_be_run_is_no_verdict() -> Result<()> {
    let lab = lab(1)?;
    let folder = folder(&lab)?;
    let path = script(&folder, "check", "exit 0")?;
    let missing = folder.join("missing");
    let monitors = [("kept", command(&path, &[])), ("new", command(&missing, &[]))];
    let mut watch = Watch::start_tcp(lab, &monitors)?;
    watch.wait("kept", "ONLINE")?;
    let file = watch.agent.file().to_string_lossy().into_owned();
    let check = |watch: &Watch| watch.agent.end(&["check", "--config", &file], LIMIT);
    let checked = check(&watch)?;
    let words =
        format!("pool \"new\", healthmonitor: the command {} cannot be run", missing.display());
    assert!(checked.code == Some(1) && checked.printed.contains(&words), "{checked:?}");

    fs::remove_file(&path)?;
    let said = watch.agent.wait_status("both commands to be missed", LIMIT, |said| {
        let problems = said["agent"]["problems"].to_string();
        problems.contains("checks/check cannot be run")
            && problems.contains("checks/missing cannot be run")
    })?;
    assert_eq!(said["load_balancers"][0]["operating_status"], "DEGRADED", "{said}");
    let mut listeners = said["load_balancers"][0]["listeners"].as_array().into_iter().flatten();
    let kept = listeners.find(|one| one["default_pool"] == "kept");
    assert_eq!(kept.map(|one| &one["operating_status"]), Some(&Value::from("DEGRADED")), "{said}");
    let problems = said["agent"]["problems"].to_string();
    assert!(problems.contains("they are no verdict on the members"), "{problems}");
    assert_eq!(watch.member("kept")?["operating_status"], "ONLINE");
    assert_eq!(watch.member("new")?["operating_status"], "INITIAL");
    let member = watch.lab.member_addr(0, Family::V4);
    let said = watch.agent.diagnose(&[&format!("kept/{member}")])?;
    assert_eq!(said.cause(), Some("probes"), "{}", said.said);
    let words = "on this load balancer, not on the backend server: the command";
    assert!(said.said.to_string().contains(words), "{}", said.said);
    let mut doctor = watch.lab.lb().command(elb_bin()?);
    doctor.args(["doctor", "--config", &file]);
    let said = ended(doctor, LIMIT)?.printed;
    assert!(said.contains("checks/missing cannot be run"), "{said}");

    // What others may change is not run, and no such file is taken over.
    script(&folder, "missing", "exit 0")?;
    script(&folder, "check", "exit 0")?;
    fs::set_permissions(&path, Permissions::from_mode(0o777))?;
    let words = "check may be changed by others than its owner: its mode is 0777; chmod go-w";
    assert!(check(&watch)?.printed.contains(words));
    watch.reload()?;
    let said = watch.agent.wait_status("the reload to be refused", LIMIT, |said| {
        said["agent"]["problems"].to_string().contains(words)
    })?;
    assert!(said["agent"]["problems"].to_string().contains("is still served"), "{said}");
    fs::set_permissions(&path, Permissions::from_mode(0o755))?;
    watch.reload()?;
    watch.wait("new", "ONLINE")?;
    watch.agent.wait_status("all to be well", LIMIT, |said| {
        let is_online = said["load_balancers"][0]["operating_status"] == "ONLINE";
        is_online && !said["agent"]["problems"].to_string().contains("command")
    })?;
    assert_eq!(check(&watch)?.code, Some(0));
    Ok(())
}

/// An agent as the unit starts it may not become another user; what to do is said, and then it may.
#[test]
fn the_unit_needs_more_to_run_commands() -> Result<()> {
    const FOUR: &str = "-all,+bpf,+perfmon,+net_admin,+net_raw";
    let with = |capabilities: &str| {
        let words = [
            "setpriv",
            "--no-new-privs",
            "--inh-caps",
            "-all",
            "--bounding-set",
            capabilities,
            "--",
        ];
        words.map(str::to_owned).to_vec()
    };
    let lab = lab(1)?;
    let path = script(&folder(&lab)?, "check", "test $(id -u) = 65534")?;
    let pool = Pool::of(&lab, "web", Family::V4, Protocol::Tcp, 80).watched(command(&path, &[]));
    let config = Config::new(&lab).balance(&lab, Family::V4, 80, pool);
    let start = |capabilities: &str| {
        Agent::start_under(&lab, &config.text()?, &config.agent.socket, &with(capabilities))
    };
    let agent = start(FOUR)?;
    let words = "the agent lacks CAP_KILL, CAP_SETGID, CAP_SETUID to run the command";
    agent.wait_status("the capabilities to be missed", LIMIT, |said| {
        let problems = said["agent"]["problems"].to_string();
        problems.contains(words)
            && problems.contains("CapabilityBoundingSet=CAP_SETUID CAP_SETGID CAP_KILL")
    })?;
    let file = agent.file().to_string_lossy().into_owned();
    let checked = agent.end(&["check", "--config", &file], LIMIT)?;
    assert!(checked.code == Some(1) && checked.printed.contains(words), "{checked:?}");
    drop(agent);
    let agent = start(&format!("{FOUR},+kill,+setuid,+setgid"))?;
    wait_for("the command to be run", LIMIT, || {
        let said = agent.status()?;
        let online = status::pool(&said, "web")
            .is_some_and(|pool| pool["members"][0]["operating_status"] == "ONLINE");
        Ok(online.then_some(()))
    })?;
    let checked = agent.end(&["check", "--config", &file], LIMIT)?;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    Ok(())
}
