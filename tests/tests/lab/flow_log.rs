//! The flow log next to real connections: what opens, ends and is refused is in it, with the right member,
//! and the interfaces carry the program that writes it only while it is on. What is not in it is counted.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread::sleep,
    time::Duration,
};

use anyhow::{Context as _, Result};
use elb_common::names;
use elb_tests::{
    client::{Load, http_requests},
    config::Forwarding,
    disk::Disk,
    generated::Segment,
    printed,
    wait::{STUCK, wait_for},
    wire::HTTP_PORT,
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    scene::{LIMIT, Scene, WEB},
    tracing,
};

impl Scene {
    /// Turns the log on with these keys, or off without any; how the interfaces carry it.
    fn log_flows(&mut self, keys: Option<&str>) -> Result<()> {
        let table = keys.map(|keys| format!("[flow_log]\n{keys}\n")).unwrap_or_default();
        self.agent.write(&format!("{}\n{table}", self.config.text()?))?;
        self.agent.run(&["reload"])?;
        let wanted = if keys.is_some() { names::LOGGED_PROGRAM } else { names::PROGRAM };
        assert_eq!(tracing::program(self)?, wanted);
        let said = &self.agent.status()?["agent"]["flow_log"];
        assert_eq!(said.is_null(), keys.is_none(), "{said}");
        Ok(())
    }

    fn flow_file(&self, name: &str) -> PathBuf {
        self.lab.files().join(name)
    }
}

fn lines(file: &Path) -> Result<Vec<Value>> {
    // The last line may be on its way.
    let text = fs::read_to_string(file).unwrap_or_default();
    let text = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    printed::lines(&["flow-log"], text)
}

fn with<'l>(lines: &'l [Value], event: &'l str) -> impl Iterator<Item = &'l Value> {
    lines.iter().filter(move |line| line["event"] == event)
}

/// The lines of a file once so many of them are about this.
fn wait_lines(file: &Path, event: &str, count: usize) -> Result<Vec<Value>> {
    wait_for(&format!("{count} lines about {event}"), LIMIT, || {
        let lines = lines(file)?;
        Ok((with(&lines, event).count() >= count).then_some(lines))
    })
}

/// How many of these there are by the member's address.
fn by_member<'l>(lines: impl Iterator<Item = &'l Value>) -> BTreeMap<String, usize> {
    let mut members = BTreeMap::new();
    for line in lines {
        let address = line["member"]["address"].as_str().unwrap_or("none").to_owned();
        *members.entry(address).or_default() += 1;
    }
    members
}

/// So many requests, each a connection; how many each member answered, by its address.
fn answered(scene: &Scene, requests: usize) -> Result<BTreeMap<String, usize>> {
    let answers = scene.request(requests)?.answers_by_backend();
    let address = |name: &str| {
        let index = (0..2).find(|index| scene.lab.backend_name(*index) == name);
        index.map(|index| scene.member(index).to_string()).context("no such backend")
    };
    answers.iter().map(|(name, count)| Ok((address(name)?, *count))).collect()
}

#[test]
fn opens_ends_and_refusals_are_in_the_log() -> Result<()> {
    let mut scene = Scene::start(2, Forwarding::Ipip, |pool| pool)?;
    assert_eq!(tracing::program(&scene)?, names::PROGRAM);
    let file = scene.flow_file("flows.jsonl");
    scene.log_flows(Some(&format!("file = {file:?}")))?;
    let answers = answered(&scene, 40)?;
    let closed = Load::on(std::net::SocketAddr::new(scene.lab.vip4(), 4444));
    http_requests(scene.lab.client(), Load { timeout: LIMIT / 40, ..closed }, 3)?;
    wait_lines(&file, "refused", 3)?;
    let lines = wait_lines(&file, "end", 40)?;
    assert_eq!(fs::metadata(&file)?.permissions().mode() & 0o777, 0o640);

    assert_eq!(by_member(with(&lines, "open")), answers);
    assert_eq!(by_member(with(&lines, "end")).len(), 2);
    for line in with(&lines, "open") {
        assert_eq!(
            (&line["listener"], &line["fate"]),
            (&WEB.into(), &"forwarded".into()),
            "{line}"
        );
        assert_eq!((&line["interface"], &line["protocol"]), (&"lb0".into(), &"tcp".into()));
        assert_eq!((&line["reason"], &line["ended"]), (&Value::Null, &Value::Null), "{line}");
        let ids = [&line["listener_id"], &line["member"]["id"], &line["member"]["pool_id"]];
        assert!(ids.iter().all(|id| id.is_string()), "{line}");
        assert_eq!(line["destination"], scene.web().to_string());
    }
    for line in with(&lines, "refused") {
        assert_eq!(line["reason"], "closed_port_answered", "{line}");
        assert!(line["listener"].is_null() && line["member"].is_null(), "{line}");
        assert!(line["destination"].as_str().is_some_and(|to| to.ends_with(":4444")), "{line}");
    }
    let said = scene.agent.run(&["status"])?;
    assert!(said.contains("flow log to ") && said.contains(" · missed 0 by rate"), "{said}");
    let metrics = scene.agent.run(&["metrics"])?;
    assert!(metrics.contains("elb_flow_log_enabled 1"), "{metrics}");

    // Off again: the plain program is back, and nothing is written.
    scene.log_flows(None)?;
    scene.request(10)?;
    sleep(Duration::from_millis(300));
    let wrote = self::lines(&file)?;
    assert_eq!(with(&wrote, "open").count(), 40);
    Ok(())
}

