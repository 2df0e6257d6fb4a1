//! The agent's rules without its tasks: what pools and listeners are to be, carried out where packets meet
//! it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use elb_common::addr::Mac;
use elb_common::client_hop::{ClientHop, hop_kind};
use elb_userspace::control::assign::IdSpace;
use elb_userspace::control::network::NextHop;
use elb_userspace::control::network::client_hops::ClientHops;
use elb_userspace::control::plan::{Command, Image, Region, plan};
use elb_userspace::control::reconcile::{EncapSource, ReconcileInput, Reconciler, SweepFindings};
use elb_userspace::control::ring::region::States;
use elb_userspace::model::persistence::{ClientBits, ClientBitsV6, PersistenceTimeout};
use elb_userspace::model::{
    self, Announce, DrainTimeout, FlowsOnUnhealthy, HoldTime, IdleTimeout, Limit, LoadBalancer,
    MemberCount, MinimumHealthy, Model, Name, NoMember, Protocol, ResourceId, RingSize, RiseTime,
    SessionPersistence, SnatPrefixes, Weight,
};

use crate::packet::{Ends, MEMBER_PORT, OUR_MAC, PORTS, ROUTER_MAC, VIP, answer, frame};
use crate::script::{CLIENT_BITS, Member, Packet, Pool, REMEMBERED_FOR, Wanted, pool_of};

/// Room for few numbers, so that they are used again soon.
pub const ROOM: IdSpace = IdSpace { listeners: 4, pools: 8, backends: 24, slots: 131_072 };
/// Interface that packets come and leave by.
pub const INTERFACE: u32 = 1;
/// Seconds for which records of closed connections are kept.
pub const CLOSED_FOR: u32 = 10;

/// Maps, and a program that reads them.
pub trait Datapath {
    /// Milliseconds of a clock that never goes back.
    fn clock(&self) -> u64;
    /// Lets time pass.
    fn pass(&mut self, milliseconds: u32);
    /// Forgets all flows; there is room for so many records.
    fn begin(&mut self, room: u32);
    fn execute(&mut self, command: &Command);
    /// Sweeps the flow tables: what was found, and when, by the clock of the rings.
    fn sweep(&mut self) -> (Census, u32);
    fn settle(&mut self, region: Region, swept: u32);
    fn convert(&mut self, region: Region, refused: u32, idle: u32);
    fn states(&self, region: Region) -> States;
    /// Ids that slots of a region name.
    fn named(&self, region: Region) -> BTreeSet<u16>;
    /// Present owners of the slots.
    fn owners(&self, region: Region) -> Vec<u16>;
    /// Flows that found no room for a record.
    fn refused(&self) -> u64;
    /// When a flow of a pool last found none, by the clock of the rings; 0: never.
    fn last_refused(&self, pool: u16) -> u32;
    /// The same by the agent's clock.
    fn last_refused_at(&self, pool: u16) -> u32;
    /// The frame that leaves instead, if one does.
    fn run(&mut self, frame: &[u8]) -> Option<Vec<u8>>;

    /// Seconds, as packets read the clock.
    fn now(&self) -> u32 {
        u32::try_from(self.clock() / 1000).unwrap()
    }
}

/// What a sweep found.
#[derive(Clone, Debug, Default)]
pub struct Census {
    /// Records by backend.
    pub flows: BTreeMap<u16, u32>,
    /// Records of pools that a listener served before, by listener.
    pub moved: BTreeMap<u16, u32>,
}

impl SweepFindings for Census {
    fn flows(&self, backend: u16) -> u32 {
        self.flows.get(&backend).copied().unwrap_or(0)
    }

    fn moved(&self, listener: u16) -> u32 {
        self.moved.get(&listener).copied().unwrap_or(0)
    }

    /// No pool of the histories has source addresses.
    fn is_bound(&self, _: u16) -> bool {
        false
    }
}

pub struct World<'d, D> {
    pub datapath: &'d mut D,
    wanted: Wanted,
    reconciler: Reconciler,
    /// What the small maps hold.
    image: Image,
    next_change: Option<u32>,
}

impl<'d, D: Datapath> World<'d, D> {
    /// Serves pools, for longer already than UDP flows are held, from the beginning of a second.
    pub fn new(datapath: &'d mut D, wanted: &Wanted) -> Self {
        datapath.begin(wanted.room);
        let reconciler =
            Reconciler::new(<_>::default(), <_>::default(), ROOM, EncapSource::default());
        let (image, next_change) = (Image::default(), None);
        let mut world = Self { datapath, wanted: wanted.clone(), reconciler, image, next_change };
        world.publish();
        let hold = wanted.pools.iter().map(|pool| pool.udp_hold).max().unwrap_or(0);
        let begun = u32::try_from(world.datapath.clock() % 1000).unwrap();
        world.datapath.pass(hold * 1000 + 2000 - begun);
        world.sweep();
        world
    }

