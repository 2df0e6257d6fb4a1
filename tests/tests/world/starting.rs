//! An agent that can serve something starts, whatever else is wrong.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, chown},
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    agent::Agent,
    config::{Config, HealthMonitor, MonitorKind},
    environment::elb_bin,
    lab::Lab,
    process::Process,
    status,
    wait::wait_for,
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::served::{LIMIT, Served, elb, problems, run, status_of, with_another_pool};

fn file(lab: &Lab) -> PathBuf {
    lab.files().join("elb.toml")
}

/// A crash, and then a start with a file that a reload refuses.
#[test]
fn a_wrong_file_takes_nothing_away() -> Result<()> {
    let mut served = Served::start()?;
    let held = served.held(40)?;
    let good = served.config.text()?;
    let mut wrong = served.config.clone();
    wrong.pool_mut("echo").members[0].weight = 101;
    let wrong = wrong.text()?;

    served.agent.reload_with(&wrong)?;
    let refused = |said: &Value| problems(said).contains("the configuration is rejected");
    let said = served.agent.wait_status("the reload to be refused", LIMIT, refused)?;
    assert!(problems(&said).contains("weight"), "{}", problems(&said));
    assert!(!problems(&said).contains("left out"), "{}", problems(&said));
    assert!(!problems(&said).contains("cannot be served"), "{}", problems(&said));

    let line = |text: &str| text.replace("[[pool]]", "[[pool").clone();
    let agentless = good.replace("interfaces", "interface");
    let (broken, weight) = (line(&good), "serves pool \"echo\"");
    for (text, words) in [
        (wrong.as_str(), weight),
        (&broken, "serves everything"),
        (&agentless, "serves everything"),
    ] {
        served.agent.kill()?;
        fs::write(file(&served.lab), text)?;
        served.agent.restart().with_context(|| words.to_owned())?;
        let said = served.agent.status()?;
        assert!(problems(&said).contains(words), "{words}: {}", problems(&said));
        assert!(problems(&said).contains("elb.toml:"), "{}", problems(&said));
        served.agent.wait_status("all to serve", LIMIT, status::all_serve)?;
        served.go_on(&held).with_context(|| words.to_owned())?;
        served.request(50)?;
    }
    served.agent.reload_with(&good)?;
    served.wait_sound()?;
    assert_eq!(held.stop()?.broken().len(), 0);
    Ok(())
}

/// A wrong pool, and next to it a new one that is right.
#[test]
fn what_is_right_in_a_wrong_file_is_new_and_the_rest_is_as_it_was() -> Result<()> {
    let mut served = Served::start()?;
    let mut changed = with_another_pool(&served.lab, served.config.clone(), "third", 8443);
    changed.pool_mut("web").members[0].weight = 101;
    changed.pool_mut("echo").members.truncate(2);
    served.agent.kill()?;
    fs::write(file(&served.lab), changed.text()?)?;
    served.agent.restart()?;
    let said = served.agent.status()?;
    let members = |name| status::slots(&said, name).len();
    assert_eq!([members("web"), members("third")], [3, 3], "{said}");
    assert!(
        problems(&said).contains("serves pool \"web\", listener \"web\" in its place"),
        "{}",
        problems(&said)
    );
    served.request(50)?;
    Ok(())
}

#[test]
fn signals_do_not_kill_an_agent_that_starts() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let mut config = Config::new(&lab);
    config.agent.socket = lab.files().join("elb.sock");
    let text = config.text()?;
    let mut agent = Process::start("an agent", elb(&lab, &["agent"], "elb.toml", &text)?)?;
    // The loader has begun `main` by then, which is what holds the signals.
    wait_for("main to begin", LIMIT, || Ok(holds_signals(agent.id())?.then_some(())))?;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(700) {
        for signal in [Signal::SIGHUP, Signal::SIGUSR1, Signal::SIGUSR2] {
            agent.signal(signal)?;
        }
        sleep(Duration::from_millis(20));
    }
    wait_for("its status", LIMIT, || status_of(&lab, &config.agent.socket))?;
    assert_eq!(agent.ended()?, None);
    agent.signal(Signal::SIGTERM)?;
    assert!(agent.wait(LIMIT)?.success());
    assert_eq!(run(&lab, &["detach"], "elb.toml", &text)?.code, Some(0));
    Ok(())
}

/// SIGHUP is blocked or caught.
fn holds_signals(pid: u32) -> Result<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let set = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key))?;
        u64::from_str_radix(line.trim(), 16).ok()
    };
    Ok([set("SigBlk:"), set("SigCgt:")].into_iter().flatten().any(|set| set & 1 == 1))
}

/// Who waits for the agent finds members that serve.
#[test]
fn an_agent_is_ready_when_its_pools_have_rings() -> Result<()> {
    let monitor = || HealthMonitor { delay: 50, ..HealthMonitor::quick(MonitorKind::Tcp) };
    let lab = Lab::builder().backends(3).start()?;
    let _servers = lab.serve()?;
    lab.backends_up(elb_tests::config::Forwarding::Ipip)?;
    let mut config = crate::served::config(&lab);
    config.pools.iter_mut().for_each(|pool| pool.healthmonitor = Some(monitor()));
    // One never answers: the wait is bounded.
    config.pool_mut("web").members[2].address = "10.0.0.99".parse()?;
    let agent = Agent::start(&lab, &config)?;
    let said = agent.status()?;
    let serving = |name: &str| status::slots(&said, name).values().filter(|n| **n > 0).count();
    assert_eq!([serving("web"), serving("echo")], [2, 3], "{said}");
    Ok(())
}