#[test]
fn connections_are_joined_and_a_trace_interrupts_nothing() -> Result<()> {
    let mut scene = Scene::start(2, Forwarding::L2, |pool| pool)?;
    let file = scene.flow_file("connections.jsonl");
    scene.log_flows(Some(&format!("file = {file:?}\nform = \"connections\"")))?;
    let answers = answered(&scene, 30)?;
    let lines = wait_lines(&file, "connection", 30)?;
    assert_eq!(by_member(with(&lines, "connection")), answers);
    for line in &lines {
        assert!(
            line["bytes_in"].as_u64().is_some_and(|bytes| (20..2000).contains(&bytes)),
            "{line}"
        );
        assert!(line["duration"].as_f64().is_some_and(|time| time > 0.0), "{line}");
        assert!(["fin", "rst"].map(Value::from).contains(&line["ended"]), "{line}");
        assert!(line["start"].as_str() < line["end"].as_str(), "{line}");
    }
    let mut trace = tracing::start(&scene, &["trace", "-o", "json"])?;
    assert_eq!(tracing::program(&scene)?, names::TRACED_PROGRAM);
    answered(&scene, 10)?;
    wait_lines(&file, "connection", 40)?;
    trace.signal(Signal::SIGINT)?;
    assert!(!trace.finish(LIMIT)?.is_empty());
    wait_for("the program that logs to be back", LIMIT, || {
        Ok((tracing::program(&scene)? == names::LOGGED_PROGRAM).then_some(()))
    })?;
    answered(&scene, 10)?;
    wait_lines(&file, "connection", 50)?;

    // The next agent goes on; one that ends leaves the plain program.
    scene.agent.kill()?;
    assert_eq!(tracing::program(&scene)?, names::LOGGED_PROGRAM);
    scene.agent.restart()?;
    assert_eq!(tracing::program(&scene)?, names::LOGGED_PROGRAM);
    answered(&scene, 10)?;
    wait_lines(&file, "connection", 60)?;
    let status = scene.agent.terminate()?;
    assert!(status.success(), "{status}");
    assert_eq!(tracing::program(&scene)?, names::PROGRAM);
    Ok(())
}

/// 100,000 events a second, with the usual budget and with one for all of them: what packets met is written
/// or counted, to the last one. `ELB_FLOW_LOG_SECONDS` is how long each lasts.
#[test]
fn every_event_is_written_or_counted() -> Result<()> {
    let seconds = std::env::var("ELB_FLOW_LOG_SECONDS").ok();
    let seconds = seconds.map_or(Ok(1), |seconds| seconds.parse())?;
    let mut scene = Scene::start(2, Forwarding::Ipip, |pool| pool)?;
    for (name, budget) in [("usual", 10_000_u32), ("all", 1_000_000)] {
        let folder = scene.flow_file(name);
        let file = folder.join("flows.jsonl");
        let more = format!("events_per_second = {budget}\nmax_size = 1\nkeep = 1000");
        let before = noted(&scene)?;
        scene.log_flows(Some(&format!("file = {file:?}\n{more}")))?;
        let stream = scene.stream(1, HTTP_PORT, &[Segment::Syn, Segment::Fin], Some(50_000))?;
        sleep(Duration::from_secs(seconds));
        let rate = stream.rate() * 2.0;
        let sent = u64::from(stream.stop()?) * 2;
        scene.log_flows(None)?;
        let (events, missed) = wait_for("the last line", STUCK, || {
            // While a file gets another name, its lines are there twice.
            let first = written(&folder)?;
            sleep(Duration::from_millis(200));
            let (events, missed) = written(&folder)?;
            let is_all = events + missed.iter().sum::<u64>() >= sent;
            Ok((is_all && first == (events, missed)).then_some((events, missed)))
        })?;
        println!("{name}: {rate:.0} events/s, {sent} sent, {events} written, missed {missed:?}");
        assert_eq!(events + missed.iter().sum::<u64>(), sent, "{name}: {missed:?}");
        assert_eq!(noted(&scene)? - before, sent, "{name}");
        let is_within = |path: &PathBuf| fs::metadata(path).is_ok_and(|file| file.len() <= 1 << 20);
        assert!(files(&folder)?.iter().all(is_within), "{name}: a file is too large");
        assert!(events > 0 && (budget > 10_000 || missed[0] > 0), "{name}: {missed:?}");
    }
    Ok(())
}

