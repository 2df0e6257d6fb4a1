//! Forwarding `nat46`: a virtual IPv4 address whose members have IPv6. They answer addresses that hold those of their clients,
//! and their route to these leads to the load balancer.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use anyhow::Result;
use elb_tests::{
    address::{Families, Family, Host, Network},
    agent::Agent,
    client::{HeldConnections, Load, http_requests},
    config::{Config, Forwarding, MonitorKind, Pool, Protocol, client_prefix},
    environment::elb_bin,
    lab::Lab,
    status,
    wait::STUCK,
    wire::{ECHO_PORT, HTTP_PORT},
};

use serde_json::Value;

use super::translating::{BEAT, CONNECTIONS, ECHO, WEB, WEIGHTS, tcp_arrives, udp_arrives};
use crate::ends::{Ends, is_reset, listening, reload, told};
use crate::scene::{LIMIT, wait_until_serving};

/// Clients with IPv6 reach the same members by `nat`, at the same ports.
#[test]
fn one_pool_of_members_serves_clients_of_both_versions() -> Result<()> {
    let lab = Lab::builder().two_armed().backends(3).families(Families::Both).start()?;
    lab.lb_forwards()?;
    lab.route_backends_through_lb()?;
    translates(&lab, &lab.lb_interfaces(), |family| lab.vip(family))
}

/// Clients are behind a router on the members' segment.
#[test]
fn on_one_interface_behind_a_router() -> Result<()> {
    let lab = Lab::builder().two_armed().backends(3).families(Families::Both).start()?;
    lab.leave_front()?;
    lab.route_backends_through_lb()?;
    translates(&lab, &["lb1"], |family| lab.back_vip(family))
}

/// Clients are on the members' own segment: members do not see that.
#[test]
fn on_one_segment() -> Result<()> {
    let lab = Lab::builder().backends(3).families(Families::Both).start()?;
    lab.lb_forwards()?;
    route_clients(&lab)?;
    let _servers = lab.serve()?;
    let agent = Agent::start(&lab, &config(&lab, &lab.lb_interfaces()))?;
    wait_until_serving(&agent)?;
    arrives(&lab, lab.vip(Family::V4))?;
    assert_eq!(status::drops(&agent.status()?), Vec::<String>::new());
    Ok(())
}

