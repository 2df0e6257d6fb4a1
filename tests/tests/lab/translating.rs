//! Forwarding `nat`: members get packets at their own address and port, know their clients, and answer through the
//! load balancer, which is their route to them.

mod clients;
mod ending;
mod held;
mod offloads;
mod programs;
mod servers;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use elb_tests::{
    address::{Families, Family, Host, Network},
    agent::Agent,
    client::{HeldConnections, HttpReport, Load, UdpFlows, download, http_requests, upload},
    config::{Config, Forwarding, MonitorKind, Pool, Protocol},
    lab::Lab,
    status,
    wire::{ECHO_PORT, HTTP_PORT},
};

use crate::scene::{LIMIT, assert_shares, wait_until_serving};

pub(super) const WEIGHTS: [u32; 3] = [1, 2, 1];
const REQUESTS: usize = 400;
const FLOWS: usize = 300;
/// Five times the deviation that chance makes usual, so that chance alone fails no test.
const TOLERANCE: f64 = 0.15;
const BYTES: u64 = 2_000_000;

/// Ports of the listeners: others than the members'.
pub(super) const WEB: u16 = 80;
pub(super) const ECHO: u16 = 53;
const OTHER_WEB: u16 = 81;
pub(super) const CONNECTIONS: usize = 1_000;
pub(super) const BEAT: Duration = Duration::from_millis(400);
/// How long a client waits that is not answered.
const IMPATIENT: Duration = Duration::from_secs(1);

#[test]
fn from_one_interface_to_another() -> Result<()> {
    let lab = Lab::builder().two_armed().backends(3).families(Families::Both).start()?;
    lab.lb_forwards()?;
    translates(&lab, &lab.lb_interfaces(), |family| lab.vip(family))
}

/// Clients are behind a router on the members' segment.
#[test]
fn on_one_interface() -> Result<()> {
    let lab = Lab::builder().two_armed().backends(3).families(Families::Both).start()?;
    lab.leave_front()?;
    translates(&lab, &["lb1"], |family| lab.back_vip(family))
}

/// Two listeners, and clients that reach the member itself by the load balancer, which is their router.
#[test]
fn listeners_share_their_members_and_members_are_reached_directly() -> Result<()> {
    let lab = Lab::builder().two_armed().backends(2).start()?;
    lab.lb_forwards()?;
    lab.route_backends_through_lb()?;
    let _servers = lab.serve()?;
    let pool = Pool::of(&lab, "web", Family::V4, Protocol::Tcp, HTTP_PORT);
    let mut config =
        Config::new(&lab).balance(&lab, Family::V4, WEB, pool.forwarding(Forwarding::Nat));
    let mut other = config.load_balancers[0].listeners[0].clone();
    (other.name, other.protocol_port) = ("other".to_owned(), OTHER_WEB);
    config.load_balancers[0].listeners.push(other);
    let agent = Agent::start(&lab, &config)?;
    wait_until_serving(&agent)?;
    let lb = Network::Front.address(Family::V4, Host::LoadBalancer);
    let back = Network::Back.address(Family::V4, Host::LoadBalancer);
    let members = back.to_string().replace(".0.2", ".0.0");
    lab.client().ip(&format!("route replace {members}/24 via {lb}"))?;
    let direct = SocketAddr::new(lab.member_addr(0, Family::V4), HTTP_PORT);
    // By turns: what one leaves behind must not harm the others.
    for _ in 0..3 {
        for target in [lab.service(Family::V4, WEB), lab.service(Family::V4, OTHER_WEB), direct] {
            let report = http_requests(lab.client(), Load::on(target), 100)?;
            assert_eq!(report.failures().len(), 0, "{target}: {:?}", report.failures());
        }
    }
    assert_eq!(status::drops(&agent.status()?), Vec::<String>::new());
    Ok(())
}

/// The answers to a client on the members' own segment would not come back by the load balancer.
#[test]
fn a_client_on_the_members_segment_is_refused_with_its_reason() -> Result<()> {
    let lab = Lab::builder().backends(2).start()?;
    lab.route_backends_through_lb()?;
    let _servers = lab.serve()?;
    let pool = Pool::of(&lab, "web", Family::V4, Protocol::Tcp, HTTP_PORT);
    let config = Config::new(&lab).balance(&lab, Family::V4, WEB, pool.forwarding(Forwarding::Nat));
    let agent = Agent::start(&lab, &config)?;
    wait_until_serving(&agent)?;
    let target = lab.service(Family::V4, WEB);
    let load = Load { timeout: IMPATIENT, ..Load::on(target) };
    let report = http_requests(lab.client(), load, 2)?;
    assert_eq!(report.answered(), 0);
    let drops = status::drops(&agent.status()?);
    assert!(drops.iter().any(|drop| drop.contains("hairpin")), "{drops:?}");
    Ok(())
}

