//! TCP and UDP, IPv4 and IPv6, by every mode, on one interface or from one to another: contents
//! arrive unchanged, and members get what their weights say.

use std::time::Duration;

use anyhow::Result;
use elb_tests::{
    address::{Families, Family},
    agent::Agent,
    client::{HttpReport, Load, UdpFlows, download, http_requests, upload},
    config::{Config, Forwarding, Pool, Protocol},
    lab::{Builder, Lab},
    status,
    wire::{ECHO_PORT, HTTP_PORT},
};

use crate::scene::{LIMIT, assert_shares, wait_until_serving};

const WEIGHTS: [u32; 3] = [1, 2, 1];
const REQUESTS: usize = 400;
const FLOWS: usize = 300;
/// Five times the deviation that chance makes usual, so that chance alone fails no test.
const TOLERANCE: f64 = 0.15;
const BYTES: u64 = 2_000_000;

/// The family of a virtual address, and that of its members.
type Pair = (Family, Family);

const SAME: [Pair; 2] = [(Family::V4, Family::V4), (Family::V6, Family::V6)];
const CROSSED: [Pair; 2] = [(Family::V4, Family::V6), (Family::V6, Family::V4)];

#[test]
fn l2_on_one_interface() -> Result<()> {
    balances(Lab::builder(), Forwarding::L2, &[SAME])
}

#[test]
fn l2_from_one_interface_to_another() -> Result<()> {
    balances(Lab::builder().two_armed(), Forwarding::L2, &[SAME])
}

#[test]
fn ipip_on_one_interface_in_every_pair_of_families() -> Result<()> {
    balances(Lab::builder(), Forwarding::Ipip, &[SAME, CROSSED])
}

#[test]
fn ipip_from_one_interface_to_another_in_every_pair_of_families() -> Result<()> {
    balances(Lab::builder().two_armed(), Forwarding::Ipip, &[SAME, CROSSED])
}

#[test]
fn gue_on_one_interface_in_every_pair_of_families() -> Result<()> {
    balances(Lab::builder(), Forwarding::Gue, &[SAME, CROSSED])
}

#[test]
fn gue_from_one_interface_to_another_in_every_pair_of_families() -> Result<()> {
    balances(Lab::builder().two_armed(), Forwarding::Gue, &[SAME, CROSSED])
}

/// One agent goes through all `rounds`, from each to the next by a reload.
fn balances(lab: Builder, mode: Forwarding, rounds: &[[Pair; 2]]) -> Result<()> {
    let lab = lab.backends(3).families(Families::Both).start()?;
    let _servers = lab.serve()?;
    lab.backends_up(mode)?;
    let mut agent: Option<Agent> = None;
    for round in rounds {
        let config = config(&lab, mode, *round);
        let agent = match &mut agent {
            None => agent.insert(Agent::start(&lab, &config)?),
            Some(agent) => {
                agent.reload(&config)?;
                agent
            }
        };
        let taken_over = |said: &_| status::pools(said)[0]["name"] == config.pools[0].name;
        agent.wait_status("this round's pools", LIMIT, taken_over)?;
        wait_until_serving(agent)?;
        for (vip, members) in round {
            let name = format!("{mode:?}, {vip:?} to {members:?}");
            tcp_arrives(&lab, &name, *vip)?;
            udp_arrives(&lab, &name, *vip)?;
        }
        let said = agent.status()?;
        assert_eq!(status::drops(&said), Vec::<String>::new());
        assert_counted(&said);
    }
    Ok(())
}

fn config(lab: &Lab, mode: Forwarding, pairs: [Pair; 2]) -> Config {
    let mut config = Config::new(lab);
    for (vip, members) in pairs {
        for (protocol, port) in [(Protocol::Tcp, HTTP_PORT), (Protocol::Udp, ECHO_PORT)] {
            let name = format!("{protocol:?} {vip:?} to {members:?}");
            let pool = Pool::of(lab, &name, members, protocol, port);
            config = config.balance(lab, vip, port, pool.forwarding(mode).weights(&WEIGHTS));
        }
    }
    config
}

fn tcp_arrives(lab: &Lab, name: &str, vip: Family) -> Result<()> {
    let target = lab.service(vip, HTTP_PORT);
    let report = http_requests(lab.client(), Load::on(target), REQUESTS)?;
    assert_eq!(report.failures().len(), 0, "{name}: {:?}", report.failures());
    assert_shares(name, &by_backend(lab, &report), &WEIGHTS, TOLERANCE);
    download(lab.client(), target, BYTES)?;
    upload(lab.client(), target, BYTES)?;
    Ok(())
}

fn by_backend(lab: &Lab, report: &HttpReport) -> Vec<usize> {
    let answers = report.answers_by_backend();
    let count = |index| answers.get(&lab.backend_name(index)).copied().unwrap_or(0);
    (0..lab.backends().len()).map(count).collect()
}

fn udp_arrives(lab: &Lab, name: &str, vip: Family) -> Result<()> {
    let target = lab.service(vip, ECHO_PORT);
    let flows = UdpFlows::open(lab.client(), target, FLOWS, Duration::from_millis(100))?.stop()?;
    assert_eq!((flows.lost(), flows.moved().len()), (0, 0), "{name}: {flows:?}");
    let on = |index| flows.on(&lab.backend_name(index)).len();
    let counts: Vec<usize> = (0..lab.backends().len()).map(on).collect();
    assert_shares(name, &counts, &WEIGHTS, TOLERANCE);
    Ok(())
}

/// Every listener and every member forwarded something, and the agent says so.
fn assert_counted(said: &serde_json::Value) {
    for pool in status::pools(said) {
        for member in pool["members"].as_array().into_iter().flatten() {
            assert!(member["packets"].as_u64() > Some(0), "{member}");
        }
    }
    for lb in said["load_balancers"].as_array().into_iter().flatten() {
        for listener in lb["listeners"].as_array().into_iter().flatten() {
            assert!(listener["packets"].as_u64() > Some(0), "{listener}");
        }
    }
}
