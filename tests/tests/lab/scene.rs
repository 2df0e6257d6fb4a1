//! What most labs begin with, and what they look at while traffic goes on.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aya::maps::{Array, Map, MapData};
use elb_common::{
    names,
    ring::{CHUNK, Chunk, Slot},
};
use elb_tests::{
    address::Family,
    agent::Agent,
    client::{HeldConnections, HttpLoad, HttpReport, Load, http_requests},
    config::{Config, Forwarding, Pool, Protocol},
    lab::Lab,
    server::Server,
    status,
    wait::wait_for,
    wire::{ECHO_PORT, HTTP_PORT},
};

/// How long anything may take that is not measured: machines that run tests are busy.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Seconds after which idle flows are over, where a lab waits for it: the least there is.
pub(crate) const SHORT: u32 = 10;

/// The pool behind the port of HTTP.
pub(crate) const WEB: &str = "web";
/// The pool behind the port of echoes.
pub(crate) const ECHO: &str = "echo";

/// Backends that serve, and an agent that balances over all of them.
pub(crate) struct Scene {
    // Fields go in this order: the agent detaches while its namespace is there.
    pub(crate) agent: Agent,
    pub(crate) servers: Vec<Server>,
    pub(crate) config: Config,
    pub(crate) lab: Lab,
}

impl Scene {
    /// An IPv4 lab with `backends`, each in the pools of HTTP and of echoes as `shape` makes them.
    pub(crate) fn start(
        backends: u8,
        mode: Forwarding,
        shape: impl Fn(Pool) -> Pool,
    ) -> Result<Self> {
        Self::start_with(backends, mode, shape, |_| Ok(())).map(|(scene, ())| scene)
    }

    /// As [`Scene::start`], with more in the lab that the agent finds when it starts.
    pub(crate) fn start_with<T>(
        backends: u8,
        mode: Forwarding,
        shape: impl Fn(Pool) -> Pool,
        more: impl FnOnce(&Lab) -> Result<T>,
    ) -> Result<(Self, T)> {
        Self::start_of(backends, mode, |lab| Ok((config(lab, mode, shape), more(lab)?)))
    }

    /// As [`Scene::start`], where idle flows are over soon.
    pub(crate) fn start_short(backends: u8, shape: impl Fn(Pool) -> Pool) -> Result<Self> {
        let mode = Forwarding::Ipip;
        let config = |lab: &Lab| Ok((config(lab, mode, shape).idle_after(SHORT), ()));
        Self::start_of(backends, mode, config).map(|(scene, ())| scene)
    }

    /// A lab with `backends`, the agent with what `make` has made of it, and more.
    pub(crate) fn start_of<T>(
        backends: u8,
        mode: Forwarding,
        make: impl FnOnce(&Lab) -> Result<(Config, T)>,
    ) -> Result<(Self, T)> {
        let lab = Lab::builder().backends(backends).start()?;
        let servers = lab.serve()?;
        lab.backends_up(mode)?;
        let (config, more) = make(&lab)?;
        let agent = Agent::start(&lab, &config)?;
        wait_until_serving(&agent)?;
        Ok((Self { agent, servers, config, lab }, more))
    }

    /// Where HTTP is balanced.
    pub(crate) fn web(&self) -> SocketAddr {
        self.lab.service(Family::V4, HTTP_PORT)
    }

    /// Where echoes are balanced.
    pub(crate) fn echo(&self) -> SocketAddr {
        self.lab.service(Family::V4, ECHO_PORT)
    }

    /// The address of a backend.
    pub(crate) fn member(&self, index: usize) -> IpAddr {
        self.lab.member_addr(index, Family::V4)
    }

    /// So many requests, each on a new connection, from now on.
    pub(crate) fn request(&self, total: usize) -> Result<HttpReport> {
        http_requests(self.lab.client(), Load::on(self.web()), total)
    }

    /// Requests and connections that go on while something happens.
    pub(crate) fn traffic(&self) -> Result<Traffic> {
        let load = Load {
            concurrency: 4,
            pause: Duration::from_millis(4),
            limit: Duration::from_secs(120),
            ..Load::on(self.web())
        };
        let beat = Duration::from_millis(50);
        let traffic = Traffic {
            held: HeldConnections::open(self.lab.client(), self.echo(), 60, beat)?,
            http: HttpLoad::start(self.lab.client(), load),
        };
        traffic.flows_for(100)?;
        Ok(traffic)
    }

    /// Requests and connections, as many as there can be, while something happens.
    pub(crate) fn rush(&self) -> Result<Traffic> {
        let load = Load {
            concurrency: 8,
            pause: Duration::ZERO,
            timeout: Duration::from_secs(10),
            limit: Duration::from_secs(300),
            ..Load::on(self.web())
        };
        let beat = Duration::from_millis(20);
        let traffic = Traffic {
            held: HeldConnections::open(self.lab.client(), self.echo(), 200, beat)?,
            http: HttpLoad::start(self.lab.client(), load),
        };
        traffic.flows_for(100)?;
        Ok(traffic)
    }

