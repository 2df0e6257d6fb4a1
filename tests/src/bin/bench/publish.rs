//! What it takes to publish that one member of a pool changed: into the kernel's own maps.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context as _, Result};
use elb_common::addr::Mac;
use elb_tests::host::PinDir;
use elb_userspace::control::assign::{Assignments, IdSpace};
use elb_userspace::control::network::{Link, Network, NextHop, Route};
use elb_userspace::control::plan::{Image, MapStore as _, plan};
use elb_userspace::control::reconcile::{EncapSource, ReconcileInput, Reconciler};
use elb_userspace::control::ring::identity;
use elb_userspace::control::ring::maglev::{self, RingMember};
use elb_userspace::kernel::bpf::{Capacity, LoadedObject, Maps, coarse_seconds};
use elb_userspace::model::{Member, Model, Pool};
use elb_userspace::source::file;

use crate::cpu;
use crate::effort::Effort;
use crate::report::{Bar, Figure, Row, Section};
use crate::trials::Trials;

const SIZES: [u32; 2] = [65_537, 655_373];
const MEMBERS: [u32; 4] = [10, 100, 1_000, 10_000];
/// Milliseconds for the change of one member, the building of the ring apart.
const BAR: f64 = 1.0;

pub fn section(effort: Effort) -> Result<Section> {
    let mut rows = Vec::new();
    for size in SIZES {
        for members in MEMBERS {
            rows.push(cpu::alone(|| row(members, size, effort.of(7, 21)))?);
        }
    }
    let notes = vec![
        "Medians, in milliseconds of CPU time. A member fails, or recovers: `reconcile` finds out \
         what the maps must hold, `plan` which writes that takes, `write` carries them out; `all` is \
         these three. `build`: the new ring, which `reconcile` builds as well, built by itself just \
         before and taken off."
            .to_owned(),
    ];
    Ok(Section { name: "publish", rows, notes })
}

fn row(members: u32, size: u32, changes: u32) -> Result<Row> {
    let mut agent = Agent::new(members, size)?;
    agent.publish()?;
    let mut parts = Vec::new();
    for change in 0..changes {
        let member = address(change * members / changes);
        for failed in [Some(member), None] {
            agent.world.failed = failed;
            parts.push(agent.publish()?);
        }
    }
    let median = |part: fn(&Parts) -> f64| parts.iter().map(part).collect::<Trials>().median();
    let all: Trials =
        parts.iter().map(|parts| parts.reconcile + parts.plan + parts.write).collect();
    let figures = vec![
        Figure::new("build", 2, median(|parts| parts.build)),
        Figure::new("reconcile", 2, median(|parts| parts.reconcile)),
        Figure::new("plan", 2, median(|parts| parts.plan)),
        Figure::new("write", 2, median(|parts| parts.write)),
        Figure::new("all", 2, all.median()),
        Figure::new("spread", 0, all.spread() * 100.0),
        Figure::new("writes", 0, median(|parts| parts.writes)),
    ];
    let is_judged = (members, size) == (1_000, 65_537);
    let bars = is_judged.then(|| Bar::at_most(all.median(), BAR, "ms"));
    Ok(Row {
        case: format!("{members} members, {size} slots"),
        figures,
        bars: Vec::from_iter(bars),
    })
}

/// Milliseconds of each part, and the number of writes.
#[derive(Clone, Copy, Debug)]
struct Parts {
    build: f64,
    /// Without the building of the ring.
    reconcile: f64,
    plan: f64,
    write: f64,
    writes: f64,
}

/// What the agent consists of, without its tasks.
struct Agent {
    model: Model,
    /// Slots of the ring.
    size: u32,
    world: World,
    reconciler: Reconciler,
    observed: Image,
    maps: Maps,
    _object: LoadedObject,
    _pins: PinDir,
}