#[test]
fn files_give_way_and_a_full_disk_holds_nothing_up() -> Result<()> {
    let mut scene = Scene::start(1, Forwarding::Ipip, |pool| pool)?;
    let disk = Disk::mount(&scene.flow_file("disk"), 8 << 10)?;
    let file = scene.flow_file("disk").join("flows.jsonl");
    let keys = format!("file = {file:?}\nmax_size = 1\nkeep = 2\nevents_per_second = 1000000");
    scene.log_flows(Some(&keys))?;
    let folder = file.parent().context("a folder")?.to_owned();
    let turn = 0..8_000;
    scene.play(HTTP_PORT, &[Segment::Syn], turn.clone())?;
    wait_for("two earlier files", LIMIT, || {
        Ok(folder.join("flows.jsonl.2").exists().then_some(()))
    })?;
    scene.play(HTTP_PORT, &[Segment::Fin], turn)?;
    wait_flow_log(&scene, "all lines", |log| log["written"].as_u64() >= Some(16_000))?;
    assert_eq!(files(&folder)?.len(), 3, "one that is written, and two that are kept");

    disk.fill()?;
    scene.play(HTTP_PORT, &[Segment::Syn], 10_000..12_000)?;
    let log = wait_flow_log(&scene, "lost lines", |log| log["missed"]["sink"].as_u64() > Some(0))?;
    assert!(log["last_failure"].as_str().is_some_and(|why| why.contains("No space")), "{log}");
    let problems = scene.agent.status()?["agent"]["problems"].to_string();
    assert!(problems.contains("the flow log cannot be written to "), "{problems}");
    scene.request(20)?;

    disk.free()?;
    scene.request(20)?;
    wait_flow_log(&scene, "lines again", |log| log["last_failure"].is_null())?;
    let all = files(&folder)?.iter().map(|file| lines(file)).collect::<Result<Vec<_>>>()?;
    let is_missed = |line: &&Value| line["missed"]["sink"].as_u64() > Some(0);
    wait_for("a line about what is lost", LIMIT, || {
        Ok(lines(&file)?.iter().any(|line| is_missed(&line)).then_some(()))
    })?;
    assert!(all.concat().len() > 2_000, "no half of a line is left");
    scene.log_flows(None)
}

fn wait_flow_log(scene: &Scene, what: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
    wait_for(what, LIMIT, || {
        let log = scene.agent.status()?["agent"]["flow_log"].clone();
        Ok(Some(log).filter(&wanted))
    })
}

/// Opens, ends and refusals that packets met so far.
fn noted(scene: &Scene) -> Result<u64> {
    let metrics = scene.agent.run(&["metrics"])?;
    let all = metrics.lines().filter(|line| line.starts_with("elb_flow_log_events_total{"));
    let count = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
    let all: Vec<_> = all.filter_map(count).collect();
    assert_eq!(all.len(), 3, "{metrics}");
    #[expect(clippy::cast_sign_loss, clippy::cast_possible_truncation, reason = "a count")]
    Ok(all.iter().sum::<f64>() as u64)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let all = fs::read_dir(folder)?.map(|file| Ok(file?.path())).collect::<Result<Vec<_>>>()?;
    let is_log = |path: &PathBuf| path.to_string_lossy().contains("flows.jsonl");
    Ok(all.into_iter().filter(is_log).collect())
}

/// Lines about events in all files of a folder, and what is said to be missing.
fn written(folder: &Path) -> Result<(u64, [u64; 3])> {
    let (mut events, mut missed) = (0, [0; 3]);
    for file in files(folder)? {
        for line in lines(&file)? {
            match line.get("missed") {
                Some(lost) => {
                    for (sum, cause) in missed.iter_mut().zip(["rate", "ring", "sink"]) {
                        *sum += lost[cause].as_u64().context("a count")?;
                    }
                }
                None => events += 1,
            }
        }
    }
    Ok((events, missed))
}
