//! Listeners and members that come and go, while connections have ports of source addresses.

use std::time::{Duration, Instant};

use anyhow::Result;
use elb_tests::{
    address::Family,
    agent::Agent,
    client::HeldConnections,
    config::{Config, Forwarding, MonitorKind, Pool, Protocol, SourceAddresses},
    lab::Lab,
    server::Server,
    status,
    wait::wait_for,
    wire::ECHO_PORT,
};

use super::{BEAT, is_source};
use crate::scene::{LIMIT, SHORT, wait_until_serving};

const HELD: usize = 60;
/// Longer than anything is kept for flows that are silent.
const SETTLED: Duration = Duration::from_secs(2 * SHORT as u64 + 2);

struct Scene {
    agent: Agent,
    _servers: Vec<Server>,
    config: Config,
    lab: Lab,
}

impl Scene {
    /// The listener serves the first two backends in the one way, and may serve the last two in the other.
    fn start(first: Forwarding, second: Forwarding, algorithm: &str) -> Result<Self> {
        let lab = Lab::builder().backends(4).start()?;
        lab.lb_forwards()?;
        let servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        let pool = |name| {
            let pool = Pool::of(&lab, name, Family::V4, Protocol::Tcp, ECHO_PORT);
            pool.by(algorithm).monitored_by(MonitorKind::Tcp)
        };
        let (mut one, mut other) =
            (pool("one").forwarding(first), pool("other").forwarding(second));
        one.members.truncate(2);
        other.members.drain(..2);
        let mut config = Config::new(&lab).balance(&lab, Family::V4, ECHO_PORT, one);
        config.listener_mut("one").name = "echo".to_owned();
        config.pools.push(other);
        config.snat = Some(SourceAddresses::of_backends());
        let config = config.idle_after(SHORT);
        let agent = Agent::start(&lab, &config)?;
        wait_until_serving(&agent)?;
        Ok(Self { agent, _servers: servers, config, lab })
    }

    /// New connections, all of these backends, which see them come from where they are to.
    fn open_on(&self, backends: &[usize], hides_clients: bool) -> Result<HeldConnections> {
        let target = self.lab.service(Family::V4, ECHO_PORT);
        let held = HeldConnections::open(self.lab.client(), target, HELD, BEAT)?;
        let report = held.so_far();
        let on = |index: &usize| report.on(&self.lab.backend_name(*index)).len();
        assert_eq!(backends.iter().map(on).sum::<usize>(), HELD, "{backends:?}");
        for index in backends {
            let port = format!("sport = :{ECHO_PORT}");
            let said = self.lab.backend(*index).command("ss");
            let said = { said }.args(["-Htn", "state", "established", &port]).output()?;
            for line in String::from_utf8(said.stdout)?.lines() {
                let peer = line.split_whitespace().last().unwrap_or_default();
                let address = peer.rsplit_once(':').map_or(peer, |(address, _)| address);
                assert_eq!(is_source(address), hides_clients, "{line}");
            }
        }
        Ok(held)
    }

    fn switch(&mut self, pool: &str) -> Result<()> {
        self.config.listener_mut("echo").default_pool = pool.to_owned();
        self.agent.reload(&self.config)?;
        let serves = |said: &_| {
            status::listener(said, "echo").is_some_and(|listener| listener["default_pool"] == pool)
        };
        self.agent.wait_status("the other pool to serve", LIMIT, serves).map(drop)
    }
}

/// All connections are answered for so long, and none breaks.
fn go_on_for(time: Duration, what: &str, all: &[HeldConnections]) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < time {
        for held in all {
            let before = held.so_far();
            wait_for(&format!("answers on every connection {what}"), LIMIT, || {
                assert!(held.first_broken().is_none(), "{what}: {:?}", held.first_broken());
                Ok(held.so_far().is_beyond(&before, 2).then_some(()))
            })?;
        }
    }
    Ok(())
}

fn end(all: Vec<HeldConnections>) -> Result<()> {
    for held in all {
        assert_eq!(held.stop()?.broken().len(), 0);
    }
    Ok(())
}

/// Each connection goes on in the way that its member is reached by, whatever the listener serves since.
fn there_and_back(first: Forwarding, second: Forwarding, algorithm: &str) -> Result<()> {
    let mut scene = Scene::start(first, second, algorithm)?;
    let [hides_first, hides_second] = [first, second].map(|one| one == Forwarding::FullNat);
    let mut held = vec![scene.open_on(&[0, 1], hides_first)?];
    scene.switch("other")?;
    held.push(scene.open_on(&[2, 3], hides_second)?);
    go_on_for(SETTLED, "after the move", &held)?;
    scene.switch("one")?;
    held.push(scene.open_on(&[0, 1], hides_first)?);
    go_on_for(SETTLED, "after the way back", &held)?;
    end(held)?;
    assert_eq!(status::drops(&scene.agent.status()?), Vec::<String>::new());
    Ok(())
}

#[test]
fn a_listener_moves_from_tunnels_to_source_addresses_and_back() -> Result<()> {
    there_and_back(Forwarding::Ipip, Forwarding::FullNat, "5_TUPLE_HASH")
}

#[test]
fn a_listener_moves_from_source_addresses_to_tunnels_and_back_by_turns() -> Result<()> {
    there_and_back(Forwarding::FullNat, Forwarding::Ipip, "ROUND_ROBIN")
}

#[test]
fn a_listener_moves_between_pools_of_source_addresses() -> Result<()> {
    there_and_back(Forwarding::FullNat, Forwarding::FullNat, "5_TUPLE_HASH")
}

/// A member that was removed has its number as long as a port is its connection's, so that no other gets that.
#[test]
fn connections_of_a_removed_member_go_on_when_others_come() -> Result<()> {
    let mut scene = Scene::start(Forwarding::FullNat, Forwarding::FullNat, "5_TUPLE_HASH")?;
    let held = vec![scene.open_on(&[0, 1], true)?];
    let removed = scene.config.pool_mut("one").members.remove(0);
    scene.agent.reload(&scene.config)?;
    go_on_for(SETTLED, "after the member was removed", &held)?;
    // The lowest number that is free goes to the next.
    let late = scene.config.pool_mut("other").members.remove(0);
    scene.agent.reload(&scene.config)?;
    scene.config.pool_mut("one").members.insert(0, late);
    scene.agent.reload(&scene.config)?;
    wait_until_serving(&scene.agent)?;
    go_on_for(SETTLED, "after another came", &held)?;
    scene.config.pool_mut("one").members.insert(0, removed);
    scene.agent.reload(&scene.config)?;
    wait_until_serving(&scene.agent)?;
    go_on_for(BEAT, "after it came back", &held)?;
    end(held)
}
