//! What the kernel knows of routes, neighbours and paths is followed, also after notifications were lost.

mod lost;
mod narrow;
mod neighbors;
mod storm;
mod waiting;

use std::{net::IpAddr, time::Duration};

use anyhow::Result;
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{HttpReport, Load, http_requests},
    config::{Config, Member, Pool, Protocol},
    lab::Lab,
    status,
    wait::STUCK,
    wire::HTTP_PORT,
};

/// A pool of one member at an address that no backend has by itself.
fn pool_of(lab: &Lab, name: &str, members: &[IpAddr], port: u16) -> Pool {
    let member = |address: &IpAddr| Member {
        address: *address,
        protocol_port: port,
        weight: 1,
        backup: false,
        max_connection: 0,
    };
    let members = members.iter().map(member).collect();
    Pool { members, ..Pool::of(lab, name, Family::V4, Protocol::Tcp, port) }
}

/// HTTP over a pool.
fn web(lab: &Lab, pool: Pool) -> Config {
    Config::new(lab).balance(lab, Family::V4, HTTP_PORT, pool)
}

/// Starts an agent; all members serve when this returns.
fn start(lab: &Lab, config: &Config) -> Result<Agent> {
    let agent = Agent::start(lab, config)?;
    agent.wait_status("all members to serve", STUCK, status::all_serve)?;
    Ok(agent)
}

/// So many requests to a port of the load-balanced address; each may take a second.
fn requests(lab: &Lab, family: Family, port: u16, total: usize) -> Result<HttpReport> {
    let load = Load { timeout: Duration::from_secs(1), ..Load::on(lab.service(family, port)) };
    http_requests(lab.client(), load, total)
}

/// Whether so many requests are all answered, each by this backend.
fn answers_by(lab: &Lab, port: u16, backend: &str) -> Result<bool> {
    let report = requests(lab, Family::V4, port, 8)?;
    Ok(report.answers_by_backend() == [(backend.to_owned(), 8)].into())
}

/// Problems that the agent names.
fn problems(agent: &Agent) -> Result<String> {
    Ok(agent.status()?["agent"]["problems"].to_string())
}
