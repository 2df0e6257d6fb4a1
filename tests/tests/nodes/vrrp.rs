//! keepalived gives the address to one node: it holds it, or elb answers for it there.

use std::fs;

use anyhow::{Context as _, Result};
use elb_tests::{process::output, status, wait::wait_for};

use crate::{
    edge::{Edge, Node},
    recipe::printed,
    traffic::{LIMIT, goes_on, hold, load, report, serves},
};

const FILE: &str = "# /etc/keepalived/keepalived.conf";

/// Who answers for the address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The kernel: keepalived puts it on the interface.
    Interface,
    /// The program: a script changes `announce`.
    Script,
}

#[test]
fn no_connection_breaks_when_a_node_dies_that_has_the_address_on_its_interface() -> Result<()> {
    let mut edge = start(Way::Interface, true)?;
    let words = format!("{} is an address of this host as well", edge.lab.vip4());
    wait_for("the MASTER's problem", LIMIT, || {
        Ok(edge.nodes[0].problems()?.contains(&words).then_some(()))
    })?;
    outlives(&mut edge, Way::Interface)
}

#[test]
fn no_connection_breaks_when_a_node_dies_that_a_script_made_answer() -> Result<()> {
    let mut edge = start(Way::Script, true)?;
    outlives(&mut edge, Way::Script)?;
    assert!(!edge.nodes[0].problems()?.contains("answers for the virtual address"));
    // Before a start: after a reboot the file may say what was, after a crash it says what is.
    let script = |edge: &Edge| -> Result<bool> {
        let mut command = edge.nodes[0].netns.command(edge.nodes[0].file("elb-announce"));
        command.arg("START");
        output(command, LIMIT)?;
        has_address(edge, Way::Script, 0)
    };
    assert!(script(&edge)?, "a restart");
    fs::remove_file(edge.nodes[0].file("announced"))?;
    assert!(!script(&edge)?, "a reboot");
    Ok(())
}

/// The agent of the MASTER dies, and later the other node.
fn outlives(edge: &mut Edge, way: Way) -> Result<()> {
    let held = hold(edge)?;
    let new = load(edge);

    // The address goes to a node that has an agent, and stays there.
    edge.nodes[0].agent.kill()?;
    wait_until_master(edge, way, 1)?;
    goes_on(&held, &format!("VRRP, {way:?}: the agent died"))?;
    if way == Way::Script {
        wait_for_script(&edge.nodes[0])?;
    }
    edge.nodes[0].agent.restart()?;
    edge.nodes[0].agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
    wait_until_ready(edge, 0, 2)?;
    assert!(!has_address(edge, way, 0)?);
    goes_on(&held, &format!("VRRP, {way:?}: the agent came back"))?;

    edge.kill(1)?;
    wait_until_master(edge, way, 0)?;
    goes_on(&held, &format!("VRRP, {way:?}: the node died"))?;
    report(new, &format!("VRRP, {way:?}"))?;
    serves(edge)?;
    assert_eq!(held.stop()?.broken().len(), 0);
    Ok(())
}

/// The script that runs has ended: an agent that starts while it detaches the node is refused.
fn wait_for_script(node: &Node) -> Result<()> {
    let mut command = node.netns.command("flock");
    command.arg(node.file("announced.lock")).arg("true");
    output(command, LIMIT).map(drop)
}

/// Two nodes with keepalived, of which the first has the address.
pub(crate) fn start(way: Way, all: bool) -> Result<Edge> {
    let mut edge = match way {
        Way::Interface => Edge::start(all, |monitor| monitor.direct())?,
        Way::Script => Edge::start(all, |monitor| monitor)?,
    };
    for index in 0..2 {
        start_keepalived(&mut edge, way, index)?;
        wait_until_ready(&edge, index, 1)?;
        wait_until_master(&edge, way, 0)?;
    }
    Ok(edge)
}

fn start_keepalived(edge: &mut Edge, way: Way, index: usize) -> Result<()> {
    let vip = format!("{}/32", edge.lab.vip4());
    let node = &mut edge.nodes[index];
    let names = [("/usr/bin/elb", &*node.file("elb")), ("eth0", "lb0"), ("192.0.2.10/32", &vip)];
    let mut text = printed(FILE, &names)?;
    if way == Way::Script {
        text = with_script(node, &text, &format!("        {vip} dev lb0\n    }}\n"))?;
    }
    let file = node.write("keepalived.conf", &text)?;
    let pids = ["keepalived.pid", "vrrp.pid"].map(|name| node.file(name));
    let [main, vrrp] = pids.each_ref().map(String::as_str);
    let options = ["--dont-fork", "--log-console", "--log-detail", "--vrrp"];
    let places = ["-f", &file, "-p", main, "-r", vrrp];
    node.start("keepalived", &[&options[..], &places[..]].concat())
}

/// The file with the lines of the other recipe in the place of `address`, and its script.
fn with_script(node: &Node, text: &str, address: &str) -> Result<String> {
    let first =
        "# /etc/keepalived/elb-announce: elb answers for the virtual addresses on the MASTER only.";
    let names = [
        ("/etc/elb/elb.toml", &*node.agent.file().display().to_string()),
        ("/usr/bin/elb", &*node.file("elb")),
        ("/run/elb-announce", &*node.file("announced")),
    ];
    let script = node.write_script("elb-announce", &printed(first, &names)?)?;
    let first = "# In vrrp_instance edge, instead of its virtual_ipaddress (keepalived wants one):";
    let lines = printed(first, &[("/etc/keepalived/elb-announce", &*script)])?;
    let address = format!("    virtual_ipaddress {{\n{address}");
    anyhow::ensure!(text.contains(&address), "{address} is not in {text}");
    Ok(text.replace(&address, &lines))
}

/// Its keepalived has found so many times that its agent is ready.
fn wait_until_ready(edge: &Edge, index: usize, times: usize) -> Result<()> {
    let node = &edge.nodes[index];
    let words = "VRRP_Script(elb_ready) succeeded";
    let seen = || Ok((node.said().matches(words).count() >= times).then_some(()));
    wait_for("a check to succeed", LIMIT, seen).with_context(|| node.said())
}

/// A node has the address, and the other one, if it lives, has not.
fn wait_until_master(edge: &Edge, way: Way, index: usize) -> Result<()> {
    let said = || edge.nodes.iter().map(Node::said).collect::<Vec<_>>().join("\n");
    wait_for("one MASTER", LIMIT, || {
        let other = &edge.nodes[1 - index];
        let is_alone = other.daemons.is_empty() || !has_address(edge, way, 1 - index)?;
        Ok((is_alone && has_address(edge, way, index)?).then_some(()))
    })
    .with_context(said)
}

fn has_address(edge: &Edge, way: Way, index: usize) -> Result<bool> {
    let node = &edge.nodes[index];
    Ok(match way {
        Way::Interface => {
            let said = node.netns.ip("addr show dev lb0")?;
            said.contains(&format!("{}/32", edge.lab.vip4()))
        }
        Way::Script => fs::read_to_string(node.agent.file())?.contains("announce = \"arp\""),
    })
}