#[test]
fn root_without_its_powers_learns_who_may_read() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let text = Config::new(&lab).text()?;
    let path = lab.files().join("private.toml");
    fs::write(&path, text)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    chown(&path, Some(65_534), Some(65_534))?;
    let mut command = lab.lb().command("setpriv");
    command.args(["--bounding-set", "-dac_override,-dac_read_search"]);
    command.args(["--inh-caps", "-all", "--"]).arg(elb_bin()?);
    command.args(["agent", "--config"]).arg(&path);
    let refused = elb_tests::process::ended(command, LIMIT)?;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for words in [
        "belongs to uid 65534",
        "mode 0600",
        "CAP_DAC_OVERRIDE",
        "CapabilityBoundingSet",
        "chown 0",
    ] {
        assert!(refused.said.contains(words), "{words}: {}", refused.said);
    }
    Ok(())
}

#[test]
fn the_watchdog_hears_of_an_agent_that_works() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let config = Config::new(&lab);
    let wrapper = ["env", "WATCHDOG_USEC=600000"].map(str::to_owned);
    let agent = Agent::start_under(&lab, &config.text()?, &config.agent.socket, &wrapper)?;
    let heard = || agent.notices().iter().filter(|lines| **lines == ["WATCHDOG=1"]).count();
    wait_for("the watchdog", LIMIT, || Ok((heard() >= 4).then_some(())))?;
    // An agent that stands still does not speak.
    let stop = |signal| -> Result<()> {
        Ok(nix::sys::signal::kill(nix::unistd::Pid::from_raw(i32::try_from(agent.id())?), signal)?)
    };
    stop(Signal::SIGSTOP)?;
    sleep(Duration::from_millis(100));
    let before = heard();
    sleep(Duration::from_millis(900));
    assert_eq!(heard(), before);
    stop(Signal::SIGCONT)?;
    wait_for("the watchdog again", LIMIT, || Ok((heard() > before).then_some(())))
}

/// A panic of the agent's own loop ends it with an error, as its service manager needs it to start it again. Traffic
/// goes on, the next agent knows all, and says what happened.
#[test]
fn a_panic_of_the_loop_ends_the_agent_in_order() -> Result<()> {
    let mut served = Served::start()?;
    let held = served.held(20)?;
    let [first, drained] = [0, 2].map(|index| served.lab.member_addr(index, Family::V4));
    served.agent.run(&["drain", &drained.to_string()])?;
    // A drain is nothing that the next agent may forget.
    let serves = |said: &Value| {
        status::of_members(said, first).iter().all(|state| state == "ONLINE")
            && status::of_members(said, drained).iter().all(|state| state == "DRAINING")
    };
    let program = elb_bin()?;
    let wrapper = ["env".to_owned(), "ELB_LAB_PANICS=loop:1".to_owned()];
    served.agent.upgrade_under(&program.with_file_name("elb-next"), &wrapper)?;
    served.agent.wait_status("the others to serve", LIMIT, serves)?;
    served.agent.reload(&served.config.clone())?;
    assert_eq!(served.agent.end_by_itself()?.code(), Some(1));
    let log = served.agent.log();
    let words = "the agent's main loop panicked: a test lets loop panic; the agent ends, to be started again";
    assert!(log.contains(words), "{log}");
    served.go_on(&held)?;
    served.request(50)?;

    served.agent.upgrade_under(&program.with_file_name("elb-next"), &[])?;
    let said = served.agent.wait_status("the others to serve", LIMIT, serves)?;
    let words = "task main loop panicked once and was begun again: a test lets loop panic";
    assert!(problems(&said).contains(words), "{}", problems(&said));
    served.go_on(&held)?;
    served.request(50)?;
    assert_eq!(held.stop()?.broken().len(), 0);
    Ok(())
}

/// Panics end tasks, not the agent: no one loses anything, and it is said.
#[test]
fn a_panic_ends_a_task_and_not_the_agent() -> Result<()> {
    let mut served = Served::start()?;
    let held = served.held(20)?;
    let panicking = elb_bin()?.with_file_name("elb-next");
    for (task, times) in [("probe", 4), ("netlink", 1), ("answer", 1), ("metrics", 1)] {
        let wrapper = ["env".to_owned(), format!("ELB_LAB_PANICS={task}:{times}")];
        served.agent.upgrade_under(&panicking, &wrapper)?;
        let said = wait_for("the panics to be counted", LIMIT, || {
            let said = served.agent.status().ok();
            let counted = |said: &Value| {
                let all = said["agent"]["panics"].as_array().cloned().unwrap_or_default();
                all.iter().any(|one| one["task"] == task && one["count"] == times)
            };
            Ok(said.filter(counted))
        })?;
        assert!(problems(&said).contains(&format!("task {task} panicked")), "{}", problems(&said));
        let shown = served.agent.diagnose(&["web/10.0.0.11"])?;
        assert_eq!((shown.code, shown.cause()), (0, None), "it is over: {:#}", shown.said);
        assert!(
            shown.said.to_string().contains(&format!("task {task} panicked")),
            "{}",
            shown.said
        );
        for index in 0..3 {
            let address = served.lab.member_addr(index, Family::V4);
            assert!(!status::of_members(&said, address).contains(&"OFFLINE".to_owned()), "{said}");
        }
        served.agent.wait_status("all to serve", LIMIT, status::all_serve)?;
        served.go_on(&held).with_context(|| task.to_owned())?;
        served.request(50)?;
    }
    assert_eq!(held.stop()?.broken().len(), 0);
    Ok(())
}
