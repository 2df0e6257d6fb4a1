//! A routing daemon changes routes by the ten thousand while a thousand members are followed.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    config::{Config, Forwarding, HealthMonitor, MonitorKind},
    cpu::Cpu,
    lab::Lab,
    netns::NetNs,
    wait::{STUCK, wait_for},
    wire::{ECHO_PORT, HTTP_PORT},
};
use serde_json::Value;

use super::{answers_by, pool_of, problems, start, web};

const MEMBERS: u32 = 1_000;
/// Changes of routes in a tenth of a second.
const BATCH: u32 = 1_000;
/// Tenths of a second; `ELB_STORM` lets it take as long as someone wants to wait: 100 for the whole.
const SHORT: u32 = 30;
/// Of a core, while it storms, in the build without optimisation that labs use.
const MOST_CPU: f64 = 0.3;
/// The same when it is over: a thousand members are probed all the time.
const IDLE_CPU: f64 = 0.15;

#[test]
fn a_storm_of_routes_delays_nothing() -> Result<()> {
    let lab = Lab::builder().start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::Ipip)?;
    for backend in lab.backends() {
        backend.ip("route add local 10.9.0.0/16 dev lo")?;
    }
    let gateway = |index| lab.member_addr(index, Family::V4);
    lab.lb().ip(&format!("route add 10.9.0.0/16 via {}", gateway(0)))?;
    let agent = start(&lab, &config(&lab))?;
    assert!(answers_by(&lab, HTTP_PORT, &lab.backend_name(0))?);

    let tenths = std::env::var("ELB_STORM").map_or(Ok(SHORT), |text| text.parse())?;
    let moves = format!("route add {}/32 via {}", member(0), gateway(1));
    let said = agent.status()?;
    // By itself on the machine; next to other labs, no more than that probes go on can be said.
    let bar = if tenths == SHORT { 5_000 } else { 500 };
    let before = (lateness(&said, bar), lateness(&said, 0));
    let cpu = Cpu::of(agent.id())?;
    let change = || lab.lb().ip(&moves).map(drop);
    let is_followed = || answers_by(&lab, HTTP_PORT, &lab.backend_name(1));
    let followed = storm(lab.lb(), tenths, gateway(0), change, is_followed)?;
    let used = cpu.used()?;
    println!("CPU {used:.3} of a core; a change was followed after {followed:?}");
    assert!(followed < Duration::from_secs(3), "the change was followed after {followed:?}");
    assert!(used <= MOST_CPU, "{used:.3} of a core");

    wait_for("the agent to be idle", Duration::from_secs(15), || {
        let cpu = Cpu::of(agent.id())?;
        thread::sleep(Duration::from_secs(1));
        let used = cpu.used()?;
        println!("afterwards {used:.3} of a core");
        Ok((used < IDLE_CPU).then_some(()))
    })?;
    let said = agent.status()?;
    let (late, all) = (lateness(&said, bar) - before.0, lateness(&said, 0) - before.1);
    assert!(all > 0 && late * 100 <= all, "{late} of {all} probes began {bar} ms late");
    assert_eq!(problems(&agent)?, "[]");
    assert!(
        said["pools"][1]["members"]
            .as_array()
            .context("members")?
            .iter()
            .all(|member| { member["operating_status"] == "ONLINE" })
    );
    Ok(())
}

/// Probes that began later than so many milliseconds.
fn lateness(said: &Value, than: u64) -> u64 {
    let classes = said["agent"]["probing"]["lateness"].as_array().into_iter().flatten();
    let later = classes.filter(|class| class["at_most_ms"].as_u64().is_none_or(|most| most > than));
    later.filter_map(|class| class["probes"].as_u64()).sum()
}

/// One member alone, for the port that answers, and all of them in a pool that is probed.
fn config(lab: &Lab) -> Config {
    let members: Vec<IpAddr> = (0..MEMBERS).map(member).collect();
    let monitor = HealthMonitor { delay: 10, timeout: 5, ..HealthMonitor::quick(MonitorKind::Tcp) };
    let all = pool_of(lab, "all", &members, ECHO_PORT).watched(monitor);
    web(lab, pool_of(lab, "web", &members[..1], HTTP_PORT)).balance(lab, Family::V4, ECHO_PORT, all)
}

fn member(number: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 9, 0, 1)) + number))
}

/// Changes routes for so many tenths of a second, some of which go to members. In the middle comes
/// `change`; how long it took until that was followed.
fn storm(
    netns: &NetNs,
    tenths: u32,
    gateway: IpAddr,
    change: impl Fn() -> Result<()>,
    is_followed: impl Fn() -> Result<bool> + Send,
) -> Result<Duration> {
    let begun = Instant::now();
    let (changed, change_seen) = mpsc::channel();
    thread::scope(|scope| {
        let watcher = scope.spawn(move || -> Result<Duration> {
            let changed: Instant = change_seen.recv()?;
            wait_for("the change to be followed", STUCK, || Ok(is_followed()?.then_some(())))?;
            Ok(changed.elapsed())
        });
        for tenth in 0..tenths {
            if tenth == tenths / 2 {
                change()?;
                changed.send(Instant::now())?;
            }
            netns.ip(&batch(tenth, gateway)?)?;
            let due = Duration::from_millis(u64::from(tenth + 1) * 100);
            thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        println!("{} changes in {:?}", tenths * BATCH, begun.elapsed());
        drop(changed);
        watcher.join().expect("the watcher does not panic")
    })
}

/// Half of the routes come, half go; every hundredth concerns all members.
fn batch(tenth: u32, gateway: IpAddr) -> Result<String> {
    let mut lines = String::new();
    let verb = if tenth.is_multiple_of(2) { "replace" } else { "del" };
    for number in 0..BATCH {
        if number.is_multiple_of(100) {
            writeln!(lines, "route replace 10.8.0.0/15 via {gateway} metric {}", 7 + number % 200)?;
        } else {
            writeln!(
                lines,
                "route {verb} 10.200.{}.{}/32 via {gateway}",
                number / 250,
                number % 250
            )?;
        }
    }
    Ok(lines)
}

/// Inodes of the sockets that a process has open.
pub(super) fn socket_inodes(process: u32) -> Result<BTreeSet<String>> {
    let mut inodes = BTreeSet::new();
    for entry in fs::read_dir(Path::new("/proc").join(process.to_string()).join("fd"))? {
        let target = fs::read_link(entry?.path()).unwrap_or_default();
        let target = target.to_string_lossy();
        let inode = target.strip_prefix("socket:[").and_then(|rest| rest.strip_suffix(']'));
        inodes.extend(inode.map(str::to_owned));
    }
    Ok(inodes)
}