    /// Leaves nothing behind.
    pub fn leave(mut self) {
        let desired = self.reconciler.reconcile(&Model::default(), &self.seen());
        for command in plan(&self.image, &Image::default(), desired.rings, desired.freed) {
            self.datapath.execute(&command);
        }
        // Pools that were kept for their flows have rings, too.
        let left = self.reconciler.assignments.pools.values().flat_map(|pool| pool.regions());
        left.for_each(|region| self.datapath.execute(&Command::ClearRing(region)));
        self.datapath.begin(self.wanted.room);
    }

    pub fn follow(&mut self, wanted: &Wanted) {
        self.wanted = wanted.clone();
        self.publish();
    }

    /// Cuts the flows whose time has come, and lets members rise further.
    pub fn cut(&mut self) {
        if self.next_change.is_some_and(|at| at <= self.datapath.now()) {
            self.publish();
        }
    }

    /// Settles slots, and forgets what is over.
    pub fn sweep(&mut self) {
        let (census, swept) = self.datapath.sweep();
        let pools: Vec<_> = self.reconciler.assignments.pools.values().cloned().collect();
        for pool in &pools {
            let refused = self.datapath.last_refused(pool.id);
            if pool.former.is_none() {
                self.datapath.settle(pool.region(), swept);
            }
            self.datapath.convert(pool.region(), refused, pool.idle_timeout);
        }
        let now = self.datapath.now();
        let datapath = &*self.datapath;
        let mut changed = self.reconciler.convert(now, |pool| datapath.last_refused_at(pool));
        let named = |pool: &elb_userspace::control::assign::AssignedPool| -> BTreeSet<u16> {
            pool.regions().flat_map(|region| datapath.named(region)).collect()
        };
        let named: BTreeMap<u16, _> = pools.iter().map(|pool| (pool.id, named(pool))).collect();
        changed |= self.reconciler.swept(&census, now, |pool, id| {
            named.get(&pool.id).is_some_and(|named| named.contains(&id))
        });
        if changed {
            self.publish();
        }
    }

    /// Whether all slots are settled, and nothing waits to be forgotten.
    pub fn is_at_rest(&self) -> bool {
        let mut pools = self.reconciler.assignments.pools.values();
        !self.reconciler.is_lasting()
            && pools.all(|pool| self.datapath.states(pool.region()).are_settled())
    }

    /// Another agent takes over, from what this one saved and from the maps.
    pub fn restart(&mut self) {
        let saved = serde_json::to_vec(&self.reconciler.assignments).unwrap();
        let pools = self.reconciler.assignments.pools.iter();
        let owners = pools.map(|(id, pool)| (*id, self.datapath.owners(pool.region())));
        let owners = owners.collect();
        let saved = serde_json::from_slice(&saved).unwrap();
        self.reconciler = Reconciler::new(saved, owners, ROOM, EncapSource::default());
        self.publish();
    }

    /// The member that a packet of a flow goes to.
    pub fn send(&mut self, flow: u8, packet: Packet) -> Option<u8> {
        let out = self.datapath.run(&frame(flow, self.wanted.protocol, packet))?;
        assert_eq!(out[..5], [2, 0, 0, 0, 0]);
        let member = out[5];
        if self.wanted.translates(member) {
            assert_eq!(Ends::in_frame(&out), Ends::of(flow).translated(member));
        }
        Some(member)
    }

    /// Whether packets to a member are translated.
    pub fn translates(&self, member: u8) -> bool {
        self.wanted.translates(member)
    }

    /// What becomes of a member's answer to a packet of a flow: its ends, if it goes to a client.
    pub fn answer(&mut self, flow: u8, member: u8, packet: Packet) -> Option<Ends> {
        let out = self.datapath.run(&answer(flow, member, self.wanted.protocol, packet))?;
        assert_eq!(out[..12], [ROUTER_MAC, OUR_MAC].concat());
        Some(Ends::in_frame(&out))
    }

    fn publish(&mut self) {
        let model = model(&self.wanted);
        self.reconciler.follow_names(&model);
        let desired = self.reconciler.reconcile(&model, &self.seen());
        assert!(desired.left_out.is_empty(), "{:?}", desired.left_out);
        self.next_change = desired.next_cut.into_iter().chain(desired.next_step).min();
        for command in plan(&self.image, &desired.image, desired.rings, desired.freed) {
            self.datapath.execute(&command);
        }
        self.image = desired.image;
    }

    fn seen(&self) -> View {
        View { wanted: self.wanted.clone(), now: self.datapath.now() }
    }
}

struct View {
    wanted: Wanted,
    now: u32,
}

impl View {
    fn member(&self, member: &model::Member) -> Member {
        let number = number(member.address);
        self.wanted.pools[pool_of(number)].members[&number]
    }
}

impl ReconcileInput for View {
    fn serves(&self, _: &model::Pool, member: &model::Member) -> bool {
        !self.member(member).sick
    }

    fn is_drained(&self, _: &model::Pool, member: &model::Member) -> bool {
        self.member(member).drained
    }

