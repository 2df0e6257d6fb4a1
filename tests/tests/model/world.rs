//! The agent's rules without its tasks: what a pool is to be, carried out where packets meet it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use elb_common::addr::Mac;
use elb_common::flow::{Flow, FlowKeyV4};
use elb_userspace::assign::{AssignedPool, Room};
use elb_userspace::census::{Census, Fate, Register};
use elb_userspace::flows::Key;
use elb_userspace::model::{
    self, Announce, DrainTimeout, FlowsOnUnhealthy, Forwarding, HoldTime, IdleTimeout, Limit,
    Listener, LoadBalancer, MinimumHealthy, Model, Name, RingSize, Weight,
};
use elb_userspace::nexthop::NextHop;
use elb_userspace::publish::{Command, Image, Region, plan};
use elb_userspace::reconcile::{EncapSource, Reconciler, Seen};

use crate::packet::{OUR_MAC, PORT, VIP, frame, key};
use crate::script::{FLOWS, Member, Packet, Pool};

/// Room for few numbers, so that they are used again soon.
pub const ROOM: Room = Room { listeners: 4, pools: 4, backends: 7, slots: 65_536 };
/// Interface that packets come and leave by.
pub const INTERFACE: u32 = 1;
const POOL: &str = "pool";

/// Maps, and a program that reads them.
pub trait Datapath {
    /// Milliseconds of a clock that never goes back.
    fn clock(&self) -> u64;
    /// Lets time pass.
    fn pass(&mut self, milliseconds: u32);
    fn execute(&mut self, command: &Command);
    fn settle(&mut self, region: Region, idle: u32, together: bool) -> u32;
    /// Present owners of the slots.
    fn owners(&self, region: Region) -> Vec<u16>;
    fn flow(&self, key: &FlowKeyV4) -> Option<Flow>;
    fn remove_flow(&mut self, key: &FlowKeyV4);
    /// The frame that leaves instead, if one does.
    fn run(&mut self, frame: &[u8]) -> Option<Vec<u8>>;

    /// Seconds, as packets read the clock.
    fn now(&self) -> u32 {
        u32::try_from(self.clock() / 1000).unwrap()
    }
}

pub struct World<'d, D> {
    pub datapath: &'d mut D,
    pool: Pool,
    reconciler: Reconciler,
    /// What the small maps hold.
    image: Image,
    /// Whether slots may be moving.
    pub is_moving: bool,
    next_cut: Option<u32>,
}

impl<'d, D: Datapath> World<'d, D> {
    /// Serves a pool, for longer already than UDP flows are held, from the beginning of a second.
    pub fn new(datapath: &'d mut D, pool: &Pool) -> Self {
        let reconciler =
            Reconciler::new(<_>::default(), <_>::default(), ROOM, EncapSource::default());
        let (image, pool, hold) = (Image::default(), pool.clone(), pool.udp_hold);
        let (is_moving, next_cut) = (false, None);
        let mut world = Self { datapath, pool, reconciler, image, is_moving, next_cut };
        world.publish();
        let begun = u32::try_from(world.datapath.clock() % 1000).unwrap();
        world.datapath.pass(hold * 1000 + 2000 - begun);
        world
    }

    /// Leaves nothing behind.
    pub fn leave(mut self) {
        let desired = self.reconciler.reconcile(&Model::default(), &self.seen());
        for command in plan(&self.image, &Image::default(), desired.rings, desired.freed) {
            self.datapath.execute(&command);
        }
        (1..=FLOWS).for_each(|flow| self.datapath.remove_flow(&key(flow, self.pool.protocol)));
    }

    pub fn follow(&mut self, pool: &Pool) {
        self.pool = pool.clone();
        self.publish();
    }

    /// Cuts the flows whose time has come.
    pub fn cut(&mut self) {
        if self.next_cut.is_some_and(|at| at <= self.datapath.now()) {
            self.publish();
        }
    }

    /// Settles slots, and forgets what is over.
    pub fn settle(&mut self) {
        let AssignedPool { ring, former, idle_timeout, .. } = *self.assigned();
        let mut forgotten = false;
        if self.is_moving {
            let moving = self.datapath.settle(ring.region(), idle_timeout, former.is_some());
            self.is_moving = moving > 0;
            if moving == 0 {
                forgotten |= self.reconciler.settled(POOL, |_| ring.shape.is_scheduled());
            }
        }
        let census = self.sweep();
        if ring.shape.is_scheduled() && !self.is_moving {
            forgotten |= self.reconciler.settled(POOL, |id| census.flows(id) > 0);
        }
        if forgotten {
            self.publish();
        }
    }

