//! `elb top`: the rates of a known load, and a terminal with keys that is as before in the end.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Result;
use elb_tests::{
    config::{Forwarding, MonitorKind},
    cpu::Cpu,
    printed,
    terminal::Terminal,
    wait::{STUCK, wait_for},
    wire::HTTP_PORT,
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    load::OPENING,
    scene::{LIMIT, Scene, WEB},
};

/// Generated connections a second.
const RATE: u32 = 1_000;
/// Packets of each.
const PACKETS: f64 = 2.0;
/// How far off a rate may be.
const TOLERANCE: f64 = 0.2;

const BATCH: [&str; 8] = ["top", "-b", "-n", "3", "-d", "2s", "-o", "json"];

#[test]
fn batches_have_the_rates_of_the_load() -> Result<()> {
    let scene = Scene::start(2, Forwarding::Ipip, |pool| pool)?;
    let stream = scene.stream(0, HTTP_PORT, &OPENING, Some(RATE))?;
    wait_for("connections", LIMIT, || Ok((stream.played() > RATE).then_some(())))?;
    let (played, began) = (stream.played(), Instant::now());
    let blocks = printed::lines(&BATCH, &scene.agent.run(&BATCH)?)?;
    // As many as came: on a busy machine, fewer than were wanted.
    let came = PACKETS * f64::from(stream.played() - played) / began.elapsed().as_secs_f64();
    assert_eq!(blocks.len(), 3);
    let of = |block: &Value, list: &str, field: &str| -> f64 {
        let all = block[list].as_array().into_iter().flatten();
        let own = all.filter(|one| one["default_pool"] == WEB || one["pool"] == WEB);
        own.filter_map(|one| one[field].as_f64()).sum()
    };
    let mean = |rate: &dyn Fn(&Value) -> f64| {
        let seconds = |block: &Value| block["seconds"].as_f64().unwrap_or_default();
        let all: f64 = blocks.iter().map(seconds).sum();
        blocks.iter().map(|block| rate(block) * seconds(block)).sum::<f64>() / all
    };
    let total = |block: &Value| block["total"]["packets_per_second"].as_f64().unwrap_or_default();
    let rates = [
        ("total", mean(&total)),
        ("listener", mean(&|block| of(block, "listeners", "packets_per_second"))),
        ("members", mean(&|block| of(block, "members", "packets_per_second"))),
    ];
    let shares = mean(&|block| of(block, "members", "share"));
    println!("{rates:.0?} packets a second of {came:.0}; shares add up to {shares}");
    for (name, rate) in rates {
        assert!((rate - came).abs() <= came * TOLERANCE, "{name}: {rate} of {came}");
    }
    let [listener, members] = [rates[1].1, rates[2].1];
    assert!((listener - members).abs() <= listener * 0.05, "{listener} at the listener, {members}");
    assert!((shares - 1.0).abs() < 0.001, "{shares}");
    assert_eq!(
        (&blocks[2]["total"]["members_up"], &blocks[2]["total"]["members"]),
        (&4.into(), &4.into())
    );

    let text = scene.agent.run(&["top", "-b", "-n", "1", "--view", "members"])?;
    let member = scene.member(0).to_string();
    assert!(text.contains("packets/s") && text.contains(&member), "{text}");
    assert!(!text.contains('\x1b') && !text.contains("\nlisteners\n"), "{text}");
    let ended = scene.agent.end(&["top"], LIMIT)?;
    assert_eq!((ended.code, &*ended.printed), (Some(1), ""));
    assert!(ended.said.contains("use batch mode: `elb top -b -n 1`"), "{}", ended.said);
    stream.stop().map(drop)
}

fn has(shown: &[String], words: &str) -> bool {
    shown.iter().any(|line| line.contains(words))
}

/// Presses a key, and waits for what it brings.
fn press(top: &mut Terminal, keys: &str, brings: &str) -> Result<()> {
    top.press(keys)?;
    let what = format!("{brings:?} after {keys:?}");
    top.wait_shown(&what, LIMIT, |shown| has(shown, brings)).map(drop)
}

#[test]
fn keys_change_what_a_terminal_shows_and_it_is_given_back() -> Result<()> {
    let shape = |pool: elb_tests::config::Pool| pool.monitored_by(MonitorKind::Tcp);
    let mut scene = Scene::start(2, Forwarding::Ipip, shape)?;
    let stream = scene.stream(0, HTTP_PORT, &OPENING, Some(RATE))?;
    let mut top = scene.agent.start_in_terminal(&["top", "-d", "1s"], (120, 30))?;
    top.wait_shown("listeners and rates", LIMIT, |shown| {
        has(shown, "LISTENER") && has(shown, "k packets/s") && has(shown, WEB)
    })?;
    press(&mut top, "2", "ALGORITHM")?;
    press(&mut top, "\t", "WEIGHT")?;
    press(&mut top, "\x1b[C", "STATE↓")?;
    press(&mut top, "r", "STATE↑")?;
    press(&mut top, "4", "WHAT TO DO")?;
    top.press("5")?;
    // On a busy machine a probe may have failed.
    top.wait_shown("events", LIMIT, |shown| {
        has(shown, "no member turned unhealthy") || has(shown, "LASTED")
    })?;
    press(&mut top, "3", "WEIGHT")?;
    let member = scene.member(1).to_string();
    press(&mut top, &format!("/{member}\r"), "2 of 4 with")?;
    press(&mut top, "\r", "probes succeeded")?;
    let cpu = cpu_of_a_while(&top)?;
    println!("{:.2} % of a core, in this build", cpu * 100.0);
    press(&mut top, "\x1b", "WEIGHT")?;
    press(&mut top, "p", "PAUSED")?;
    press(&mut top, "p+", "every 2s")?;
    press(&mut top, "-", "every 1s")?;

    let trace = scene.agent.start_command(&["trace", "--vip", &scene.lab.vip4().to_string()])?;
    top.wait_shown("tracing to be on", LIMIT, |shown| has(shown, "tracing on"))?;
    drop(trace);
    scene.agent.kill()?;
    top.wait_shown("the agent to be gone", LIMIT, |shown| has(shown, "no answer since"))?;
    scene.agent.restart()?;
    top.wait_shown("the next agent", LIMIT, |shown| {
        has(shown, "another agent answers") && !has(shown, "no answer since")
    })?;
    top.press("q")?;
    assert!(top.wait_given_back(STUCK)?.success());

    let mut top = scene.agent.start_in_terminal(&["top", "--view", "members"], (40, 5))?;
    top.wait_shown("members in a small terminal", LIMIT, |shown| has(shown, "PKT/S"))?;
    top.signal(Signal::SIGTERM)?;
    assert!(top.wait_given_back(STUCK)?.success());
    stream.stop().map(drop)
}

/// Of a core.
fn cpu_of_a_while(top: &Terminal) -> Result<f64> {
    let cpu = Cpu::of(top.id())?;
    sleep(Duration::from_secs(4));
    cpu.used()
}