    fn next_hop(&self, address: IpAddr) -> Option<NextHop> {
        let mac = Mac::new([2, 0, 0, 0, 0, number(address)]);
        let source_mac = Mac::new(OUR_MAC);
        Some(NextHop {
            ifindex: INTERFACE,
            mac,
            source_mac,
            source: None,
            mtu: 1500,
            on_link: true,
        })
    }

    fn client_hops(&self) -> Arc<ClientHops> {
        let hop = ClientHop {
            next_hop: Mac::new(ROUTER_MAC),
            source: Mac::new(OUR_MAC),
            ifindex: INTERFACE,
            largest: 1500,
            kind: hop_kind::KNOWN,
        };
        Arc::new(ClientHops::new([hop, ClientHop::default()], BTreeMap::new()))
    }

    fn interfaces(&self) -> BTreeMap<u32, Mac> {
        BTreeMap::from([(INTERFACE, Mac::new(OUR_MAC))])
    }

    fn now(&self) -> u32 {
        self.now
    }
}

fn address(member: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, member).into()
}

fn number(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(_) => unreachable!("members have IPv4 addresses"),
    }
}

fn name(name: &str) -> Name {
    name.parse().unwrap()
}

/// What a pool is called.
fn pool_name(pool: usize, wanted: &Pool) -> Name {
    let names = [["blue", "azure"], ["green", "emerald"]];
    name(names[pool][usize::from(wanted.renamed)])
}

fn model(wanted: &Wanted) -> Model {
    let lb = ResourceId::of_load_balancer("lb");
    let listeners = (0..).zip(&wanted.listeners).map(|(number, listener)| model::Listener {
        id: ResourceId::of_listener(lb, &format!("listener-{number}")),
        name: name(&format!("listener-{number}")),
        protocol: wanted.protocol,
        protocol_port: PORTS[number],
        port_ranges: vec![],
        default_pool: pool_name(listener.own, &wanted.pools[listener.own]),
        fallback_pool: listener
            .fallback_below
            .map(|_| pool_name(listener.other(), &wanted.pools[listener.other()])),
        fallback_below: MemberCount::constant(listener.fallback_below.unwrap_or(1)),
        admin_state_up: true,
        keepalive_timeout: IdleTimeout::constant(listener.idle),
        ipgroup: None,
        cps: Limit::constant(0),
        max_connection: Limit::constant(0),
        no_member: NoMember::Drop,
    });
    let load_balancer = LoadBalancer {
        id: lb,
        name: name("lb"),
        admin_state_up: true,
        vip_address: Some(VIP),
        ipv6_vip_address: None,
        announce: Announce::Arp,
        allow_host_address: false,
        listeners: listeners.collect(),
    };
    let present = (0..).zip(&wanted.pools).filter(|(_, pool)| pool.present);
    let pools = present.map(|(number, pool)| model_pool(wanted, number, pool));
    Model::new(vec![load_balancer], pools.collect(), vec![], SnatPrefixes::default()).unwrap()
}

fn model_pool(wanted: &Wanted, number: usize, pool: &Pool) -> model::Pool {
    const REMEMBERED: SessionPersistence = SessionPersistence {
        timeout: PersistenceTimeout::constant(REMEMBERED_FOR),
        prefix: ClientBits::constant(CLIENT_BITS),
        ipv6_prefix: ClientBitsV6::constant(128),
    };
    // Any port, as the listeners of a pool have different ones; where packets are translated, they share one.
    let translates = pool.forwarding.translates();
    let port = if translates { MEMBER_PORT } else { 0 };
    let id = ResourceId::of_pool(pool_name(number, pool).as_str());
    let member = |(number, member): (&u8, &Member)| model::Member {
        id: ResourceId::of_member(id, SocketAddr::new(address(*number), port)),
        name: name(&number.to_string()),
        address: address(*number),
        protocol_port: port,
        weight: Weight::constant(member.weight),
        backup: member.backup,
        max_connection: Limit::constant(wanted.most(*number)),
        server_id: None,
    };
    model::Pool {
        id,
        name: pool_name(number, pool),
        protocol: wanted.protocol,
        lb_algorithm: pool.algorithm,
        quic_cid_hash_strategy: None,
        session_persistence: (pool.remembers && pool.algorithm.is_tracked()).then_some(REMEMBERED),
        forwarding: pool.forwarding,
        any_port_enable: !translates,
        ring_size: RingSize::ALL[usize::from(pool.large)],
        flows_on_unhealthy: if pool.rehash {
            FlowsOnUnhealthy::Rehash
        } else {
            FlowsOnUnhealthy::Keep
        },
        connection_drain: pool.drain.map(DrainTimeout::constant),
        slow_start: RiseTime::constant(
            if wanted.protocol == Protocol::Udp && !pool.algorithm.is_tracked() {
                0
            } else {
                pool.slow_start
            },
        ),
        udp_hold: HoldTime::constant(pool.udp_hold),
        healthmonitor: None,
        minimum_healthy_member_count: MinimumHealthy::constant(0),
        backup_below: MemberCount::constant(pool.backup_below),
        allow_empty: false,
        members: pool.members.iter().map(member).collect(),
    }
}