    /// Another agent takes over, from what this one saved and from the maps.
    pub fn restart(&mut self) {
        let saved = serde_json::to_vec(&self.reconciler.assignments).unwrap();
        let owners = self.datapath.owners(self.assigned().region());
        let owners = BTreeMap::from([(POOL.to_owned(), owners)]);
        let saved = serde_json::from_slice(&saved).unwrap();
        self.reconciler = Reconciler::new(saved, owners, ROOM, EncapSource::default());
        self.is_moving = true;
        self.publish();
    }

    /// The member that a packet of a flow goes to.
    pub fn send(&mut self, flow: u8, packet: Packet) -> Option<u8> {
        let out = self.datapath.run(&frame(flow, self.pool.protocol, packet))?;
        assert_eq!(out[..5], [2, 0, 0, 0, 0]);
        Some(out[5])
    }

    fn publish(&mut self) {
        let desired = self.reconciler.reconcile(&model(&self.pool), &self.seen());
        assert!(desired.left_out.is_empty(), "{:?}", desired.left_out);
        self.is_moving |= !desired.moved.is_empty();
        self.next_cut = desired.next_cut;
        for command in plan(&self.image, &desired.image, desired.rings, desired.freed) {
            self.datapath.execute(&command);
        }
        self.image = desired.image;
    }

    /// Counts the records that live, and removes those that are over.
    fn sweep(&mut self) -> Census {
        let now = self.datapath.now();
        let register = Register::new(&self.reconciler.assignments, &self.image, now);
        let mut census = Census::default();
        for key in (1..=FLOWS).map(|flow| key(flow, self.pool.protocol)) {
            let Some(flow) = self.datapath.flow(&key) else { continue };
            match register.fate(flow) {
                Fate::Lives => census.count(&register, &Key::V4(key), flow),
                Fate::Over => self.datapath.remove_flow(&key),
                Fate::Unknown => {}
            }
        }
        census
    }

    fn assigned(&self) -> &AssignedPool {
        &self.reconciler.assignments.pools[POOL]
    }

    fn seen(&self) -> View {
        View { members: self.pool.members.clone(), now: self.datapath.now() }
    }
}

struct View {
    members: BTreeMap<u8, Member>,
    now: u32,
}

impl View {
    fn member(&self, member: &model::Member) -> Member {
        self.members[&number(member.address)]
    }
}

impl Seen for View {
    fn serves(&self, _: &model::Pool, member: &model::Member) -> bool {
        !self.member(member).sick
    }

    fn is_drained(&self, _: &model::Pool, member: &model::Member) -> bool {
        self.member(member).drained
    }

    fn next_hop(&self, address: IpAddr) -> Option<NextHop> {
        let mac = Mac::new([2, 0, 0, 0, 0, number(address)]);
        let source_mac = Mac::new(OUR_MAC);
        Some(NextHop { ifindex: INTERFACE, mac, source_mac, source: None, mtu: 1500 })
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

fn model(pool: &Pool) -> Model {
    let name = |name: &str| name.parse::<Name>().unwrap();
    let listener = Listener {
        name: name("listener"),
        protocol: pool.protocol,
        protocol_port: PORT,
        port_ranges: vec![],
        default_pool: name(POOL),
        admin_state_up: true,
        keepalive_timeout: IdleTimeout::constant(pool.idle),
        ipgroup: None,
        cps: Limit::constant(0),
        max_connection: Limit::constant(0),
    };
    let load_balancer = LoadBalancer {
        name: name("lb"),
        admin_state_up: true,
        vip_address: Some(VIP),
        ipv6_vip_address: None,
        announce: Announce::Arp,
        listeners: vec![listener],
    };
    let member = |(number, member): (&u8, &Member)| model::Member {
        name: name(&number.to_string()),
        address: address(*number),
        protocol_port: PORT,
        weight: Weight::constant(member.weight),
        server_id: None,
    };
    let pool = model::Pool {
        name: name(POOL),
        protocol: pool.protocol,
        lb_algorithm: pool.algorithm,
        quic_cid_hash_strategy: None,
        forwarding: Forwarding::L2,
        any_port_enable: false,
        ring_size: RingSize::ALL[usize::from(pool.large)],
        flows_on_unhealthy: if pool.rehash {
            FlowsOnUnhealthy::Rehash
        } else {
            FlowsOnUnhealthy::Keep
        },
        connection_drain: pool.drain.map(DrainTimeout::constant),
        udp_hold: HoldTime::constant(pool.udp_hold),
        healthmonitor: None,
        minimum_healthy_member_count: MinimumHealthy::constant(0),
        members: pool.members.iter().map(member).collect(),
    };
    Model::new(vec![load_balancer], vec![pool], vec![]).unwrap()
}
