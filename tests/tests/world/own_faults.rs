//! Faults of the load balancer itself: `elb diagnose` names them before it suspects a member, and no longer
//! once they are repaired.

use std::fs;

use anyhow::{Context as _, Result};
use elb_tests::{agent::Agent, diagnosis::Diagnosis, process::Process, status, wait::wait_for};
use nix::{
    fcntl::{AT_FDCWD, RenameFlags, renameat2},
    sys::signal::Signal,
};
use serde_json::Value;

use crate::served::{LIMIT, Served, doctor, finding, is_degraded, problems, with_another_pool};

const MEMBER: &str = "web/10.0.0.11";

#[track_caller]
fn is_named(shown: &Diagnosis, cause: &str, words: &[&str]) {
    assert_eq!((shown.code, shown.cause()), (1, Some(cause)), "{:#}", shown.said);
    for word in words {
        assert!(shown.evidence().contains(word), "no {word:?}: {:#}", shown.said);
    }
    assert!(!shown.fix().is_empty(), "{:#}", shown.said);
}

#[track_caller]
fn is_well(shown: &Diagnosis) {
    assert_eq!((shown.code, shown.cause()), (0, None), "{:#}", shown.said);
}

/// K8: a crash, and a start with a file that has one wrong pool and a new member in it. The member of which
/// is asked is in the wrong file only.
#[test]
fn a_member_that_only_a_wrong_file_has_is_not_unknown() -> Result<()> {
    let mut served = Served::start()?;
    let mut wrong = served.config.clone();
    let mut new = wrong.pool_mut("web").members[2].clone();
    new.address = "10.0.0.77".parse()?;
    wrong.pool_mut("web").members.push(new);
    wrong.pool_mut("web").members[0].weight = 101;
    served.agent.kill()?;
    fs::write(served.agent.file(), wrong.text()?)?;
    served.agent.restart()?;
    for member in ["web/10.0.0.77", "member:10.0.0.77", "10.0.0.77:80"] {
        let shown = served.agent.diagnose(&[member])?;
        is_named(&shown, "in-force", &["10.0.0.77", "it is not served", "weight", "101"]);
        assert!(shown.fix().contains("elb check"), "{:#}", shown.said);
    }
    // A member that serves, with what the file before says.
    let shown = served.agent.diagnose(&[MEMBER])?;
    is_named(&shown, "in-force", &["serves pool \"web\"", "weight"]);
    let reports = shown.said["reports"].as_array().context("reports")?;
    assert!(reports[1..].iter().all(|report| report["cause"].is_null()), "{:#}", shown.said);
    assert_eq!(served.agent.diagnose(&[])?.cause(), Some("in-force"));
    served.request(20)?;
    let nothing = served.agent.end(&["diagnose", "web/10.0.0.78"], LIMIT)?;
    assert_eq!(nothing.code, Some(3), "{nothing:?}");

    served.agent.reload(&served.config.clone())?;
    served.wait_sound()?;
    is_well(&served.agent.diagnose(&[MEMBER])?);
    Ok(())
}

/// K7, K8: a reload that is refused, and a file that no one has loaded.
#[test]
fn what_was_not_taken_over_is_named() -> Result<()> {
    let mut served = Served::start()?;
    let good = served.config.text()?;
    let emptied = good.split("[[load_balancer]]").next().unwrap_or_default();
    served.agent.reload_with(emptied)?;
    let refused = |said: &Value| problems(said).contains("the configuration is rejected");
    served.agent.wait_status("the refusal", LIMIT, refused)?;
    is_named(&served.agent.diagnose(&[MEMBER])?, "in-force", &["rejected", "still served"]);
    served.agent.reload_with(&good)?;
    served.wait_sound()?;
    is_well(&served.agent.diagnose(&[MEMBER])?);

    let wanted = with_another_pool(&served.lab, served.config.clone(), "third", 8443);
    served.agent.write(&wanted.text()?)?;
    let shown = served.agent.diagnose(&["pool:third"])?;
    is_named(&shown, "in-force", &["third", "the file was changed after it was loaded"]);
    assert!(shown.fix().contains("systemctl reload elb"), "{:#}", shown.said);
    is_well(&served.agent.diagnose(&[MEMBER])?);
    served.agent.reload(&wanted)?;
    served.agent.wait_status("the third pool", LIMIT, |said| status::pools(said).len() == 3)?;
    let shown = served.agent.diagnose(&["pool:third"])?;
    assert_ne!(shown.cause(), Some("in-force"), "{:#}", shown.said);
    Ok(())
}