/// Connections are held while the agent is killed and started again, and while a member comes and another goes.
#[test]
fn held_connections_outlive_the_agent_and_changes_of_the_pool() -> Result<()> {
    let lab = Lab::builder().two_armed().backends(3).start()?;
    lab.lb_forwards()?;
    lab.route_backends_through_lb()?;
    let _servers = lab.serve()?;
    let mut pool = Pool::of(&lab, "echo", Family::V4, Protocol::Tcp, ECHO_PORT);
    let late = pool.members.pop().expect("three members");
    let pool = pool.forwarding(Forwarding::Nat).monitored_by(MonitorKind::Tcp);
    let mut config = Config::new(&lab).balance(&lab, Family::V4, WEB, pool);
    let mut agent = Agent::start(&lab, &config)?;
    wait_until_serving(&agent)?;
    // By the listener's port, which is another than the members'.
    agent.wait_status("probes by the virtual address", LIMIT, |said| {
        held::probed(said, "vip").all(|way| way["direct"].is_null() && !way.is_null())
    })?;
    let target = lab.service(Family::V4, WEB);
    let held = HeldConnections::open(lab.client(), target, CONNECTIONS, BEAT)?;
    agent.kill()?;
    std::thread::sleep(2 * BEAT);
    agent.restart()?;
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

fn translates(lab: &Lab, interfaces: &[&str], vip: impl Fn(Family) -> IpAddr) -> Result<()> {
    lab.route_backends_through_lb()?;
    let _servers = lab.serve()?;
    let agent = Agent::start(lab, &config(lab, interfaces, &vip))?;
    wait_until_serving(&agent)?;
    for family in [Family::V4, Family::V6] {
        tcp_arrives(lab, SocketAddr::new(vip(family), WEB))?;
        udp_arrives(lab, SocketAddr::new(vip(family), ECHO))?;
    }
    let said = agent.status()?;
    assert_eq!(status::drops(&said), Vec::<String>::new());
    Ok(())
}

fn config(lab: &Lab, interfaces: &[&str], vip: impl Fn(Family) -> IpAddr) -> Config {
    let mut config = Config::new(lab);
    config.agent.interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
    for family in [Family::V4, Family::V6] {
        for (protocol, port, member) in
            [(Protocol::Tcp, WEB, HTTP_PORT), (Protocol::Udp, ECHO, ECHO_PORT)]
        {
            let name = format!("{protocol:?} {family:?}");
            let pool = Pool::of(lab, &name, family, protocol, member);
            let pool = pool.forwarding(Forwarding::Nat).weights(&WEIGHTS);
            config = config.balance(lab, family, port, pool);
        }
    }
    at(config, vip)
}

/// With other virtual addresses.
pub(super) fn at(mut config: Config, vip: impl Fn(Family) -> IpAddr) -> Config {
    for lb in &mut config.load_balancers {
        if let (Some(address), IpAddr::V4(vip)) = (&mut lb.vip_address, vip(Family::V4)) {
            *address = vip;
        }
        if let (Some(address), IpAddr::V6(vip)) = (&mut lb.ipv6_vip_address, vip(Family::V6)) {
            *address = vip;
        }
    }
    config
}

pub(super) fn tcp_arrives(lab: &Lab, target: SocketAddr) -> Result<()> {
    let report = http_requests(lab.client(), Load::on(target), REQUESTS)?;
    assert_eq!(report.failures().len(), 0, "{target}: {:?}", report.failures());
    assert_shares(&target.to_string(), &by_backend(lab, &report), &WEIGHTS, TOLERANCE);
    download(lab.client(), target, BYTES)?;
    upload(lab.client(), target, BYTES)?;
    Ok(())
}

fn by_backend(lab: &Lab, report: &HttpReport) -> Vec<usize> {
    let answers = report.answers_by_backend();
    let count = |index| answers.get(&lab.backend_name(index)).copied().unwrap_or(0);
    (0..lab.backends().len()).map(count).collect()
}

pub(super) fn udp_arrives(lab: &Lab, target: SocketAddr) -> Result<()> {
    let flows = UdpFlows::open(lab.client(), target, FLOWS, Duration::from_millis(100))?.stop()?;
    assert_eq!((flows.lost(), flows.moved().len()), (0, 0), "{target}: {flows:?}");
    let on = |index| flows.on(&lab.backend_name(index)).len();
    let counts: Vec<usize> = (0..lab.backends().len()).map(on).collect();
    assert_shares(&target.to_string(), &counts, &WEIGHTS, TOLERANCE);
    Ok(())
}
