//! Both nodes announce the address by BIRD, and a router spreads flows over them.

use std::{fs, process::Command};

use anyhow::{Context as _, Result};
use elb_tests::{
    daemon::daemon, netns::NetNs, process::output, running::Running, status, wait::wait_for,
};

use crate::{
    edge::{Edge, Node},
    recipe::printed,
    traffic::{LIMIT, goes_on, hold, load, report, serves},
};

#[test]
fn no_connection_breaks_when_a_node_dies_that_bird_announced() -> Result<()> {
    let (mut edge, _router) = start(true)?;
    let held = hold(&edge)?;
    let new = load(&edge);
    goes_on(&held, "ECMP, two nodes")?;

    // The agent alone: its node is a last resort meanwhile.
    edge.nodes[1].agent.kill()?;
    wait_for_next_hops(&edge, &[0])?;
    goes_on(&held, "ECMP, an agent died")?;
    edge.nodes[1].agent.restart()?;
    edge.nodes[1].agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
    wait_for_next_hops(&edge, &[0, 1])?;
    goes_on(&held, "ECMP, the agent came back")?;

    edge.kill(0)?;
    wait_for_next_hops(&edge, &[1])?;
    goes_on(&held, "ECMP, a node died")?;
    report(new, "ECMP")?;
    serves(&edge)?;
    assert_eq!(held.stop()?.broken().len(), 0);
    // Where no agent answers, the last state serves on.
    edge.nodes[1].agent.kill()?;
    wait_for("the last resort", LIMIT, || {
        let said = birdc(&edge.nodes[1], &["show", "protocols", "elb_ready"])?;
        Ok(said.contains(" down ").then_some(()))
    })?;
    wait_for_next_hops(&edge, &[1])?;
    serves(&edge)
}

/// Two nodes and a router with BIRD, and a route over both.
pub(crate) fn start(all: bool) -> Result<(Edge, Running)> {
    let mut edge = Edge::start(all, |monitor| monitor)?;
    let router = start_router(&edge)?;
    for index in 0..2 {
        start_node(&mut edge, index)?;
    }
    wait_for_next_hops(&edge, &[0, 1])?;
    Ok((edge, router))
}

fn start_router(edge: &Edge) -> Result<Running> {
    let router = edge.lab.router();
    router.sysctl("ipv4/fib_multipath_hash_policy", "1")?;
    let text = printed("# bird.conf of the router", &[("eth0", "front")])?;
    let file = edge.lab.files().join("router.conf");
    fs::write(&file, text)?;
    let place = |name: &str| edge.lab.files().join(name).display().to_string();
    bird(router, &file.display().to_string(), &place("router.ctl"), &place("router.pid"))
}

fn start_node(edge: &mut Edge, index: usize) -> Result<()> {
    let (address, vip) = (edge.address(index).to_string(), edge.lab.vip4().to_string());
    let node = &mut edge.nodes[index];
    let names = [
        ("router id 10.1.0.2", &*format!("router id {address}")),
        ("eth0", "lb0"),
        ("192.0.2.10", &vip),
    ];
    let file = node.write("bird.conf", &printed("# /etc/bird/bird.conf", &names)?)?;
    let running = bird(&node.netns, &file, &node.file("bird.ctl"), &node.file("bird.pid"))?;
    node.daemons.push(running);
    wait_for("BIRD to answer", LIMIT, || Ok(birdc(node, &["show", "status"]).ok()))
        .with_context(|| node.said())?;

    let script =
        "# /usr/local/sbin/elb-bird: this node is preferred while elb forwards new connections.";
    let birdc =
        format!("{:?} -s {}", daemon(&node.netns, "birdc")?.get_program(), node.file("bird.ctl"));
    let names = [("/usr/bin/elb", &*node.file("elb")), ("birdc", &birdc)];
    let script = node.write_script("elb-bird", &printed(script, &names)?)?;
    let mut command = node.netns.command(&script);
    // Its birdc may have been unpacked.
    let with = daemon(&node.netns, "birdc")?;
    command.envs(with.get_envs().filter_map(|(name, value)| Some((name, value?))));
    node.daemons.push(Running::start("elb-bird", command)?);
    Ok(())
}

fn bird(netns: &NetNs, file: &str, control: &str, pid: &str) -> Result<Running> {
    let mut command = daemon(netns, "bird")?;
    command.args(["-f", "-c", file, "-s", control, "-P", pid]);
    Running::start("bird", command)
}

fn birdc(node: &Node, words: &[&str]) -> Result<String> {
    let mut command: Command = daemon(&node.netns, "birdc")?;
    command.args(["-s", &node.file("bird.ctl")]).args(words);
    output(command, LIMIT)
}

/// The router sends to these nodes and to no other.
pub(crate) fn wait_for_next_hops(edge: &Edge, nodes: &[usize]) -> Result<()> {
    let wanted: Vec<String> = nodes.iter().map(|node| edge.address(*node).to_string()).collect();
    let route = || edge.lab.router().ip(&format!("route show {}", edge.lab.vip4()));
    let what = format!("next hops {wanted:?}");
    let result = wait_for(&what, LIMIT, || {
        let said = route()?;
        let words: Vec<&str> = said.split_whitespace().collect();
        let mut hops: Vec<&str> =
            words.windows(2).filter(|pair| pair[0] == "via").map(|pair| pair[1]).collect();
        hops.sort_unstable();
        Ok((hops == wanted).then_some(()))
    });
    result.with_context(|| route().unwrap_or_default())
}
