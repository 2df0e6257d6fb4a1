//! An operator gets out: forwarding ends without a valid file, and a member that was idle is drained at once.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::Result;
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{HeldConnections, Load, http_requests},
    config::{Config, Forwarding, Pool, Protocol},
    lab::Lab,
    server::Server,
    status,
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT},
};

const LIMIT: Duration = Duration::from_secs(20);
/// Seconds for which a connection may be silent: the least there is.
const IDLE: u32 = 10;

/// Two backends behind HTTP and echoes, and an agent.
fn scene() -> Result<(Agent, Config, Vec<Server>, Lab)> {
    let lab = Lab::builder().backends(2).start()?;
    let servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    let pools = [("web", HTTP_PORT), ("echo", ECHO_PORT)];
    let config = pools.into_iter().fold(Config::new(&lab), |config, (name, port)| {
        let pool = Pool::of(&lab, name, Family::V4, Protocol::Tcp, port);
        config.balance(&lab, Family::V4, port, pool)
    });
    let config = config.idle_after(IDLE);
    let agent = Agent::start(&lab, &config)?;
    agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
    Ok((agent, config, servers, lab))
}

fn carries_a_program(lab: &Lab) -> Result<bool> {
    Ok(lab.lb().ip("link show dev lb0")?.contains("prog/xdp"))
}

/// A file that is no TOML, one without [agent] interfaces, and none at all.
#[test]
fn forwarding_ends_whatever_the_file_says() -> Result<()> {
    let (mut agent, config, servers, lab) = scene()?;
    let (file, pins) =
        (agent.file().display().to_string(), config.agent.pin_dir.display().to_string());
    let right = config.text()?;
    let web = lab.service(Family::V4, HTTP_PORT);
    for broken in [Some("[agent\n"), Some("[agent]\ninterfaces = []\n"), None] {
        assert!(agent.terminate()?.success());
        match broken {
            Some(text) => fs::write(&file, text)?,
            None => fs::remove_file(&file)?,
        }
        assert_eq!(http_requests(lab.client(), Load::on(web), 20)?.answered(), 20);
        let refused = agent.end(&["detach", "--config", &file], LIMIT)?;
        assert_eq!(refused.code, Some(1), "{refused:?}");
        assert!(refused.said.contains("name their folder with --pin-dir"), "{refused:?}");
        assert!(carries_a_program(&lab)?);
        let done = agent.end(&["detach", "--config", &file, "--pin-dir", &pins], LIMIT)?;
        assert_eq!(done.code, Some(0), "{done:?}");
        assert!(done.printed.contains("forwarding has stopped"), "{done:?}");
        assert!(done.said.contains(&format!("{file} is not used")), "{done:?}");
        assert!(!carries_a_program(&lab)? && !config.agent.pin_dir.exists());
        fs::write(&file, &right)?;
        agent.restart()?;
        agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
        assert_eq!(http_requests(lab.client(), Load::on(web), 20)?.answered(), 20);
    }
    let second = agent.end(&["detach", "--config", &file, "--pin-dir", &pins], LIMIT)?;
    assert_eq!(second.code, Some(1), "an agent runs: {second:?}");
    drop((agent, servers, lab));
    Ok(())
}

/// A member that got no packet for the idle timeout is drained at once; one with a connection that speaks
/// is not drained before its time, and says so; who knows better says --idle.
#[test]
fn a_member_that_was_idle_is_drained_at_once() -> Result<()> {
    let (agent, _config, servers, lab) = scene()?;
    let echo = lab.service(Family::V4, ECHO_PORT);
    let held = HeldConnections::open(lab.client(), echo, 20, Duration::from_secs(1))?;
    assert!(held.so_far().on("backend-0").len() > 1);
    let member = lab.member_addr(0, Family::V4).to_string();
    // No one asked for HTTP since the start.
    let begun = Instant::now();
    std::thread::sleep(Duration::from_secs(u64::from(IDLE) + 1));
    let drain = |pool: &str, more: &[&str]| {
        agent.end(&[&["drain", &member, "--pool", pool, "--wait"], more].concat(), LIMIT)
    };
    let asked = Instant::now();
    let idle = drain("web", &[])?;
    assert_eq!(idle.code, Some(0), "{idle:?}");
    assert!(idle.printed.ends_with("DRAINING, nothing is left\n"), "{idle:?}");
    assert!(asked.elapsed() < Duration::from_secs(u64::from(IDLE) / 2), "{:?}", asked.elapsed());
    assert!(begun.elapsed() >= Duration::from_secs(u64::from(IDLE)));

    let busy = drain("echo", &["--timeout", "2s"])?;
    assert_eq!(busy.code, Some(1), "{busy:?}");
    assert!(busy.printed.contains("was owner of"), "{busy:?}");
    let vain = drain("echo", &["--timeout", "2s", "--idle", "5s"])?;
    assert_eq!(vain.code, Some(1), "a connection speaks: {vain:?}");
    let before = held.so_far();
    wait_for("connections to go on", LIMIT, || {
        Ok(held.so_far().is_beyond(&before, 2).then_some(()))
    })?;
    assert_eq!(held.stop()?.broken().len(), 0);
    let silent = drain("echo", &["--idle", "1s"])?;
    assert_eq!(silent.code, Some(0), "{silent:?}");
    drop((agent, servers, lab));
    Ok(())
}
