//! Forwarding `nat`: members get packets at their own address and port, know their clients, and answer through the
//! load balancer, which is their route to them.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    client::{HttpReport, Load, UdpFlows, download, http_requests, upload},
    config::{Config, Forwarding, Pool, Protocol},
    lab::Lab,
    status,
    wire::{ECHO_PORT, HTTP_PORT},
};

use crate::scene::{assert_shares, wait_until_serving};

const WEIGHTS: [u32; 3] = [1, 2, 1];
const REQUESTS: usize = 400;
const FLOWS: usize = 300;
/// Five times the deviation that chance makes usual, so that chance alone fails no test.
const TOLERANCE: f64 = 0.15;
const BYTES: u64 = 2_000_000;

/// Ports of the listeners: others than the members'.
const WEB: u16 = 80;
const ECHO: u16 = 53;

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

fn tcp_arrives(lab: &Lab, target: SocketAddr) -> Result<()> {
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

fn udp_arrives(lab: &Lab, target: SocketAddr) -> Result<()> {
    let flows = UdpFlows::open(lab.client(), target, FLOWS, Duration::from_millis(100))?.stop()?;
    assert_eq!((flows.lost(), flows.moved().len()), (0, 0), "{target}: {flows:?}");
    let on = |index| flows.on(&lab.backend_name(index)).len();
    let counts: Vec<usize> = (0..lab.backends().len()).map(on).collect();
    assert_shares(&target.to_string(), &counts, &WEIGHTS, TOLERANCE);
    Ok(())
}
