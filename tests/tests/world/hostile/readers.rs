//! Clients that ask the agent, however much there is to say, and however slowly it is read.

use std::{
    io::{Read as _, Write as _},
    net::IpAddr,
    os::unix::net::UnixStream,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use elb_tests::{
    address::Family,
    agent::Agent,
    config::{Config, Forwarding, HealthMonitor, Listener, Member, MonitorKind, Pool, Protocol},
    lab::Lab,
    resident::memory_of,
    wait::wait_for,
    wire::HTTP_PORT,
};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::Value;

use super::LIMIT;

/// How many listeners and members, and whether these are probed; more by the environment
/// (`ELB_TEST_LISTENERS`, `ELB_TEST_MEMBERS`, `ELB_TEST_MONITORS`).
fn size(variable: &str, usual: u32) -> u32 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// How long any answer may take while the agent reports to others.
const SILENCE: Duration = Duration::from_millis(500);

/// Asks for a resource as programs do that have no `elb`.
fn get(socket: &Path, resource: &str) -> Result<Vec<u8>> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(
        format!("GET {resource} HTTP/1.1\r\nHost: elb\r\nConnection: close\r\n\r\n").as_bytes(),
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// The longest time that a small question waited until `ended`.
fn longest_wait(socket: &Path, ended: &AtomicBool) -> Result<Duration> {
    let mut longest = Duration::ZERO;
    while !ended.load(Ordering::Relaxed) {
        let asked = Instant::now();
        ensure!(get(socket, "/drops")?.starts_with(b"HTTP/1.1 200"), "no answer");
        longest = longest.max(asked.elapsed());
        thread::sleep(Duration::from_millis(5));
    }
    Ok(longest)
}

/// One pool of many members, none of whom is there, behind many listeners.
fn large(lab: &Lab, listeners: u32, members: u32) -> Config {
    let monitor = HealthMonitor::quick(MonitorKind::Tcp).port(HTTP_PORT).direct();
    let pool = Pool::of(lab, "many", Family::V4, Protocol::Tcp, 0).any_port();
    let delay = (members / 1000).clamp(5, 50);
    let watched = HealthMonitor { delay, timeout: 3, ..monitor };
    let mut pool = if size("ELB_TEST_MONITORS", 1) == 0 { pool } else { pool.watched(watched) };
    pool.members = (0..members)
        .map(|n| {
            let [.., high, low] = n.to_be_bytes();
            let address = IpAddr::from([10, 77, high, low]);
            Member { address, protocol_port: 0, weight: 1, backup: false, max_connection: 0 }
        })
        .collect();
    let mut config = Config::new(lab).balance(lab, Family::V4, HTTP_PORT, pool);
    config.agent.max_listeners = Some(listeners.max(15) + 1);
    config.agent.max_backends = Some(members + 8);
    let first = config.load_balancers[0].listeners[0].clone();
    let more = (1..listeners).map(|n| Listener {
        name: format!("listener-{n}"),
        protocol_port: u16::try_from(n).unwrap_or(1) + 1000,
        ..first.clone()
    });
    config.load_balancers[0].listeners.extend(more);
    config
}

#[test]
fn a_large_status_is_linear_and_nothing_waits_for_it() -> Result<()> {
    let (listeners, members) = (size("ELB_TEST_LISTENERS", 1000), size("ELB_TEST_MEMBERS", 500));
    let lab = Lab::builder().backends(1).start()?;
    let config = large(&lab, listeners, members);
    let agent = Agent::start(&lab, &config)?;
    let socket = &config.agent.socket;
    let ended = AtomicBool::new(false);
    let (bytes, took, longest) = thread::scope(|scope| -> Result<_> {
        let waiting = scope.spawn(|| longest_wait(socket, &ended));
        let asked = Instant::now();
        let bytes = get(socket, "/status").map(|answer| answer.len());
        let took = asked.elapsed();
        // One who does not read, while others do.
        let mut idle = UnixStream::connect(socket)?;
        idle.write_all(b"GET /status HTTP/1.1\r\nHost: elb\r\n\r\n")?;
        for _ in 0..3 {
            get(socket, "/status")?;
        }
        ended.store(true, Ordering::Relaxed);
        Ok((bytes?, took, waiting.join().expect("it does not panic")?))
    })?;
    println!(
        "{listeners} listeners, {members} members: {bytes} bytes in {took:?}; the longest wait: {longest:?}; \
         the agent takes {} MiB",
        memory_of(agent.id(), "VmRSS")? >> 20
    );
    let most = 2500 * usize::try_from(members)? + 600 * usize::try_from(listeners)? + 20_000;
    assert!(bytes < most, "{bytes} bytes, {most} expected at most");
    // On a slow machine everything is slow, but no question waits for a whole status.
    assert!(longest < SILENCE.max(took / 2), "a question waited for {longest:?}, of {took:?}");

    let asked = Instant::now();
    let said = agent.status()?;
    println!(
        "elb status -o json: {:?}; no command took more than {} MiB",
        asked.elapsed(),
        getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss() / 1024
    );
    assert_eq!(said["pools"][0]["members"].as_array().map(Vec::len), usize::try_from(members).ok());
    let (one, listed) = (&said["pools"][0]["members"][3], listeners.min(16));
    assert_eq!(one["status"].as_array().map(Vec::len), usize::try_from(listed).ok(), "{one}");
    assert_eq!(one["more_listeners"].as_u64().unwrap_or(0), u64::from(listeners - listed), "{one}");
    let all = said["load_balancers"][0]["listeners"].as_array().map(Vec::len);
    assert_eq!(all, usize::try_from(listeners).ok());
    Ok(())
}

#[test]
fn only_what_is_asked_for_is_shown() -> Result<()> {
    let lab = Lab::builder().backends(2).start()?;
    lab.backends_up(Forwarding::Ipip)?;
    let mut servers = lab.serve()?;
    let pool = |name: &str, port| Pool::of(&lab, name, Family::V4, Protocol::Tcp, port);
    let web = pool("web", HTTP_PORT).watched(HealthMonitor::quick(MonitorKind::Http));
    let config = Config::new(&lab).balance(&lab, Family::V4, HTTP_PORT, web).balance(
        &lab,
        Family::V4,
        7,
        pool("echo", 7),
    );
    let agent = Agent::start(&lab, &config)?;
    let members = [0, 1].map(|index| lab.member_addr(index, Family::V4));
    let healthy = |said: &Value| {
        said["pools"][0]["members"]
            .as_array()
            .into_iter()
            .flatten()
            .all(|m| m["operating_status"] == "ONLINE")
    };
    agent.wait_status("both to be ONLINE", LIMIT, healthy)?;
    let good = agent.end(&["status", "--problems"], LIMIT)?;
    assert_eq!(good.code, Some(0), "{good:?}");
    let named = |names: &[&str]| -> Result<Value> { agent.ask(&[&["status"], names].concat()) };
    let pools = |said: &Value| said["pools"].as_array().map_or(0, Vec::len);
    assert_eq!(pools(&named(&["web"])?), 1);
    assert_eq!(pools(&named(&["web", "echo"])?), 2);
    let one = named(&[&format!("{}:{HTTP_PORT}", members[0])])?;
    assert_eq!(one[0]["pool"], "web", "{one}");
    assert_eq!(agent.end(&["status", "nothing"], LIMIT)?.code, Some(1));

    servers[1].kill()?;
    let is_wrong = wait_for("the problem", LIMIT, || {
        let ended = agent.end(&["status", "--problems"], LIMIT)?;
        Ok((ended.code == Some(1)).then_some(ended.printed))
    })?;
    assert!(is_wrong.contains(&members[1].to_string()), "{is_wrong}");
    assert!(!is_wrong.contains(&format!("{}:", members[0])), "{is_wrong}");
    assert!(!is_wrong.contains("echo"), "{is_wrong}");
    servers[1].restart()?;
    let good = |ended: elb_tests::process::Ended| (ended.code == Some(0)).then_some(());
    wait_for("no problem", LIMIT, || Ok(good(agent.end(&["status", "--problems"], LIMIT)?)))?;
    drop(agent);
    Ok(())
}

#[test]
fn connections_that_ask_nothing_are_few_and_end() -> Result<()> {
    let lab = Lab::builder().backends(1).start()?;
    let pool = Pool::of(&lab, "web", Family::V4, Protocol::Tcp, HTTP_PORT);
    let config = Config::new(&lab).balance(&lab, Family::V4, HTTP_PORT, pool);
    let agent = Agent::start(&lab, &config)?;
    let socket = &config.agent.socket;
    let mut idle = (0..200).map(|_| UnixStream::connect(socket)).collect::<Result<Vec<_>, _>>()?;
    let refused = wait_for("a refusal", LIMIT, || {
        let answer =
            String::from_utf8_lossy(&get(socket, "/drops").unwrap_or_default()).into_owned();
        Ok(answer.starts_with("HTTP/1.1 503").then_some(answer))
    })?;
    assert!(refused.contains("connections to the agent are open; ask again"), "{refused}");
    // A head without an end is no question either.
    let huge = [&b"GET /status HTTP/1.1\r\nX: "[..], &[b'x'; 100_000]].concat();
    let _ = idle[0].write_all(&huge);
    // They are cut by the time that a head may take, and others are heard again.
    wait_for("an answer", LIMIT, || {
        Ok(get(socket, "/drops")
            .is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
            .then_some(()))
    })?;
    let said = agent.status()?;
    assert_eq!(said["agent"]["problems"].as_array().map(Vec::len), Some(0), "{said}");
    Ok(())
}
