//! What these labs begin with.

use std::time::Duration;

use anyhow::Result;
use elb_tests::{
    address::Family,
    agent::Agent,
    config::{Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    lab::Lab,
    server::Server,
    status,
    wire::{ECHO_PORT, HTTP_PORT},
};

/// How long anything may take that is not measured.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

pub(crate) const WEB: &str = "web";
pub(crate) const ECHO: &str = "echo";

/// Backends that serve, and an agent.
pub(crate) struct Scene {
    // Fields go in this order: the agent detaches while its namespace is there.
    pub(crate) agent: Agent,
    pub(crate) servers: Vec<Server>,
    pub(crate) config: Config,
    pub(crate) lab: Lab,
}

impl Scene {
    /// Two pools, each with health checks, of `backends`.
    pub(crate) fn start(backends: u8) -> Result<Self> {
        Self::start_as(backends, |text| text)
    }

    /// As [`Scene::start`], with another text of the file.
    pub(crate) fn start_as(backends: u8, text: impl FnOnce(String) -> String) -> Result<Self> {
        Self::begin(backends, text, &[])
    }

    /// As [`Scene::start`], with a log for programs.
    pub(crate) fn start_json(backends: u8) -> Result<Self> {
        let wrapper = ["sh", "-c", r#"exec "$@" --log-format json"#, "sh"].map(str::to_owned);
        Self::begin(backends, |text| text, &wrapper)
    }

    fn begin(
        backends: u8,
        text: impl FnOnce(String) -> String,
        wrapper: &[String],
    ) -> Result<Self> {
        let lab = Lab::builder().backends(backends).start()?;
        let servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        let pools = [(WEB, HTTP_PORT), (ECHO, ECHO_PORT)];
        let config = pools.into_iter().fold(Config::new(&lab), |config, (name, port)| {
            let mut pool = Pool::of(&lab, name, Family::V4, Protocol::Tcp, port);
            pool.healthmonitor = Some(HealthMonitor::quick(MonitorKind::Tcp));
            config.balance(&lab, Family::V4, port, pool)
        });
        let (text, socket) = (text(config.text()?), config.agent.socket.clone());
        let agent = Agent::start_under(&lab, &text, &socket, wrapper)?;
        agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
        Ok(Self { agent, servers, config, lab })
    }
}
