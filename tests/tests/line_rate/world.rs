//! The load balancer that the packets meet, what is sent to it, and what must become of that.

use std::net::{Ipv4Addr, Ipv6Addr};

use elb_common::addr::{Be16, Be32, Be128, Mac};
use elb_common::backend::{Backend, backend_flags, mode, outer_sum};
use elb_common::listener::{
    Listener, ListenerKeyV4, ListenerKeyV6, ListenerPool, Vip, listener_flags, listener_pool_flags,
    vip_flags,
};
use elb_common::path::Memory;
use elb_common::pool::{self, Pool};
use elb_common::ring::{self, CHUNK, Slot};
use elb_tests_ebpf::kind::{Kind, TCP, UDP};
use elb_tests_ebpf::traffic::{PATTERN, Traffic};

pub const GENERATOR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// The addresses are the host's own, too: closed ports are the kernel's.
const VIP: u32 = vip_flags::ECHO | vip_flags::OWN;

pub const FRONT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
pub const BACK_MAC: [u8; 6] = [2, 0, 0, 0, 0, 3];
pub const SINK_MAC: [u8; 6] = [2, 0, 0, 0, 0, 4];

pub const MTU: u16 = 1500;

const PORT: u16 = 80;
const CLOSED_PORT: u16 = 81;
const DISABLED_PORT: u16 = 82;
const EMPTY_PORT: u16 = 83;

const VIP_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const FOREIGN_V4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const VIP_V6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 10);
const BALANCER_V4: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);

/// Slots of the ring for IPv4, which starts at 0, and of the one for IPv6, which follows.
const RING_SIZES: [u32; 2] = [1021, 509];
/// Owners of slots, in turn: an uneven pool.
const OWNERS: [u16; 8] = [1, 2, 3, 1, 4, 2, 1, 5];
const MEMBERS: u16 = 5;
/// Places in each flow table: more than all flows of all kinds.
pub const FLOW_RECORDS: u32 = 1 << 18;
/// Seconds that no run lasts: recorded flows count throughout.
const IDLE: u32 = 4000;

/// Kinds and how many of each are in a pattern; one of each that is not forwarded.
pub const ALL_KINDS: [(Kind, u8); 20] = [
    (Kind::TcpV4, 12),
    (Kind::SynV4, 4),
    (Kind::FollowV4, 6),
    (Kind::UdpV4, 8),
    (Kind::TcpV6, 8),
    (Kind::SynV6, 3),
    (Kind::FollowV6, 3),
    (Kind::UdpV6, 8),
    (Kind::Echo, 1),
    (Kind::ClosedPort, 1),
    (Kind::DisabledPort, 1),
    (Kind::EmptyPort, 1),
    (Kind::Foreign, 1),
    (Kind::Fragment, 1),
    (Kind::Truncated, 1),
    (Kind::BadHeader, 1),
    (Kind::OtherProtocol, 1),
    (Kind::NotIp, 1),
    (Kind::GroupMac, 1),
    (Kind::Routing, 1),
];

/// How packets travel to backends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encapsulation {
    /// Not encapsulated.
    L2,
    /// In IPv4 to most backends, in IPv6 to the others.
    Ipip,
    /// The same in UDP.
    Gue,
}

/// A load balancer with one virtual address of each family.
#[derive(Debug)]
pub struct World {
    encapsulation: Encapsulation,
    moving: bool,
}

impl World {
    /// All slots have one owner.
    pub fn settled(encapsulation: Encapsulation) -> Self {
        Self { encapsulation, moving: false }
    }

    /// All slots have a former owner, too. IPv4 datagrams are held for it.
    pub fn moving(encapsulation: Encapsulation) -> Self {
        Self { encapsulation, moving: true }
    }

    /// What the load balancer is; frames leave by interface `egress`.
    pub fn memory(&self, egress: u32) -> Memory {
        // As under an agent that sweeps all the time.
        let room = Memory::with_room(FLOW_RECORDS - FLOW_RECORDS / 16, u32::MAX);
        let mut memory = Memory { devices: vec![egress], now: 0, ..room };
        for pool in [Ring::V4, Ring::V6] {
            memory.slots.resize(pool.base() as usize, Slot::default());
            memory.slots.extend((0..pool.size()).map(|index| self.slot(index)));
        }
        for (ring, udp_hold_until) in [(Ring::V4, u32::MAX), (Ring::V6, 0)] {
            let place = pool::Ring { base: ring.base(), size: ring.size(), ..Default::default() };
            let pool = Pool { idle_timeout: IDLE, udp_hold_until, ring: place, ..Pool::default() };
            memory.pools.insert(ring as u16, pool);
        }
        let backends = (1..=MEMBERS).map(|id| (id, self.backend(id, egress)));
        memory.backends = backends.collect();
        memory.vips_v4 = [(be32(VIP_V4), Vip { flags: VIP, number: 0 })].into();
        memory.vips_v6 = [(be128(VIP_V6), Vip { flags: VIP, number: 0 })].into();
        add_listeners(&mut memory);
        memory
    }

