//! A flood of opening segments while the ring moves: connections that exist do not notice, and new
//! ones are served.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddrV4},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, Result};
use aya::maps::{HashMap, Map, MapData};
use elb_common::{flow::Flow, names};
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{HeldConnections, Load, http_requests},
    config::{Config, Forwarding, Pool, Protocol},
    flood::Flood,
    lab::Lab,
    record::Record,
    server::Server,
    status,
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT},
};

use crate::scene::{ECHO, LIMIT, WEB, wait_until_serving};

/// Records of the flow table: small, so that a million clients are many times as many.
const MAX_FLOWS: u32 = 1 << 16;
/// Connections of each kind: those with many packets, and those that are idle most of the time.
const CONNECTIONS: usize = 60;
const BUSY: Duration = Duration::from_millis(50);
const QUIET: Duration = Duration::from_secs(5);

/// Two backends, and a third that takes slots of theirs once it is in the pools.
struct Growing {
    // Fields go in this order: the agent detaches while its namespace is there.
    agent: Agent,
    _servers: Vec<Server>,
    config: Config,
    lab: Lab,
}

impl Growing {
    fn start() -> Result<Self> {
        let lab = Lab::builder().backends(3).start()?;
        let servers = lab.serve()?;
        lab.backends_up(Forwarding::Ipip)?;
        let mut config = Config::new(&lab);
        config.agent.max_flows = Some(MAX_FLOWS);
        for (name, port) in [(WEB, HTTP_PORT), (ECHO, ECHO_PORT)] {
            let mut pool = Pool::of(&lab, name, Family::V4, Protocol::Tcp, port);
            pool.members.truncate(2);
            config = config.balance(&lab, Family::V4, port, pool);
        }
        let agent = Agent::start(&lab, &config)?;
        wait_until_serving(&agent)?;
        Ok(Self { agent, _servers: servers, config, lab })
    }

    /// Adds the third backend.
    fn grow(&mut self) -> Result<()> {
        let address = self.lab.member_addr(2, Family::V4);
        for (name, port) in [(WEB, HTTP_PORT), (ECHO, ECHO_PORT)] {
            let all = Pool::of(&self.lab, name, Family::V4, Protocol::Tcp, port).members;
            self.config.pool_mut(name).members = all;
        }
        self.agent.reload(&self.config)?;
        let serves = |said: &_| {
            [WEB, ECHO].iter().all(|name| status::slots(said, name).get(&address) > Some(&0))
        };
        self.agent.wait_status("the third backend to serve", LIMIT, serves).map(drop)
    }

    fn hold(&self, beat: Duration) -> Result<HeldConnections> {
        let target = self.lab.service(Family::V4, ECHO_PORT);
        HeldConnections::open(self.lab.client(), target, CONNECTIONS, beat)
    }

    fn pin(&self, name: &str) -> PathBuf {
        self.config.agent.pin_dir.join(format!("v{}", names::ABI_VERSION)).join(name)
    }

    /// Flows of the lab's client that are recorded: their keys.
    fn recorded(&self) -> Result<BTreeSet<[u8; 16]>> {
        let path = self.pin(names::FLOWS_V4);
        let map = MapData::from_pin(&path).with_context(|| format!("{}", path.display()))?;
        let flows: HashMap<_, Record<[u64; 2]>, Record<Flow>> = Map::LruHashMap(map).try_into()?;
        let IpAddr::V4(client) = self.lab.client_addr(Family::V4) else { unreachable!() };
        let keys = flows.keys().map(|key| key.map(|key| bytemuck::cast::<_, [u8; 16]>(key.0)));
        let keys = keys.collect::<Result<Vec<_>, _>>()?;
        Ok(keys.into_iter().filter(|key| key[..4] == client.octets()).collect())
    }

    /// Opening segments of so many clients, to the port of echoes.
    fn flood(&self, segments: u32) -> Result<()> {
        let IpAddr::V4(vip) = self.lab.vip4() else { unreachable!() };
        let index = self.lab.lb().run(|| nix::net::if_::if_nametoindex("lb0"))??;
        let link = self.pin(&format!("link-{index}"));
        let target = SocketAddrV4::new(vip, ECHO_PORT);
        let flooded = self
            .lab
            .lb()
            .run(|| Flood::at_link(&link)?.run(target, segments, Duration::ZERO))??;
        println!("{flooded:?}");
        Ok(())
    }
}

#[test]
fn a_million_clients_flush_no_connection() -> Result<()> {
    let mut growing = Growing::start()?;
    let older = growing.hold(BUSY)?;
    growing.grow()?;
    let busy = growing.hold(BUSY)?;
    let quiet = growing.hold(QUIET)?;
    let recorded = growing.recorded()?;
    assert!(recorded.len() > CONNECTIONS / 3, "{} flows are recorded", recorded.len());

    growing.flood(1 << 20)?;
    let flushed = recorded.difference(&growing.recorded()?).count();
    println!("{flushed} of {} recorded connections are flushed", recorded.len());
    assert_eq!(flushed, 0);
    for held in [&older, &busy, &quiet] {
        let before = held.so_far();
        wait_for("answers on every connection", LIMIT, || {
            Ok(held.so_far().is_beyond(&before, 1).then_some(()))
        })?;
    }
    // The flood goes on, in a sense: this second's budget is used up.
    growing.flood(1 << 16)?;
    let target = growing.lab.service(Family::V4, HTTP_PORT);
    let report = http_requests(growing.lab.client(), Load::on(target), 100)?;
    assert_eq!(report.answered(), 100, "{:?}", report.failures());
    for held in [older, busy, quiet] {
        let report = held.stop()?;
        assert_eq!(report.broken().len(), 0, "{:?}", report.broken());
    }
    let said = growing.agent.status()?;
    assert_eq!(status::drops(&said), Vec::<String>::new());
    Ok(())
}
