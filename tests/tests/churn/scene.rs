//! A pool whose members change, another that a listener changes to, and how each change is made.

use std::{
    net::{IpAddr, SocketAddr},
    ops::Range,
    path::PathBuf,
    time::Duration,
};

use anyhow::Result;
use elb_common::names;
use elb_tests::{
    address::Family,
    agent::Agent,
    client::HeldConnection,
    config::{Config, Forwarding, Member, MonitorKind, Pool, Protocol},
    generated::{Play, Segment, Stream},
    lab::Lab,
    server::Server,
    status,
    wait::wait_for,
    wire::ECHO_PORT,
};
use serde_json::Value;

use crate::change::Change;

/// Members that are never removed and never fail: the first backends.
pub(crate) const STEADY: usize = 3;
/// Those after them, to which anything may happen.
pub(crate) const OTHERS: usize = 3;

const POOL: &str = "echo";
/// The pool of steady members that the listener changes to.
const STEADY_POOL: &str = "steady";
const LIMIT: Duration = Duration::from_secs(20);

/// Seconds for which an idle flow is protected. Short, so that slots settle within the minute, and
/// five times as long as the longest time between two packets of a connection.
const IDLE: u32 = 15;
/// Ports of the client that the kernel gives to no connection.
pub(crate) const FREE_PORTS: Range<u16> = 200..10_000;
/// States of members that get no new connections.
const OUT: [&str; 3] = ["OFFLINE", "REMOVED", "DRAINING"];
/// Slots: with so few, most have connections, and many settle nevertheless.
const RING: u32 = 16_381;

/// A lab, its servers, and an agent that serves a pool of some of them.
pub(crate) struct Scene {
    // Fields go in this order: the agent detaches while its namespace is there.
    pub(crate) agent: Agent,
    servers: Vec<Server>,
    config: Config,
    pub(crate) lab: Lab,
}

impl Scene {
    /// Every backend serves; the pool has the steady members only.
    pub(crate) fn start() -> Result<Self> {
        let backends = u8::try_from(STEADY + OTHERS)?;
        let lab = Lab::builder().backends(backends).start()?;
        lab.client().sysctl("ipv4/ip_local_port_range", &format!("{} 65535", FREE_PORTS.end))?;
        let servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        let mut pool = Pool::of(&lab, POOL, Family::V4, Protocol::Tcp, ECHO_PORT)
            .monitored_by(MonitorKind::Tcp);
        pool.members.truncate(STEADY);
        pool.ring_size = Some(RING);
        let steady = Pool { name: STEADY_POOL.to_owned(), ..pool.clone() };
        let mut config = Config::new(&lab).balance(&lab, Family::V4, ECHO_PORT, pool);
        config.pools.push(steady);
        config.listener_mut(POOL).keepalive_timeout = Some(IDLE);
        let agent = Agent::start(&lab, &config)?;
        agent.wait_status("all members to serve", LIMIT, status::all_serve)?;
        Ok(Self { agent, servers, config, lab })
    }

    /// Where connections go.
    pub(crate) fn service(&self) -> SocketAddr {
        self.lab.service(Family::V4, ECHO_PORT)
    }

    /// Generated connections from now on, that open, are established and end: at most so many a second.
    pub(crate) fn crowd(&self, rate: u32) -> Result<Stream> {
        let SocketAddr::V4(target) = self.service() else { unreachable!("it is of IPv4") };
        let segments = vec![Segment::Syn, Segment::Ack, Segment::Fin];
        let play = Play { target, segments, first: 0, rate: Some(rate) };
        Ok(Stream::start(self.lab.lb(), self.link()?, play))
    }

    /// The link that holds the program on the load balancer's only interface.
    fn link(&self) -> Result<PathBuf> {
        let directory = self.config.agent.pin_dir.join(format!("v{}", names::ABI_VERSION));
        Ok(directory.join(format!("link-{}", self.lab.lb().index_of("lb0")?)))
    }

    /// Makes a change. The agent learns of it some time after this returns.
    pub(crate) fn apply(&mut self, change: Change) -> Result<()> {
        match change {
            Change::Add { member, weight } => {
                let address = self.address(member);
                let member = Member {
                    address,
                    protocol_port: ECHO_PORT,
                    weight,
                    backup: false,
                    max_connection: 0,
                };
                self.reload(|members| members.push(member))
            }
            Change::Remove { member } => {
                let address = self.address(member);
                self.reload(|members| members.retain(|one| one.address != address))
            }
            Change::Weigh { member, weight } => {
                let address = self.address(member);
                self.reload(|members| {
                    let found = members.iter_mut().find(|one| one.address == address);
                    found.expect("it is in the pool").weight = weight;
                })
            }
            Change::Drain { member } => self.drain(member, &[]),
            Change::Undrain { member } => self.drain(member, &["--cancel"]),
            Change::Kill { member } => self.servers[member].kill(),
            Change::Restart { member } => self.servers[member].restart(),
            Change::Unplug { member } => self.lab.unplug(member),
            Change::Plug { member } => self.lab.plug(member),
            Change::Switch => {
                let serving = &mut self.config.listener_mut(POOL).default_pool;
                let next = if serving == POOL { STEADY_POOL } else { POOL };
                next.clone_into(serving);
                self.agent.reload(&self.config)
            }
        }
    }

    fn reload(&mut self, change: impl FnOnce(&mut Vec<Member>)) -> Result<()> {
        change(&mut self.config.pool_mut(POOL).members);
        self.agent.reload(&self.config)
    }

    /// The agent may not know the member yet.
    fn drain(&self, member: usize, options: &[&str]) -> Result<()> {
        let address = self.address(member).to_string();
        let arguments = [&["drain", &address, "--pool", POOL], options].concat();
        let what = format!("the agent to take {arguments:?}");
        wait_for(&what, LIMIT, || Ok(self.agent.run(&arguments).ok().map(drop)))
    }

    /// Whether the agent knows that a member is to get no new connections.
    pub(crate) fn is_out(&self, said: &Value, member: usize) -> bool {
        let states = status::of_members(said, self.address(member));
        states.iter().all(|state| OUT.contains(&&**state))
    }

    fn address(&self, member: usize) -> IpAddr {
        self.lab.member_addr(member, Family::V4)
    }

    /// The member that a connection is with.
    pub(crate) fn member_of(&self, connection: &HeldConnection) -> Option<usize> {
        let backend = connection.backend.as_deref()?;
        (0..self.servers.len()).find(|index| self.lab.backend_name(*index) == backend)
    }

    /// How many slots are moving.
    pub(crate) fn moving(&self, said: &Value) -> u64 {
        let pools = status::pools(said).into_iter();
        pools.filter_map(|pool| pool["moving_slots"].as_u64()).sum()
    }
}
