//! Forwarding `fullnat`: members see source addresses of the load balancer in the place of their clients', and need no
//! route by it.

mod ending;
mod moving;

use std::net::{IpAddr, SocketAddr};

use anyhow::Result;
use elb_tests::{
    address::Family,
    agent::Agent,
    client::HeldConnections,
    config::{Config, Forwarding, MonitorKind, Pool, Protocol, SourceAddresses},
    environment::elb_bin,
    lab::Lab,
    status,
    wire::{ECHO_PORT, HTTP_PORT},
};

use super::translating::{BEAT, CONNECTIONS, ECHO, WEB, WEIGHTS, tcp_arrives, udp_arrives};
use crate::scene::{LIMIT, wait_until_serving};

/// Clients are on the members' own segment, where answers without source addresses would go past the load balancer.
#[test]
fn on_one_segment() -> Result<()> {
    let lab = Lab::builder().backends(3).start()?;
    lab.lb_forwards()?;
    translates(&lab, lab.vip(Family::V4))
}

#[test]
fn from_one_interface_to_another() -> Result<()> {
    let lab = Lab::builder().two_armed().backends(3).start()?;
    lab.lb_forwards()?;
    translates(&lab, lab.vip(Family::V4))
}

/// Clients are behind a router on the members' segment.
#[test]
fn on_one_interface_behind_a_router() -> Result<()> {
    let lab = Lab::builder().two_armed().backends(3).start()?;
    lab.leave_front()?;
    translates_by(&lab, &["lb1"], lab.back_vip(Family::V4))
}

/// Connections are held while the agent is killed and started again, and while a member comes and another goes.
#[test]
fn held_connections_outlive_the_agent_and_changes_of_the_pool() -> Result<()> {
    let lab = Lab::builder().two_armed().backends(3).start()?;
    lab.lb_forwards()?;
    let _servers = lab.serve()?;
    let mut pool = Pool::of(&lab, "echo", Family::V4, Protocol::Tcp, ECHO_PORT);
    let late = pool.members.pop().expect("three members");
    let pool = pool.forwarding(Forwarding::FullNat).monitored_by(MonitorKind::Tcp);
    let mut config = Config::new(&lab).balance(&lab, Family::V4, WEB, pool);
    config.snat = Some(SourceAddresses::of_backends());
    let mut agent = Agent::start(&lab, &config)?;
    wait_until_serving(&agent)?;
    let target = lab.service(Family::V4, WEB);
    let held = HeldConnections::open(lab.client(), target, CONNECTIONS, BEAT)?;
    members_see_source_addresses(&lab)?;
    agent.kill()?;
    std::thread::sleep(2 * BEAT);
    agent.restart()?;
    agent.upgrade(std::path::Path::new(env!("CARGO_BIN_EXE_elb-next")))?;
    agent.upgrade(&elb_bin()?)?;
    config.pools[0].members.push(late);
    agent.reload(&config)?;
    wait_until_serving(&agent)?;
    config.pools[0].members.remove(0);
    agent.reload(&config)?;
    std::thread::sleep(3 * BEAT);
    let report = held.stop()?;
    assert_eq!(report.broken().len(), 0, "{:?}", report.broken());
    let counts: Vec<usize> =
        (0..3).map(|index| report.on(&lab.backend_name(index)).len()).collect();
    assert!(counts[0] > 0 && counts[1] > 0 && counts[2] == 0, "{counts:?}");
    Ok(())
}

fn translates(lab: &Lab, vip: IpAddr) -> Result<()> {
    translates_by(lab, &lab.lb_interfaces(), vip)
}

fn translates_by(lab: &Lab, interfaces: &[&str], vip: IpAddr) -> Result<()> {
    let _servers = lab.serve()?;
    let mut config = Config::new(lab);
    config.agent.interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
    config.snat = Some(SourceAddresses::of_backends());
    let tcp = Pool::of(lab, "web", Family::V4, Protocol::Tcp, HTTP_PORT);
    let tcp = tcp.monitored_by(MonitorKind::Tcp);
    let udp = Pool::of(lab, "echo", Family::V4, Protocol::Udp, ECHO_PORT);
    for (pool, port) in [(tcp, WEB), (udp, ECHO)] {
        let pool = pool.forwarding(Forwarding::FullNat).weights(&WEIGHTS);
        config = config.balance(lab, Family::V4, port, pool);
    }
    for lb in &mut config.load_balancers {
        if let (Some(address), IpAddr::V4(vip)) = (&mut lb.vip_address, vip) {
            *address = vip;
        }
    }
    let agent = Agent::start(lab, &config)?;
    wait_until_serving(&agent)?;
    tcp_arrives(lab, SocketAddr::new(vip, WEB))?;
    udp_arrives(lab, SocketAddr::new(vip, ECHO))?;
    agent.wait_status("probes by the virtual address", LIMIT, |said| {
        let members = status::pool(said, "web").and_then(|pool| pool["members"].as_array());
        members.is_some_and(|all| all.iter().all(|member| member["paths"]["vip"] == "ok"))
    })?;
    assert_eq!(status::drops(&agent.status()?), Vec::<String>::new());
    Ok(())
}

/// What members take for their clients' addresses.
fn members_see_source_addresses(lab: &Lab) -> Result<()> {
    let mut seen = 0;
    for netns in lab.backends() {
        let port = format!("sport = :{ECHO_PORT}");
        let said = netns.command("ss").args(["-Htn", "state", "established", &port]).output()?;
        for line in String::from_utf8(said.stdout)?.lines() {
            let peer = line.split_whitespace().last().unwrap_or_default();
            let address = peer.rsplit_once(':').map_or(peer, |(address, _)| address);
            assert!(is_source(address), "{line}");
            seen += 1;
        }
    }
    assert_eq!(seen, CONNECTIONS);
    Ok(())
}

/// Whether it is one of the source addresses, of which the last byte is 208 to 223.
pub(super) fn is_source(address: &str) -> bool {
    let last = address.rsplit('.').next().and_then(|last| last.parse().ok());
    last.is_some_and(|last: u8| (208..224).contains(&last))
}