    /// New connections to the pool of echoes, all of which go to these backends, and stay.
    pub(crate) fn held_on(&self, backends: &[usize]) -> Result<HeldConnections> {
        const HELD: usize = 40;
        const BEAT: Duration = Duration::from_millis(200);
        let held = HeldConnections::open(self.lab.client(), self.echo(), HELD, BEAT)?;
        let report = held.so_far();
        let on = |index: &usize| report.on(&self.lab.backend_name(*index)).len();
        assert!(backends.iter().all(|index| on(index) > 0), "{backends:?}");
        assert_eq!(backends.iter().map(on).sum::<usize>(), HELD, "{backends:?}");
        Ok(held)
    }

    /// Who owns each slot of the rings, as the packet path reads it.
    pub(crate) fn rings(&self) -> Result<Vec<u16>> {
        self.rings_of(names::ABI_VERSION)
    }

    /// As [`Self::rings`], in the maps of a version.
    pub(crate) fn rings_of(&self, version: u32) -> Result<Vec<u16>> {
        let pools = u32::try_from(self.config.pools.len())?;
        let path = self.config.agent.pin_dir.join(format!("v{version}")).join(names::RINGS);
        let map = MapData::from_pin(&path).with_context(|| format!("{}", path.display()))?;
        let rings: Array<_, Chunk> = Map::Array(map).try_into()?;
        let chunks = pools * RING_SIZE.div_ceil(CHUNK);
        let mut owners = Vec::new();
        for index in 0..chunks {
            owners.extend(rings.get(&index, 0)?.map(|slot| Slot(slot).cur()));
        }
        Ok(owners)
    }
}

/// Slots of a ring that is not given another size.
const RING_SIZE: u32 = 65_537;

/// HTTP and echoes over all backends of an IPv4 lab, in pools as `shape` makes them.
pub(crate) fn config(lab: &Lab, mode: Forwarding, shape: impl Fn(Pool) -> Pool) -> Config {
    let services = [(WEB, HTTP_PORT), (ECHO, ECHO_PORT)];
    services.into_iter().fold(Config::new(lab), |config, (name, port)| {
        let pool = Pool::of(lab, name, Family::V4, Protocol::Tcp, port).forwarding(mode);
        config.balance(lab, Family::V4, port, shape(pool))
    })
}

/// None of these connections breaks, and each is answered again; then they end.
pub(crate) fn all_go_on<'a>(
    all: impl IntoIterator<Item = (&'a str, HeldConnections)>,
) -> Result<()> {
    for (what, held) in all {
        let seen = held.so_far();
        wait_for("three more answers on every connection", LIMIT, || {
            Ok(held.so_far().is_beyond(&seen, 3).then_some(()))
        })?;
        let report = held.stop()?;
        assert_eq!(report.broken().len(), 0, "{what}: {:?}", report.broken());
    }
    Ok(())
}

/// Waits until every member of every pool that has a weight takes new flows.
pub(crate) fn wait_until_serving(agent: &Agent) -> Result<()> {
    agent.wait_status("all members to serve", LIMIT, status::all_serve).map(drop)
}

/// Requests and held connections under way.
pub(crate) struct Traffic {
    http: HttpLoad,
    held: HeldConnections,
}

impl Traffic {
    /// Waits until `count` requests have been answered that began after this was called.
    pub(crate) fn flows_for(&self, count: usize) -> Result<()> {
        let from = Instant::now();
        wait_for("requests to be answered", LIMIT, || {
            Ok((self.http.so_far().since(from).answered() >= count).then_some(()))
        })
    }

    /// Ends it; every request and every connection must have been served throughout.
    pub(crate) fn was_never_disturbed(self) -> Result<HttpReport> {
        let (http, held) = (self.http.stop()?, self.held.stop()?);
        assert_eq!(http.failures().len(), 0, "{:?}", http.failures());
        assert_eq!(held.broken().len(), 0, "{:?}", held.broken());
        Ok(http)
    }
}

/// Whether the share of each backend in all answers is near its part of the weights.
pub(crate) fn assert_shares(name: &str, counts: &[usize], weights: &[u32], tolerance: f64) {
    let total: usize = counts.iter().sum();
    let all: u32 = weights.iter().sum();
    for (index, (count, weight)) in counts.iter().zip(weights).enumerate() {
        let (share, wanted) = (*count as f64 / total as f64, f64::from(*weight) / f64::from(all));
        assert!(
            (share - wanted).abs() < tolerance,
            "{name}: backend {index} got {share:.3} instead of {wanted:.3}: {counts:?}"
        );
    }
}
