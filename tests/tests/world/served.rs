//! What labs of the agent's state begin with: three members behind two pools with a monitor each, requests
//! and connections, and agents next to each other.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{HeldConnections, Load, http_requests},
    config::{Config, Forwarding, MonitorKind, Pool, Protocol},
    environment::elb_bin,
    lab::Lab,
    process::{Ended, ended},
    server::Server,
    status,
    wait::{STUCK, wait_for},
    wire::{ECHO_PORT, HTTP_PORT},
};
use serde_json::Value;

pub(crate) const LIMIT: Duration = Duration::from_secs(30);

pub(crate) struct Served {
    // In this order: the agent detaches while its namespace is there.
    pub(crate) agent: Agent,
    pub(crate) servers: Vec<Server>,
    pub(crate) config: Config,
    pub(crate) lab: Lab,
}

impl Served {
    /// Three members, in an IPv4 lab, and an agent that balances HTTP and echoes over them.
    pub(crate) fn start() -> Result<Self> {
        Self::start_with(|_, config| Ok(config))
    }

    /// As [`Served::start`], with what `change` makes of the configuration.
    pub(crate) fn start_with(change: impl FnOnce(&Lab, Config) -> Result<Config>) -> Result<Self> {
        Self::start_under(change, &[])
    }

    /// As [`Served::start_with`], with an agent that these words start.
    pub(crate) fn start_under(
        change: impl FnOnce(&Lab, Config) -> Result<Config>,
        wrapper: &[String],
    ) -> Result<Self> {
        let lab = Lab::builder().backends(3).start()?;
        let servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        let config = change(&lab, config(&lab))?;
        let agent = Agent::start_under(&lab, &config.text()?, &config.agent.socket, wrapper)?;
        let all = |said: &Value| status::all_serve(said);
        agent.wait_status("all members to serve", LIMIT, all)?;
        Ok(Self { agent, servers, config, lab })
    }

    pub(crate) fn held(&self, count: usize) -> Result<HeldConnections> {
        let target = self.lab.service(Family::V4, ECHO_PORT);
        HeldConnections::open(self.lab.client(), target, count, Duration::from_millis(50))
    }

    /// Waits until each held connection got answers that it asked for after now.
    pub(crate) fn go_on(&self, held: &HeldConnections) -> Result<()> {
        let before = held.so_far();
        wait_for("answers on every connection", LIMIT, || {
            Ok(held.so_far().is_beyond(&before, 3).then_some(()))
        })
        .with_context(|| format!("the agent's log:\n{}", self.agent.log()))
    }

    /// So many requests, all of which must be answered; by whom.
    pub(crate) fn request(&self, count: usize) -> Result<Vec<String>> {
        let load = Load::on(self.lab.service(Family::V4, HTTP_PORT));
        let report = http_requests(self.lab.client(), load, count)?;
        assert_eq!(report.failures().len(), 0, "{:?}", report.failures());
        Ok(report.answers_by_backend().into_keys().collect())
    }

    /// How many of so many requests are answered.
    pub(crate) fn answered(&self, count: usize) -> Result<usize> {
        let load = Load {
            timeout: Duration::from_millis(400),
            ..Load::on(self.lab.service(Family::V4, HTTP_PORT))
        };
        Ok(http_requests(self.lab.client(), load, count)?.answered())
    }

    pub(crate) fn member(&self, index: usize) -> IpAddr {
        self.lab.member_addr(index, Family::V4)
    }

    pub(crate) fn numbers(&self) -> PathBuf {
        self.config.agent.state().join("numbers.json")
    }

    /// Waits until nothing is wrong any more.
    pub(crate) fn wait_sound(&self) -> Result<()> {
        let sound = |said: &Value| {
            problems(said).is_empty() && said["load_balancers"][0]["operating_status"] == "ONLINE"
        };
        self.agent.wait_status("no problem any more", LIMIT, sound).map(drop)
    }
}

/// Pools with a monitor each.
pub(crate) fn config(lab: &Lab) -> Config {
    let services = [("web", HTTP_PORT), ("echo", ECHO_PORT)];
    services.into_iter().fold(Config::new(lab), |config, (name, port)| {
        let pool = Pool::of(lab, name, Family::V4, Protocol::Tcp, port);
        config.balance(lab, Family::V4, port, pool.monitored_by(MonitorKind::Tcp))
    })
}

/// A third pool on a port of its own.
pub(crate) fn with_another_pool(lab: &Lab, config: Config, name: &str, port: u16) -> Config {
    let mut pool = Pool::of(lab, name, Family::V4, Protocol::Tcp, port);
    pool.members.iter_mut().for_each(|member| member.protocol_port = port);
    config.balance(lab, Family::V4, port, pool)
}

/// What `elb doctor` says with this file.
pub(crate) fn doctor(lab: &Lab, file: &Path) -> Result<Value> {
    let mut command = lab.lb().command(elb_bin()?);
    command.args(["doctor", "-o", "json", "--config"]).arg(file);
    let ended = ended(command, STUCK)?;
    elb_tests::printed::value(&["doctor"], &ended.printed).with_context(|| format!("{ended:?}"))
}

/// What a check of a report came to.
pub(crate) fn finding<'a>(report: &'a Value, check: &str) -> &'a Value {
    let mut findings = report["findings"].as_array().into_iter().flatten();
    findings.find(|finding| finding["check"] == check).unwrap_or(&Value::Null)
}

/// What is wrong, in one text.
pub(crate) fn problems(said: &Value) -> String {
    let problems = said["agent"]["problems"].as_array().into_iter().flatten();
    problems.filter_map(Value::as_str).collect::<Vec<_>>().join("\n")
}

/// Whether the load balancer says that it is not what it should be.
pub(crate) fn is_degraded(said: &Value) -> bool {
    said["load_balancers"][0]["operating_status"] == "DEGRADED"
}

/// `elb` in the load balancer's namespace, with these words and a configuration of its own.
pub(crate) fn elb(lab: &Lab, words: &[&str], file: &str, text: &str) -> Result<Command> {
    let path = lab.files().join(file);
    fs::write(&path, text)?;
    let mut command = lab.lb().command(elb_bin()?);
    command.args(words).arg("--config").arg(path);
    Ok(command)
}

/// How that ends.
pub(crate) fn run(lab: &Lab, words: &[&str], file: &str, text: &str) -> Result<Ended> {
    ended(elb(lab, words, file, text)?, STUCK)
}

/// What the agent with this socket says of itself, if it does.
pub(crate) fn status_of(lab: &Lab, socket: &Path) -> Result<Option<Value>> {
    let mut command = lab.lb().command(elb_bin()?);
    command.args(["status", "-o", "json", "--socket"]).arg(socket);
    let ended = ended(command, STUCK)?;
    Ok(if ended.code == Some(0) {
        Some(elb_tests::printed::value(&["status"], &ended.printed)?)
    } else {
        None
    })
}
