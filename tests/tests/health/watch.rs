//! An agent that probes: a pool for each monitor, and what the agent says of its member.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    agent::Agent,
    config::{Config, HealthMonitor, Member, Pool, Protocol},
    lab::Lab,
    status,
    wait::wait_for,
};
use serde_json::Value;

/// How long anything may take that is not measured: machines that run tests are busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);

/// The port of the first listener; each has one of its own, and what is probed is another.
const FIRST_PORT: u16 = 1000;

/// What is probed, and how.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) member: IpAddr,
    pub(crate) protocol: Protocol,
    pub(crate) monitor: HealthMonitor,
}

/// A lab, and an agent that probes in it.
pub(crate) struct Watch {
    // Fields go in this order: the agent detaches while its namespace is there.
    pub(crate) agent: Agent,
    pub(crate) config: Config,
    pub(crate) lab: Lab,
}

impl Watch {
    /// Probes everything at once: there is a load balancer for each family of members.
    pub(crate) fn start(lab: Lab, cases: Vec<Case>) -> Result<Self> {
        let config = cases.into_iter().zip(FIRST_PORT..).fold(Config::new(&lab), |config, next| {
            let (case, port) = next;
            let family = if case.member.is_ipv4() { Family::V4 } else { Family::V6 };
            let mut pool = Pool::of(&lab, &case.name, family, case.protocol, port);
            pool.members = vec![Member {
                address: case.member,
                protocol_port: port,
                weight: 1,
                backup: false,
                max_connection: 0,
            }];
            config.balance(&lab, family, port, pool.watched(case.monitor))
        });
        Self::start_config(lab, config)
    }

    /// Probes the first backend over TCP by these monitors, each named.
    pub(crate) fn start_tcp(lab: Lab, monitors: &[(&str, HealthMonitor)]) -> Result<Self> {
        let member = lab.member_addr(0, Family::V4);
        let case = |(name, monitor): &(&str, HealthMonitor)| Case {
            name: (*name).to_owned(),
            member,
            protocol: Protocol::Tcp,
            monitor: monitor.clone(),
        };
        let cases = monitors.iter().map(case).collect();
        Self::start(lab, cases)
    }

    /// An agent with this configuration.
    pub(crate) fn start_config(lab: Lab, config: Config) -> Result<Self> {
        Ok(Self { agent: Agent::start(&lab, &config)?, config, lab })
    }

    /// Takes the changed configuration over.
    pub(crate) fn reload(&mut self) -> Result<()> {
        self.agent.reload(&self.config)
    }

    /// Waits until the only member of a pool is in `state`; what is said of it then.
    pub(crate) fn wait(&self, pool: &str, state: &str) -> Result<Value> {
        let is_there = |said: &Value| said["operating_status"] == state;
        self.wait_member(pool, state, is_there)
    }

    /// Waits until the only member of a pool is OFFLINE for this reason; what is said of it then.
    pub(crate) fn wait_reason(&self, pool: &str, code: &str) -> Result<Value> {
        let is_it = |said: &Value| {
            said["operating_status"] == "OFFLINE" && said["reason"]["reason_code"] == code
        };
        self.wait_member(pool, code, is_it)
    }

    fn wait_member(
        &self,
        pool: &str,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut last = Value::Null;
        let found = wait_for(&format!("{pool} to be {what}"), LIMIT, || {
            last = self.member(pool)?;
            Ok(wanted(&last).then(|| last.clone()))
        });
        found.with_context(|| format!("the last that was said of it: {last}"))
    }

    /// What is said of the only member of a pool.
    pub(crate) fn member(&self, pool: &str) -> Result<Value> {
        let said = self.agent.status()?;
        let pool = status::pool(&said, pool).with_context(|| format!("no pool {pool}"))?;
        Ok(pool["members"][0].clone())
    }
}

/// A lab with so many backends that speak IPv4.
pub(crate) fn lab(backends: u8) -> Result<Lab> {
    Lab::builder().backends(backends).start()
}
