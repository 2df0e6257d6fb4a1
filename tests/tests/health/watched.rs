//! A lab whose members are watched by the real agent, and what decides their health.

use std::{net::IpAddr, time::Duration};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    agent::Agent,
    config::{Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    lab::Lab,
    script::Script,
    server::Server,
    status,
    wire::HTTP_PORT,
};
use serde_json::Value;

/// How long anything may take that is not measured: machines that run tests are busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(40);
/// The pool.
pub(crate) const WEB: &str = "web";
/// Where the members' health is asked for, whatever they serve.
pub(crate) const HEALTH: u16 = 8080;

/// Backends that serve, an agent that balances over them, and a script for each that its health
/// checks follow.
pub(crate) struct Watched {
    // Fields go in this order: the agent detaches while its namespace is there.
    pub(crate) agent: Agent,
    pub(crate) scripts: Vec<Script>,
    pub(crate) config: Config,
    pub(crate) lab: Lab,
    _servers: Vec<Server>,
}

impl Watched {
    /// A lab with `backends`, asked as `monitor` says for their health, which is good at first.
    pub(crate) fn start(backends: u8, monitor: HealthMonitor) -> Result<Self> {
        Self::start_of(backends, monitor, |_, config| config)
    }

    /// As [`Watched::start`], with another configuration.
    pub(crate) fn start_of(
        backends: u8,
        monitor: HealthMonitor,
        change: impl FnOnce(&Lab, Config) -> Config,
    ) -> Result<Self> {
        let lab = Lab::builder().backends(backends).start()?;
        let servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        let script = |netns| Script::start(netns, HEALTH);
        let scripts = lab.backends().iter().map(script).collect::<Result<_>>()?;
        let mut pool = Pool::of(&lab, WEB, Family::V4, Protocol::Tcp, HTTP_PORT);
        pool.healthmonitor = Some(monitor);
        let config = Config::new(&lab).balance(&lab, Family::V4, HTTP_PORT, pool);
        let config = change(&lab, config);
        let agent = Agent::start(&lab, &config)?;
        Ok(Self { agent, scripts, config, lab, _servers: servers })
    }

    /// The address of a member.
    pub(crate) fn address(&self, index: usize) -> IpAddr {
        self.lab.member_addr(index, Family::V4)
    }

    /// Waits until a member is in `state`.
    pub(crate) fn wait(&self, index: usize, state: &str) -> Result<()> {
        self.agent.wait_members(&[self.address(index)], state, LIMIT)
    }

    /// All that the status says of a member.
    pub(crate) fn member(&self, index: usize) -> Result<Value> {
        member(&self.agent.status()?, self.address(index))
    }

    /// Waits until a member was probed so many more times; all that the status says of it then.
    pub(crate) fn probed(&self, index: usize, more: u64) -> Result<Value> {
        let address = self.address(index);
        let target = probes(&self.member(index)?) + more;
        let is_shown = |said: &Value| member(said, address).is_ok_and(|one| probes(&one) >= target);
        member(&self.agent.wait_status("more probes", LIMIT, is_shown)?, address)
    }
}

/// What the status says of a member of the pool.
pub(crate) fn member(said: &Value, address: IpAddr) -> Result<Value> {
    let found = status::member(said, WEB, address).cloned();
    found.with_context(|| format!("no member {address} in {said}"))
}

/// How many probes of a member are over.
pub(crate) fn probes(member: &Value) -> u64 {
    let count = |name: &str| member["health"][name].as_u64().unwrap_or(0);
    count("probes_ok") + count("probes_failed")
}

/// The results of the probes that are remembered, the oldest first.
pub(crate) fn results(member: &Value) -> Vec<String> {
    let probes = member["health"]["probes"].as_array().into_iter().flatten();
    probes.filter_map(|probe| Some(probe["result"].as_str()?.to_owned())).collect()
}

/// HTTP every second on the port of [`HEALTH`], with these thresholds; at the members' own addresses,
/// since a failure at a virtual one is followed by a second request, which scripts would answer too.
pub(crate) fn every_second(max_retries: u32, max_retries_down: u32) -> HealthMonitor {
    let quick = HealthMonitor::quick(MonitorKind::Http).direct();
    HealthMonitor { monitor_port: Some(HEALTH), max_retries, max_retries_down, ..quick }
}