/// K5: another process has a pin directory that took the place of the agent's, and one that has it while
/// no agent answers.
#[test]
fn a_process_that_has_the_pin_directory_is_named() -> Result<()> {
    let served = Served::start()?;
    let held = served.held(20)?;
    let (pins, rival) = (served.config.agent.pin_dir.clone(), served.lab.pins().join("rival"));
    fs::create_dir(&rival)?;
    let lock = || -> Result<Process> {
        let mut command = std::process::Command::new("flock");
        // It holds the lock itself, with no child that would outlive it.
        command.arg("--no-fork").arg(&rival).args(["sleep", "600"]);
        Process::start("a rival", command)
    };
    let mut other = lock()?;
    wait_for("the rival's lock", LIMIT, || {
        let mut command = std::process::Command::new("flock");
        command.arg("--nonblock").arg(&rival).arg("true");
        Ok((!command.status()?.success()).then_some(()))
    })?;
    renameat2(AT_FDCWD, &rival, AT_FDCWD, &pins, RenameFlags::RENAME_EXCHANGE)?;
    let named = format!("is in use by process {} (sleep ", other.id());
    let said =
        served.agent.wait_status("the rival", LIMIT, |said| problems(said).contains(&named))?;
    assert!(is_degraded(&said), "{said}");
    is_named(&served.agent.diagnose(&[MEMBER])?, "owner", &["pin_dir", &named]);
    served.go_on(&held)?;

    // It is the agent's again, and no other's.
    other.kill()?;
    served.wait_sound()?;
    is_well(&served.agent.diagnose(&[MEMBER])?);
    let refusal = Agent::refusal(&served.lab, &served.config.text()?)?;
    let holder = format!("is in use by process {} (", served.agent.id());
    assert!(refusal.said.contains(&holder), "{}", refusal.said);
    wait_for("the pins", LIMIT, || Ok((pins.read_dir()?.count() > 0).then_some(())))?;
    fs::remove_dir_all(&rival)?;
    served.go_on(&held)?;

    // An agent that does not answer, seen by who asks the host.
    let stopped = served.agent.id();
    signal(stopped, Signal::SIGSTOP)?;
    let host = doctor(&served.lab, served.agent.file());
    signal(stopped, Signal::SIGCONT)?;
    let host = host?;
    let found = finding(&host, "owner");
    assert_eq!(found["outcome"], "fail", "{host:#}");
    let evidence = found["evidence"].as_str().unwrap_or_default();
    assert!(evidence.contains(&format!("is in use by process {stopped} (")), "{evidence}");
    wait_for("an answer", LIMIT, || Ok(served.agent.status().ok()))?;
    let host = doctor(&served.lab, served.agent.file())?;
    assert_eq!(finding(&host, "owner")["outcome"], "pass", "{host:#}");
    served.go_on(&held)?;
    assert_eq!(held.stop()?.broken().len(), 0);
    Ok(())
}

fn signal(process: u32, signal: Signal) -> Result<()> {
    Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(process)?), signal)?)
}

/// K2: what the kernel says of the way to members: a route that refuses one, a host that does not answer
/// any more, and one that answers with another Ethernet address.
#[test]
fn what_the_kernel_knows_of_the_way_is_named() -> Result<()> {
    let served = Served::start()?;
    let name = |index: usize| format!("web/{}", served.member(index));
    let offline =
        |index: usize| served.agent.wait_members(&[served.member(index)], "OFFLINE", LIMIT);
    let online = |index: usize| -> Result<()> {
        served.agent.wait_members(&[served.member(index)], "ONLINE", LIMIT)?;
        is_well(&served.agent.diagnose(&[&name(index)])?);
        Ok(())
    };
    // No probe can be sent, which is no verdict; but nothing is sent there either.
    let gets_flows = |index: usize, wanted: bool| -> Result<()> {
        let gets = |said: &Value| {
            let slots = status::slots(said, "web");
            slots.get(&served.member(index)).is_some_and(|slots| (*slots > 0) == wanted)
        };
        served.agent.wait_status("its share of new connections", LIMIT, gets).map(drop)
    };
    for kind in ["unreachable", "blackhole", "prohibit"] {
        let route = format!("{kind} {}/32", served.member(0));
        served.lab.lb().ip(&format!("route add {route}"))?;
        gets_flows(0, false)?;
        // The kernel has words of its own for the first.
        let words = match kind {
            "unreachable" => "no route from here: ".to_owned(),
            kind => format!("no route from here: a {kind} route or rule ("),
        };
        let is_said = |said: &Value| problems(said).contains(&words);
        served.agent.wait_status("what stands in the way", LIMIT, is_said)?;
        let shown = served.agent.diagnose(&[&name(0)])?;
        is_named(&shown, "neighbor", &["the load balancer has no way to 10.0.0.11"]);
        assert!(shown.fix().contains("ip route get 10.0.0.11"), "{:#}", shown.said);
        let deletes = format!("delete the {kind} route or rule that 10.0.0.11 falls under");
        assert_eq!(shown.fix().contains(&deletes), kind != "unreachable", "{:#}", shown.said);
        assert_eq!(served.request(40)?, ["backend-1".to_owned(), "backend-2".to_owned()]);
        served.lab.lb().ip(&format!("route del {route}"))?;
        gets_flows(0, true)?;
        online(0)?;
    }

    served.lab.unplug(1)?;
    offline(1)?;
    // The kernel believes for a while that it is there still.
    let shown = wait_for("the kernel to miss it", LIMIT, || {
        let shown = served.agent.diagnose(&[&name(1)])?;
        Ok((shown.cause() == Some("neighbor")).then_some(shown))
    })?;
    is_named(&shown, "neighbor", &["10.0.0.12 does not answer ARP requests on lb0"]);
    assert!(shown.fix().contains("start the host 10.0.0.12"), "{:#}", shown.said);
    served.lab.plug(1)?;
    online(1)?;

    let device = served.lab.device();
    served.lab.backend(2).ip(&format!("link set {device} address 02:e1:b0:00:77:77"))?;
    let is_followed = |shown: &Diagnosis| {
        let said = shown.finding("neighbor")["evidence"].as_str().unwrap_or_default();
        shown.cause().is_none() && said.contains("is at 02:e1:b0:00:77:77 on lb0")
    };
    wait_for("the new Ethernet address", LIMIT, || {
        let shown = served.agent.diagnose(&[&name(2)])?;
        assert_ne!(shown.cause(), Some("neighbor"), "it answers, from elsewhere: {:#}", shown.said);
        Ok(is_followed(&shown).then_some(()))
    })?;
    served.wait_sound()?;
    served.request(30)?;
    Ok(())
}
