//! Notifications are lost while the agent does not run: what they said is found out all the same.

use std::{fmt::Write as _, fs, time::Duration};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    agent::Agent,
    config::{Forwarding, Pool, Protocol},
    lab::Lab,
    netns::NetNs,
    wait::{STUCK, wait_for},
    wire::HTTP_PORT,
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use super::{problems, requests, start, web};

/// An Ethernet address that no one had before.
const OTHER: &str = "02:00:00:00:be:ef";

/// Three things change of which the agent learns too late or not at all: the neighbour, the MTU and the
/// Ethernet address of the load balancer's own interface.
#[test]
fn notifications_that_were_lost_are_made_up_for() -> Result<()> {
    let lab = Lab::builder().start()?;
    let _servers = lab.serve()?;
    lab.backends_up(Forwarding::L2)?;
    let pool = Pool::of(&lab, "web", Family::V4, Protocol::Tcp, HTTP_PORT);
    let agent = start(&lab, &web(&lab, pool.forwarding(Forwarding::L2)))?;

    signal(&agent, Signal::SIGSTOP)?;
    let lost = lose_notifications(lab.lb(), agent.id());
    lab.backend(1).ip(&format!("link set {} address {OTHER}", lab.device()))?;
    lab.lb()
        .ip(&format!("neigh replace {} lladdr {OTHER} dev lb0", lab.member_addr(1, Family::V4)))?;
    lab.lb().ip("link set lb0 mtu 1400")?;
    signal(&agent, Signal::SIGCONT)?;
    lost?;

    wait_for("both members to answer", Duration::from_secs(10), || {
        let report = requests(&lab, Family::V4, HTTP_PORT, 40)?;
        let all = report.failures().is_empty() && report.answers_by_backend().len() == 2;
        Ok(all.then_some(()))
    })?;
    let said = agent.log();
    assert!(said.contains("netlink notifications were lost; everything is read again"), "{said}");
    let sent = explained(&lab, &agent, 1401)?;
    assert!(sent.contains("\"mtu\":1400"), "the MTU of lb0 is followed: {sent}");
    assert_eq!(problems(&agent)?, "[]");
    Ok(())
}

fn explained(lab: &Lab, agent: &Agent, size: u32) -> Result<String> {
    let src = lab.client_addr(Family::V4).to_string();
    let dst = lab.service(Family::V4, HTTP_PORT).to_string();
    let (size, flow) = (size.to_string(), ["--src", &src, "--dst", &dst, "--proto", "tcp"]);
    let answer = agent.ask(&[&["explain"], &flow[..], &["--size", &size]].concat())?;
    Ok(answer["answer"].to_string())
}

fn signal(agent: &Agent, signal: Signal) -> Result<()> {
    kill(Pid::from_raw(agent.id().try_into()?), signal).context("cannot signal the agent")
}

/// Changes routes until the kernel has dropped notifications for the process.
fn lose_notifications(netns: &NetNs, process: u32) -> Result<()> {
    let mut change = String::new();
    for number in 0..5_000u32 {
        let (high, low) = (number / 250, number % 250);
        writeln!(change, "route add 10.200.{high}.{low}/32 dev lb0")?;
    }
    let back = change.replace("add", "del");
    wait_for("notifications to be lost", STUCK, || {
        netns.ip(&change)?;
        netns.ip(&back)?;
        Ok((drops(netns, process)? > 0).then_some(()))
    })
}

/// Notifications that were dropped for sockets of a process, by /proc/net/netlink.
fn drops(netns: &NetNs, process: u32) -> Result<u64> {
    let table = netns.run(|| fs::read_to_string("/proc/thread-self/net/netlink"))??;
    let sockets = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    let inodes = super::storm::socket_inodes(process)?;
    let mine = sockets.filter(|words| words.last().is_some_and(|inode| inodes.contains(*inode)));
    let dropped = mine.map(|words| words.get(8).and_then(|word| word.parse().ok()).unwrap_or(0));
    Ok(dropped.sum::<u64>())
}
