//! A client behind a router, two nodes on its segment, and backends behind them.

use std::{
    fs::{self, Permissions},
    net::IpAddr,
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use elb_tests::{
    address::{Family, Host, Network},
    agent::Agent,
    config::{Announce, Config, Forwarding, HealthMonitor, MonitorKind, Pool, Protocol},
    daemon::daemon,
    environment::elb_bin,
    lab::Lab,
    netns::NetNs,
    running::Running,
    server::Server,
    status,
    veth::{End, join},
    wire::{ECHO_PORT, HTTP_PORT},
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::traffic::LIMIT;

pub(crate) const BACKENDS: u8 = 4;
pub(crate) const ECHO: &str = "echo";
const WEB: &str = "web";
const HOSTS: [Host; 2] = [Host::LoadBalancer, Host::Standby];

/// All of it.
pub(crate) struct Edge {
    // Fields go in this order: agents detach while their namespaces are there.
    pub(crate) nodes: Vec<Node>,
    _servers: Vec<Server>,
    pub(crate) config: Config,
    pub(crate) client: NetNs,
    pub(crate) lab: Lab,
}

/// A node: an agent, and what makes routers send packets to it.
pub(crate) struct Node {
    pub(crate) daemons: Vec<Running>,
    pub(crate) agent: Agent,
    pub(crate) netns: NetNs,
    host: Host,
    folder: PathBuf,
}

impl Edge {
    /// Members are probed as `shape` says, and the last backend is none unless `all` are; all serve when this
    /// returns.
    pub(crate) fn start(all: bool, shape: impl Fn(HealthMonitor) -> HealthMonitor) -> Result<Self> {
        let lab = Lab::builder().backends(BACKENDS).two_armed().standby().start()?;
        let servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        let client = connect_client(lab.router())?;
        let mut config = config(&lab, shape);
        if !all {
            for pool in &mut config.pools {
                pool.members.pop();
            }
        }
        let agents = [Agent::start(&lab, &config)?, Agent::start_standby(&lab, &config)?];
        let mut nodes = Vec::new();
        for ((agent, host), netns) in agents.into_iter().zip(HOSTS).zip([lab.lb(), lab.standby()]) {
            agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
            let folder = lab.files().join(format!("{host:?}"));
            fs::create_dir(&folder)?;
            nodes.push(Node { daemons: Vec::new(), agent, netns: netns.clone(), host, folder });
        }
        let edge = Self { nodes, _servers: servers, config, client, lab };
        for index in 0..2 {
            edge.write_elb(index)?;
        }
        Ok(edge)
    }

    /// Both nodes get a configuration; it is in force when this returns.
    pub(crate) fn reload(&mut self, config: &Config) -> Result<()> {
        for index in 0..self.nodes.len() {
            let mut config = config.clone();
            config.agent = self.own(index);
            let agent = &self.nodes[index].agent;
            agent.write(&config.text()?)?;
            agent.run(&["reload", "--wait"])?;
        }
        Ok(())
    }

    /// A power failure: cables are dead, and then everything is killed.
    pub(crate) fn kill(&mut self, index: usize) -> Result<()> {
        let node = &mut self.nodes[index];
        self.lab.set_cables_of(node.host, "down")?;
        node.agent.kill()?;
        node.daemons.iter_mut().try_for_each(|daemon| daemon.signal(Signal::SIGKILL))?;
        node.daemons.clear();
        Ok(())
    }

    /// The address of a node on the router's segment.
    pub(crate) fn address(&self, index: usize) -> IpAddr {
        Network::Front.address(Family::V4, self.nodes[index].host)
    }

    fn own(&self, index: usize) -> elb_tests::config::AgentSection {
        let mut own = self.config.agent.clone();
        if index == 1 {
            own.socket = self.lab.files().join("standby.sock");
            own.pin_dir = self.lab.pins().join("standby");
        }
        own
    }

    /// `elb` as it is called on a node, whose usual files are those of the lab.
    fn write_elb(&self, index: usize) -> Result<()> {
        let (elb, socket) = (elb_bin()?, self.own(index).socket);
        let (elb, socket) = (elb.display(), socket.display());
        let file = self.nodes[index].agent.file().display().to_string();
        let text = format!(
            "#!/bin/sh\n\
             [ \"$1\" != detach ] || exec {elb} detach --config {file}\n\
             exec {elb} \"$@\" --socket {socket}\n"
        );
        self.nodes[index].write_script("elb", &text).map(drop)
    }
}

impl Node {
    /// The path of one of its files.
    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<String> {
        let file = self.folder.join(name);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
        Ok(self.file(name))
    }

    pub(crate) fn write_script(&self, name: &str, text: &str) -> Result<String> {
        let file = self.write(name, text)?;
        fs::set_permissions(&file, Permissions::from_mode(0o755))?;
        Ok(file)
    }

    /// Starts a daemon of the system.
    pub(crate) fn start(&mut self, program: &str, arguments: &[&str]) -> Result<()> {
        let mut command = daemon(&self.netns, program)?;
        command.args(arguments);
        self.daemons.push(Running::start(program, command)?);
        Ok(())
    }

    /// What its daemons have said.
    pub(crate) fn said(&self) -> String {
        let texts = self
            .daemons
            .iter()
            .map(|one| [one.printed(), one.said()].map(Result::unwrap_or_default).concat());
        texts.collect()
    }

    pub(crate) fn problems(&self) -> Result<String> {
        let said: Value = self.agent.status()?;
        Ok(said["agent"]["problems"].to_string())
    }
}

/// The same file for both nodes, but for the places of sockets and pins.
fn config(lab: &Lab, shape: impl Fn(HealthMonitor) -> HealthMonitor) -> Config {
    let pool = |name, port| {
        let pool = Pool::of(lab, name, Family::V4, Protocol::Tcp, port);
        pool.watched(shape(HealthMonitor::patient(MonitorKind::Tcp)))
    };
    let mut config = Config::new(lab)
        .balance(lab, Family::V4, HTTP_PORT, pool(WEB, HTTP_PORT))
        .balance(lab, Family::V4, ECHO_PORT, pool(ECHO, ECHO_PORT))
        .idle_after(10);
    config.load_balancers[0].announce = Announce::None;
    config
}

fn connect_client(router: &NetNs) -> Result<NetNs> {
    let client = NetNs::quiet("far")?;
    let end = |netns: &NetNs, name: &str, last: u8| -> Result<End> {
        Ok(End {
            netns: netns.clone(),
            name: name.to_owned(),
            mac: [2, 0, 0, 0, 0xfa, last],
            mtu: 1500,
            addresses: vec![(format!("198.51.100.{last}").parse()?, 24)],
        })
    };
    join(&end(&client, "eth0", 10)?, &end(router, "far", 1)?)?;
    client.ip("route add default via 198.51.100.1 dev eth0")?;
    Ok(client)
}