    /// What to send, by kind and weight.
    pub fn traffic(&self, kinds: &[(Kind, u8)]) -> Traffic {
        Traffic {
            destination: Mac::new(FRONT_MAC),
            port: Be16::new(PORT),
            source: Mac::new(GENERATOR_MAC),
            closed_port: Be16::new(CLOSED_PORT),
            disabled_port: Be16::new(DISABLED_PORT),
            empty_port: Be16::new(EMPTY_PORT),
            vip_v4: be32(VIP_V4),
            foreign_v4: be32(FOREIGN_V4),
            clients_v4: be32(Ipv4Addr::new(198, 0, 0, 0)),
            vip_v6: be128(VIP_V6),
            clients_v6: be128(Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 0)),
            pattern: pattern(kinds),
        }
    }

    /// Id of the one backend that may get packets of this kind and flow.
    pub fn owner(&self, traffic: &Traffic, kind: Kind, flow: u32) -> u16 {
        let ring = if kind.is_v6() { Ring::V6 } else { Ring::V4 };
        let slot = self.slot(ring::index(traffic.hash(kind, flow), ring.size()));
        let older = matches!(kind, Kind::TcpV4 | Kind::TcpV6 | Kind::UdpV4);
        if self.moving && older { slot.prev() } else { slot.cur() }
    }

    fn slot(&self, index: u32) -> Slot {
        let owner = OWNERS[(index * 3 % 8) as usize];
        let former = owner % MEMBERS + 1;
        Slot::new(owner, if self.moving { former } else { 0 })
    }

    fn backend(&self, id: u16, egress: u32) -> Backend {
        let number = id as u8;
        let address = Ipv4Addr::new(10, 1, 0, 10 + number);
        let mut backend = Backend {
            next_hop: Mac::new([2, 0, 0, 0, 1, number]),
            flags: backend_flags::REACHABLE | backend_flags::ESTABLISHED | backend_flags::NEW,
            source: Mac::new(BACK_MAC),
            ifindex: egress,
            ..Backend::default()
        };
        let gue = self.encapsulation == Encapsulation::Gue;
        match self.encapsulation {
            Encapsulation::L2 => backend.mode = mode::L2,
            Encapsulation::Ipip | Encapsulation::Gue if id <= 3 => {
                backend.mode = if gue { mode::GUE_V4 } else { mode::IPIP_V4 };
                backend.address = Be128::from_raw([be32(address).raw(), 0, 0, 0]);
                backend.outer_source = Be128::from_raw([be32(BALANCER_V4).raw(), 0, 0, 0]);
                backend.outer_sum = outer_sum(be32(BALANCER_V4), be32(address));
            }
            Encapsulation::Ipip | Encapsulation::Gue => {
                backend.mode = if gue { mode::GUE_V6 } else { mode::IPIP_V6 };
                backend.address = be128(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 10 + id));
                backend.outer_source = be128(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1));
            }
        }
        backend.set_mtu(MTU);
        backend
    }
}

/// The listeners of both families that are counted, by what they forward; the number is the id.
pub const LISTENERS: [(u16, bool, u8); 4] =
    [(1, false, TCP), (2, false, UDP), (3, true, TCP), (4, true, UDP)];

fn add_listeners(memory: &mut Memory) {
    for (id, v6, protocol) in LISTENERS {
        let ring = if v6 { Ring::V6 } else { Ring::V4 };
        let served = ListenerPool { pool: ring as u16, flags: listener_pool_flags::EXISTS };
        memory.listener_pools.insert(id, served);
        if v6 {
            let key = ListenerKeyV6::new(be128(VIP_V6), Be16::new(PORT), protocol);
            memory.listeners_v6.insert(key, ring.listener(id));
        } else {
            let key = ListenerKeyV4::new(be32(VIP_V4), Be16::new(PORT), protocol);
            memory.listeners_v4.insert(key, ring.listener(id));
        }
    }
    let disabled = Listener { flags: listener_flags::DISABLED, ..Ring::V4.listener(5) };
    let empty = Listener { ring_size: 0, ..Ring::V4.listener(6) };
    for (port, listener) in [(DISABLED_PORT, disabled), (EMPTY_PORT, empty)] {
        let key = ListenerKeyV4::new(be32(VIP_V4), Be16::new(port), TCP);
        memory.listeners_v4.insert(key, listener);
    }
}

/// The pools; the number is the id.
#[derive(Clone, Copy)]
enum Ring {
    V4 = 1,
    V6 = 2,
}

impl Ring {
    fn base(self) -> u32 {
        match self {
            Self::V4 => 0,
            Self::V6 => RING_SIZES[0].next_multiple_of(CHUNK),
        }
    }

    fn size(self) -> u32 {
        RING_SIZES[self as usize - 1]
    }

    fn listener(self, id: u16) -> Listener {
        Listener {
            ring_base: self.base(),
            ring_size: self.size(),
            id,
            pool: self as u16,
            ..Listener::default()
        }
    }
}

/// Kinds in turn, mixed; those listed first fill what remains.
fn pattern(kinds: &[(Kind, u8)]) -> [u8; PATTERN] {
    let turn: Vec<Kind> =
        kinds.iter().flat_map(|(kind, weight)| vec![*kind; usize::from(*weight)]).collect();
    assert!(turn.len() <= PATTERN, "{} kinds do not fit the pattern", turn.len());
    let mut pattern = [0; PATTERN];
    for (index, kind) in turn.iter().cycle().take(PATTERN).enumerate() {
        pattern[index * 37 % PATTERN] = *kind as u8;
    }
    pattern
}

fn be32(address: Ipv4Addr) -> Be32 {
    bytemuck::cast(address.octets())
}

fn be128(address: Ipv6Addr) -> Be128 {
    bytemuck::cast(address.octets())
}