impl Agent {
    fn new(members: u32, size: u32) -> Result<Self> {
        let chunks = size.div_ceil(16);
        let backends = members + 2;
        let capacity =
            Capacity { chunks, flows: 1024, backends, listeners: 16, clients: 1, bindings: 1 };
        let pins = PinDir::create()?;
        let mut object = LoadedObject::load(pins.path(), capacity)?;
        let maps = Maps::new(&mut object, capacity)?;
        let room = IdSpace { listeners: 16, pools: 16, backends, slots: chunks * 16 };
        let (numbers, owners) = (Assignments::default(), BTreeMap::new());
        Ok(Self {
            model: model(members, size)?,
            size,
            world: World::new(members),
            reconciler: Reconciler::new(numbers, owners, room, EncapSource::default()),
            observed: Image::default(),
            maps,
            _object: object,
            _pins: pins,
        })
    }

    /// Brings the maps in step with the world.
    fn publish(&mut self) -> Result<Parts> {
        let ring = self.ring();
        let (_, build) = cpu::time(|| Ok(maglev::build(&ring, self.size)))?;
        let (desired, reconcile) =
            cpu::time(|| Ok(self.reconciler.reconcile(&self.model, &self.world)))?;
        let (commands, plan) =
            cpu::time(|| Ok(plan(&self.observed, &desired.image, desired.rings, desired.freed)))?;
        let ((), write) = cpu::time(|| {
            commands.iter().try_for_each(|command| Ok(self.maps.execute(command)?))
        })?;
        self.observed = desired.image;
        let [build, reconcile, plan, write] =
            [build, reconcile, plan, write].map(|took| took.as_secs_f64() * 1e3);
        Ok(Parts {
            build,
            reconcile: reconcile - build,
            plan,
            write,
            writes: commands.len() as f64,
        })
    }

    /// Who is on the ring.
    fn ring(&self) -> Vec<RingMember> {
        let pool = &self.model.pools()[0];
        let serves = pool.members.iter().filter(|member| self.world.serves(pool, member));
        let identity = |member: &Member| identity(member.address, member.protocol_port);
        serves.map(|member| RingMember { identity: identity(member), weight: 1 }).collect()
    }
}

/// One interface, all members its neighbours, and one member that may have failed.
struct World {
    network: Network,
    failed: Option<IpAddr>,
}

const IFINDEX: u32 = 1;
const MAC: Mac = Mac::new([2, 0, 0, 0, 0, 1]);

impl World {
    fn new(members: u32) -> Self {
        let mut network = Network::default();
        network.links.insert(IFINDEX, Link { name: "eth0".to_owned(), mac: Some(MAC), mtu: 1500 });
        for address in (0..members).map(address) {
            let source = Some(Ipv4Addr::new(10, 255, 0, 1).into());
            let route = Route::Via { ifindex: IFINDEX, gateway: None, source, mtu: None };
            network.routes.insert(address, route);
            network.neighbors.insert((IFINDEX, address), MAC);
        }
        Self { network, failed: None }
    }
}

impl ReconcileInput for World {
    fn serves(&self, _: &Pool, member: &Member) -> bool {
        self.failed != Some(member.address)
    }

    fn next_hop(&self, address: IpAddr) -> Option<NextHop> {
        self.network.next_hop(address).ok()
    }

    fn interfaces(&self) -> BTreeMap<u32, Mac> {
        [(IFINDEX, MAC)].into()
    }

    fn now(&self) -> u32 {
        coarse_seconds()
    }
}

fn address(member: u32) -> IpAddr {
    Ipv4Addr::from_bits(Ipv4Addr::new(10, 0, 0, 1).to_bits() + member).into()
}

fn model(members: u32, size: u32) -> Result<Model> {
    let mut text = format!(
        "[agent]\ninterfaces = [\"eth0\"]\nmax_backends = 20000\n\
         [[load_balancer]]\nname = \"lb\"\nvip_address = \"192.0.2.10\"\n\
         [[load_balancer.listener]]\nname = \"web\"\nprotocol = \"TCP\"\n\
         protocol_port = 80\ndefault_pool = \"web\"\n\
         [[pool]]\nname = \"web\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\n\
         ring_size = {size}\n"
    );
    for member in (0..members).map(address) {
        writeln!(text, "[[pool.member]]\naddress = \"{member}\"\nprotocol_port = 80")?;
    }
    let config = file::parse("bench", &text);
    Ok(config.map_err(|errors| anyhow::anyhow!("{errors}")).context("the model")?.model)
}
