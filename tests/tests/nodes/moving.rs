//! What breaks when a node dies while slots move: a figure, since records are not shared between nodes.

use anyhow::Result;
use elb_tests::{address::Family, client::HeldReport, config::Member, status, wire::ECHO_PORT};
use serde_json::Value;

use crate::{
    ecmp,
    edge::{BACKENDS, ECHO, Edge},
    traffic::{CONNECTIONS, LIMIT, hold, wait_for_all},
    vrrp::{self, Way},
};

/// The waiting node's slots move as well: it knows where connections of before are.
#[test]
fn when_the_master_dies_while_slots_move_connections_of_before_go_on() -> Result<()> {
    let mut edge = vrrp::start(Way::Interface, false)?;
    let [before, since] = dies(&mut edge, "VRRP, while slots move", |_| Ok(()))?;
    assert_eq!(before.broken().len(), 0, "{:?}", before.broken());
    only_the_new_member_s(&edge, &since);
    Ok(())
}

/// The waiting node saw no packet for `keepalive_timeout`, and its slots have settled; the MASTER's have not.
#[test]
fn when_only_the_master_s_slots_move_connections_break_that_moved() -> Result<()> {
    let mut edge = vrrp::start(Way::Interface, false)?;
    let settled = |said: &Value| {
        status::pools(said)
            .iter()
            .all(|pool| pool["moving_slots"] == 0 && pool["former_slots"] == 0)
    };
    let settle =
        |edge: &Edge| edge.nodes[1].agent.wait_status("settled slots", LIMIT, settled).map(drop);
    let [_, since] = dies(&mut edge, "VRRP, the other node has settled", settle)?;
    // These are where the settled ring has them.
    assert_eq!(since.broken().len(), 0, "{:?}", since.broken());
    Ok(())
}

#[test]
fn when_one_of_two_nodes_dies_while_slots_move_connections_of_before_go_on() -> Result<()> {
    let (mut edge, _router) = ecmp::start(false)?;
    let [before, since] = dies(&mut edge, "ECMP, while slots move", |_| Ok(()))?;
    assert_eq!(before.broken().len(), 0, "{:?}", before.broken());
    only_the_new_member_s(&edge, &since);
    Ok(())
}

/// A member joins, and the first node dies: what became of connections of before and since.
fn dies(
    edge: &mut Edge,
    what: &str,
    meanwhile: impl Fn(&Edge) -> Result<()>,
) -> Result<[HeldReport; 2]> {
    let before = hold(edge)?;
    let mut config = edge.config.clone();
    let address = edge.lab.member_addr(usize::from(BACKENDS) - 1, Family::V4);
    let pool = config.pool_mut(ECHO);
    pool.members.push(Member {
        address,
        protocol_port: ECHO_PORT,
        weight: 1,
        backup: false,
        max_connection: 0,
    });
    edge.reload(&config)?;
    for node in &edge.nodes {
        let has_slots = |said: &Value| status::slots(said, ECHO).values().all(|slots| *slots > 0);
        node.agent.wait_status("slots of the new member", LIMIT, has_slots)?;
    }
    let since = hold(edge)?;
    meanwhile(edge)?;
    edge.kill(0)?;
    wait_for_all(&before)?;
    wait_for_all(&since)?;
    let reports = [before.stop()?, since.stop()?];
    let broken = reports.each_ref().map(|report| report.broken().len());
    println!(
        "{what}: of {CONNECTIONS} connections of before the change {} broke, of {CONNECTIONS} since {}",
        broken[0], broken[1]
    );
    Ok(reports)
}

/// Those that break are on slots that the new member got.
fn only_the_new_member_s(edge: &Edge, since: &HeldReport) {
    let new = edge.lab.backend_name(usize::from(BACKENDS) - 1);
    let is_new = |one: &&elb_tests::client::HeldConnection| one.backend.as_deref() == Some(&*new);
    assert!(since.broken().iter().all(is_new), "{:?}", since.broken());
}
