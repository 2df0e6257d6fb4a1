//! Connections that are held while the pool around them changes.

use std::{net::IpAddr, time::Duration};

use anyhow::Result;
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{HeldConnections, HeldReport},
    config::{Config, Forwarding, Member, MonitorKind, Pool, Protocol},
    lab::Lab,
    server::Server,
    status,
    wait::wait_for,
    wire::ECHO_PORT,
};

use crate::scene::{ECHO, LIMIT};

const CONNECTIONS: usize = 1_000;
/// Connections that show where new ones go.
const NEW: usize = 100;
const BEAT: Duration = Duration::from_millis(400);

/// Backends that have connections from the beginning.
const FIRST: usize = 3;
/// The backend that comes, fails, recovers and goes.
const LATE: usize = 3;
/// The backend that leaves while it has connections.
const LEAVES: usize = 2;

/// A pool whose members change, and the connections that must not notice.
struct Pooled {
    // Fields go in this order: the agent detaches while its namespace is there.
    agent: Agent,
    servers: Vec<Server>,
    config: Config,
    lab: Lab,
}

impl Pooled {
    fn start() -> Result<Self> {
        let lab = Lab::builder().backends(4).start()?;
        let servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        let mut pool = Pool::of(&lab, ECHO, Family::V4, Protocol::Tcp, ECHO_PORT)
            .monitored_by(MonitorKind::Tcp);
        pool.members.truncate(FIRST);
        let config = Config::new(&lab).balance(&lab, Family::V4, ECHO_PORT, pool);
        let agent = Agent::start(&lab, &config)?;
        let pooled = Self { agent, servers, config, lab };
        pooled.wait_serving(&[0, 1, 2])?;
        Ok(pooled)
    }

    fn address(&self, index: usize) -> IpAddr {
        self.lab.member_addr(index, Family::V4)
    }

    fn open(&self, count: usize) -> Result<HeldConnections> {
        HeldConnections::open(
            self.lab.client(),
            self.lab.service(Family::V4, ECHO_PORT),
            count,
            BEAT,
        )
    }

    /// On which backends new connections are, how many on each.
    fn new_connections(&self) -> Result<Vec<usize>> {
        let report = self.open(NEW)?.stop()?;
        assert_eq!(report.broken().len(), 0, "{:?}", report.broken());
        Ok((0..self.lab.backends().len()).map(|index| self.on(&report, index)).collect())
    }

    fn on(&self, report: &HeldReport, index: usize) -> usize {
        report.on(&self.lab.backend_name(index)).len()
    }

    fn change(&mut self, change: impl FnOnce(&mut Vec<Member>)) -> Result<()> {
        change(&mut self.config.pool_mut(ECHO).members);
        self.agent.reload(&self.config)
    }

    /// Waits until exactly these backends take new connections.
    fn wait_serving(&self, wanted: &[usize]) -> Result<()> {
        let wanted: Vec<IpAddr> = wanted.iter().map(|index| self.address(*index)).collect();
        let what = format!("new connections to go to {wanted:?}");
        let serve = |said: &_| {
            let slots = status::slots(said, ECHO);
            let owners = slots.iter().filter(|(_, slots)| **slots > 0).map(|(owner, _)| owner);
            owners.eq(&wanted)
        };
        self.agent.wait_status(&what, LIMIT, serve).map(drop)
    }
}

#[test]
fn a_thousand_connections_outlive_every_change_of_other_members() -> Result<()> {
    let mut pooled = Pooled::start()?;
    let held = pooled.open(CONNECTIONS)?;

    let late = Member {
        address: pooled.address(LATE),
        protocol_port: ECHO_PORT,
        weight: 2,
        backup: false,
        max_connection: 0,
    };
    pooled.change(|members| members.push(late))?;
    pooled.wait_serving(&[0, 1, 2, LATE])?;
    assert!(pooled.new_connections()?[LATE] > 0, "nothing reaches the new member");

    let before = status::slots(&pooled.agent.status()?, ECHO)[&pooled.address(0)];
    pooled.change(|members| members[0].weight = 3)?;
    let grown = |said: &_| status::slots(said, ECHO).values().next() > Some(&before);
    pooled.agent.wait_status("a greater share for the greater weight", LIMIT, grown)?;

    pooled.servers[LATE].kill()?;
    pooled.wait_serving(&[0, 1, 2])?;
    assert_eq!(pooled.new_connections()?[LATE], 0);
    pooled.servers[LATE].restart()?;
    pooled.wait_serving(&[0, 1, 2, LATE])?;
    assert!(pooled.new_connections()?[LATE] > 0, "nothing reaches the recovered member");

    let leaves = pooled.address(LEAVES);
    pooled.change(|members| members.retain(|member| member.address != leaves))?;
    pooled.wait_serving(&[0, 1, LATE])?;
    assert_eq!(pooled.new_connections()?[LEAVES], 0);
    pooled.change(|members| members.truncate(2))?;
    pooled.wait_serving(&[0, 1])?;

    let before = held.so_far();
    wait_for("one more answer on every connection", LIMIT, || {
        Ok(held.so_far().is_beyond(&before, 1).then_some(()))
    })?;
    let report = held.stop()?;
    assert_eq!(report.broken().len(), 0, "{:?}", report.broken());
    for index in 0..FIRST {
        // A third each, in a ring of equal weights.
        let on = pooled.on(&report, index);
        assert!((230..440).contains(&on), "{on} on backend {index}");
    }
    assert_eq!(status::drops(&pooled.agent.status()?), Vec::<String>::new());
    Ok(())
}

#[test]
fn a_member_that_falls_silent_takes_only_its_own_connections_with_it() -> Result<()> {
    let pooled = Pooled::start()?;
    let held = pooled.open(150)?;

    pooled.lab.unplug(1)?;
    pooled.wait_serving(&[0, 2])?;
    let new = pooled.new_connections()?;
    assert_eq!((new[0] + new[2], new[1]), (NEW, 0));
    pooled.lab.plug(1)?;
    pooled.wait_serving(&[0, 1, 2])?;
    assert!(pooled.new_connections()?[1] > 0, "nothing reaches the recovered member");

    let report = held.stop()?;
    for index in [0, 2] {
        let name = pooled.lab.backend_name(index);
        assert!(!report.on(&name).is_empty());
        assert!(report.on(&name).iter().all(|one| one.failure.is_none()), "{report:?}");
    }
    Ok(())
}