/// Connections are held while the agent is killed, started again and upgraded, and while a member comes and another goes.
#[test]
fn held_connections_outlive_the_agent_and_changes_of_the_pool() -> Result<()> {
    let lab = two_armed()?;
    let _servers = lab.serve()?;
    let mut pool = pool(&lab, "echo", Protocol::Tcp, ECHO_PORT).monitored_by(MonitorKind::Tcp);
    let late = pool.members.pop().expect("three members");
    let mut config = Config::new(&lab).balance(&lab, Family::V4, WEB, pool);
    config.client_prefix = Some(client_prefix());
    let mut agent = Agent::start(&lab, &config)?;
    wait_until_serving(&agent)?;
    let target = lab.service(Family::V4, WEB);
    let held = HeldConnections::open(lab.client(), target, CONNECTIONS, BEAT)?;
    members_see_clients(&lab)?;
    agent.kill()?;
    std::thread::sleep(2 * BEAT);
    agent.restart()?;
    agent.upgrade(Path::new(env!("CARGO_BIN_EXE_elb-next")))?;
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

/// Members without a route to the addresses of their clients: the agent says so, and how to find out more.
#[test]
fn members_without_the_route_are_found_out() -> Result<()> {
    let lab = Lab::builder().two_armed().backends(2).families(Families::Both).start()?;
    lab.lb_forwards()?;
    let _servers = lab.serve()?;
    let pool = pool(&lab, "web", Protocol::Tcp, HTTP_PORT).monitored_by(MonitorKind::Tcp);
    let mut config = Config::new(&lab).balance(&lab, Family::V4, WEB, pool);
    config.client_prefix = Some(client_prefix());
    let agent = Agent::start(&lab, &config)?;
    let is_said = |said: &Value| said.to_string().contains("does not come back through it");
    agent.wait_status("that nothing comes back", STUCK, is_said)?;
    let member = SocketAddr::new(lab.member_addr(0, Family::V6), HTTP_PORT).to_string();
    let said = agent.end(&["diagnose", &member], STUCK)?.printed;
    assert!(said.contains(&client_prefix()), "{said}");
    route_clients(&lab)?;
    agent.wait_status("that all is well again", STUCK, |said| !is_said(said))?;
    let report = http_requests(lab.client(), Load::on(lab.service(Family::V4, WEB)), 20)?;
    assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
    Ok(())
}

/// Connections of a listener that is taken away, while another one stays at the virtual address.
#[test]
fn the_next_segment_of_either_side_is_reset_when_the_listener_is_gone() -> Result<()> {
    let lab = two_armed()?;
    let members = listening(&lab, Family::V6)?;
    let web = pool(&lab, "web", Protocol::Tcp, HTTP_PORT);
    let other = pool(&lab, "other", Protocol::Tcp, ECHO_PORT);
    let config = Config::new(&lab).balance(&lab, Family::V4, WEB, web);
    let mut config = config.balance(&lab, Family::V4, ECHO, other);
    config.client_prefix = Some(client_prefix());
    let agent = Agent::start(&lab, &config)?;
    wait_until_serving(&agent)?;
    let target = lab.service(Family::V4, WEB);
    let open = || Ends::open(&lab, &members, target);
    let ((mut one, _), (mut two, _)) = (open()?, open()?);
    let listener = config.load_balancers[0].listeners.remove(0);
    reload(&agent, &config)?;
    assert!(is_reset(&mut one.member)?, "the member spoke first");
    assert!(is_reset(&mut one.client)?, "and its client did then");
    assert!(is_reset(&mut two.client)?, "the client spoke first");
    assert!(is_reset(&mut two.member)?, "and the member did then");
    assert_eq!(told(&agent.status()?), 2);
    config.load_balancers[0].listeners.push(listener);
    reload(&agent, &config)?;
    open()?;
    Ok(())
}

fn two_armed() -> Result<Lab> {
    let lab = Lab::builder().two_armed().backends(3).families(Families::Both).start()?;
    lab.lb_forwards()?;
    route_clients(&lab)?;
    Ok(lab)
}

/// The one route that members need.
fn route_clients(lab: &Lab) -> Result<()> {
    let lb = Network::Back.address(Family::V6, Host::LoadBalancer);
    for backend in lab.backends() {
        backend.ip(&format!("route replace {} via {lb}", client_prefix()))?;
    }
    Ok(())
}

/// Members with IPv6.
fn pool(lab: &Lab, name: &str, protocol: Protocol, port: u16) -> Pool {
    Pool::of(lab, name, Family::V6, protocol, port).forwarding(Forwarding::Nat46)
}

fn config(lab: &Lab, interfaces: &[&str]) -> Config {
    let mut config = Config::new(lab);
    config.agent.interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
    config.client_prefix = Some(client_prefix());
    let tcp = pool(lab, "web", Protocol::Tcp, HTTP_PORT).monitored_by(MonitorKind::Tcp);
    let udp = pool(lab, "echo", Protocol::Udp, ECHO_PORT);
    for (pool, port) in [(tcp, WEB), (udp, ECHO)] {
        config = config.balance(lab, Family::V4, port, pool.weights(&WEIGHTS));
    }
    config
}

fn translates(lab: &Lab, interfaces: &[&str], vip: impl Fn(Family) -> IpAddr) -> Result<()> {
    let _servers = lab.serve()?;
    let mut config = config(lab, interfaces);
    let tcp = Pool::of(lab, "web of IPv6", Family::V6, Protocol::Tcp, HTTP_PORT);
    let udp = Pool::of(lab, "echo of IPv6", Family::V6, Protocol::Udp, ECHO_PORT);
    for (pool, port) in [(tcp, WEB), (udp, ECHO)] {
        let pool = pool.forwarding(Forwarding::Nat).weights(&WEIGHTS);
        config = config.balance(lab, Family::V6, port, pool);
    }
    let agent = Agent::start(lab, &super::translating::at(config, &vip))?;
    wait_until_serving(&agent)?;
    for family in [Family::V4, Family::V6] {
        arrives(lab, vip(family))?;
    }
    agent.wait_status("probes by the virtual address", LIMIT, |said| {
        let members = status::pool(said, "web").and_then(|pool| pool["members"].as_array());
        members.is_some_and(|all| all.iter().all(|member| member["paths"]["vip"] == "ok"))
    })?;
    assert_eq!(status::drops(&agent.status()?), Vec::<String>::new());
    Ok(())
}

fn arrives(lab: &Lab, vip: IpAddr) -> Result<()> {
    tcp_arrives(lab, SocketAddr::new(vip, WEB))?;
    udp_arrives(lab, SocketAddr::new(vip, ECHO))
}

/// Members know their clients: the last bytes of the addresses that they see are theirs.
fn members_see_clients(lab: &Lab) -> Result<()> {
    let client = Network::Front.address(Family::V4, Host::Client);
    let IpAddr::V4(client) = client else { unreachable!("it is IPv4") };
    let [a, b, c, d] = client.octets();
    let last = format!("{:x}:{:x}", u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
    let mut seen = 0;
    for netns in lab.backends() {
        let port = format!("sport = :{ECHO_PORT}");
        let said = netns.command("ss").args(["-Htn", "state", "established", &port]).output()?;
        for line in String::from_utf8(said.stdout)?.lines() {
            let peer = line.split_whitespace().last().unwrap_or_default();
            assert!(peer.starts_with("[2001:db8:64:46:") && peer.contains(&last), "{line}");
            seen += 1;
        }
    }
    assert_eq!(seen, CONNECTIONS);
    Ok(())
}
