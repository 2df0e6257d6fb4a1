//! The listeners, rings and backends that are measured, and the frames sent to them.
#![allow(clippy::cast_possible_truncation, reason = "all numbers here are small constants")]
#![allow(clippy::wildcard_enum_match_arm, reason = "in most respects most routes are alike")]

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Result, ensure};
use elb_common::addr::{Be16, Be32, Be128, Mac};
use elb_common::admission::{GROUP_FIXED_BITS, GroupKeyV4};
use elb_common::backend::{Backend, Translation, backend_flags, mode, outer_sum};
use elb_common::binding::{Binding, Course, Owner, says};
use elb_common::client_hop::{ClientHop, hop_kind};
use elb_common::embedded::{Prefix, embed};
use elb_common::interface::Interface;
use elb_common::listener::{
    CidPart, Listener, ListenerEndpoint, ListenerKeyV4, ListenerKeyV6, ListenerPool, algorithm,
    listener_flags, listener_pool_flags,
};
use elb_common::path::Memory;
use elb_common::pool::{Pool, Ring};
use elb_common::reply::Reply;
use elb_common::ring::Slot;
use elb_common::snat::Snat;
use elb_tests_ebpf::bench::{FRAME, PORT_BITS, Template};

/// A kind of packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TCP data.
    Data,
    /// A TCP SYN.
    Syn,
    /// UDP.
    Udp,
    /// QUIC data, with a connection id for each flow.
    Quic,
}

/// Which listener the packets are for; see [`ROUTES`]. IPv4 in IPv4, where nothing else is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum To {
    Ipip,
    /// All slots are moving.
    Moving,
    /// By l2.
    L2,
    /// IPv6 in IPv6.
    IpipV6,
    /// IPv4 in GUE over IPv4.
    Gue,
    /// By `ROUND_ROBIN`.
    InTurn,
    /// By `QUIC_CID`.
    Quic,
    /// For the members of an IP group.
    Listed,
    /// By `nat`.
    Nat,
    /// IPv6 by `nat`.
    NatV6,
    /// By `fullnat`.
    FullNat,
    /// The answers of a member of [`To::FullNat`] to source addresses.
    FullBack,
    /// The answers of a member of [`To::Nat`].
    Back,
    /// The answers of a member of [`To::NatV6`].
    BackV6,
    /// IPv4 by `nat46`, to members with IPv6.
    Nat46,
    /// The answers of a member of [`To::Nat46`].
    Back46,
    /// Packets of such a member that are no answers.
    MembersOwn,
    /// An address that is not virtual.
    Foreign,
}

/// Slots of each ring, as by default.
const RING: u32 = 65_537;
/// Backends of each ring.
const BACKENDS: u16 = 100;
/// Seconds that no bench lasts: recorded flows count throughout.
const IDLE: u32 = 4000;
/// The interface that TEST_RUN frames come by.
pub const LOOPBACK: u32 = 1;

/// Whom frames are addressed to.
const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];

const VIP4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const FOREIGN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);

/// Each listener, on a port of its own; its place here is the number of its pool.
const ROUTES: [(To, u16); 12] = [
    (To::Ipip, 80),
    (To::Moving, 81),
    (To::L2, 82),
    (To::IpipV6, 83),
    (To::Gue, 84),
    (To::InTurn, 85),
    (To::Quic, 443),
    (To::Listed, 86),
    (To::Nat, 87),
    (To::NatV6, 88),
    (To::FullNat, 89),
    (To::Nat46, 90),
];

/// Port of members whose packets are translated.
const MEMBER_PORT: u16 = 8080;
/// Number of the member whose answers are measured.
const ANSWERS: u16 = 7;

/// The IP group of those who may open connections where the listener is [`To::Listed`].
const GROUP: u16 = 1;
/// Prefixes in it; the last one is that of all clients.
const LISTED: u32 = 300;
/// Where the connection id of a QUIC packet that belongs to a connection names the server.
const CID: CidPart = CidPart { offset: 0, length: 8 };

/// A listener with a pool of its own.
#[derive(Clone, Copy)]
struct Route {
    to: To,
    port: u16,
    pool: u16,
}

impl Route {
    fn all() -> impl Iterator<Item = Self> {
        (0..).zip(ROUTES).map(|(pool, (to, port))| Self { to, port, pool })
    }

    fn listener(self) -> Listener {
        let ring_base = u32::from(self.pool) * RING.next_multiple_of(16);
        let (id, pool) = (self.pool, self.pool);
        let (algorithm, flags) = match self.to {
            To::InTurn => (algorithm::ROUND_ROBIN, listener_flags::TRACKED),
            To::Quic => (algorithm::CONNECTION_ID, 0),
            To::Listed => (algorithm::FIVE_TUPLE, listener_flags::WHITELIST),
            To::FullNat => (algorithm::FIVE_TUPLE, listener_flags::BINDS),
            _ => (algorithm::FIVE_TUPLE, 0),
        };
        Listener {
            ring_base,
            ring_size: RING,
            id,
            pool,
            flags,
            algorithm,
            group: GROUP,
            cid: CID,
            ..Listener::default()
        }
    }

    fn pool(self) -> Pool {
        let Listener { ring_base, ring_size, algorithm, .. } = self.listener();
        let ring = Ring { base: ring_base, size: ring_size, algorithm, cid: CID, reserved: 0 };
        Pool { idle_timeout: IDLE, ring, ..Pool::default() }
    }

    /// Id of its backend number `n`.
    fn id(self, n: u16) -> u16 {
        1 + self.pool * BACKENDS + n
    }

    fn slot(self, number: u32) -> Slot {
        let owner = |number| self.id((mix(number) % u32::from(BACKENDS)) as u16);
        Slot::new(owner(number), if self.to == To::Moving { owner(number + 1) } else { 0 })
    }

    fn backend(self, n: u16) -> Backend {
        let [high, low] = n.to_be_bytes();
        let mac = Mac::new([2, 0, 0, 1, high, low]);
        let mut backend = Backend {
            next_hop: mac,
            source: mac,
            mode: match self.to {
                To::L2 => mode::L2,
                To::IpipV6 => mode::IPIP_V6,
                To::Gue => mode::GUE_V4,
                _ => mode::IPIP_V4,
            },
            flags: backend_flags::REACHABLE | backend_flags::ESTABLISHED | backend_flags::NEW,
            weight: 1,
            ..Backend::default()
        };
        backend.set_mtu(1500);
        if self.is_v6() {
            backend.address = bytemuck::cast(member_v6(n).octets());
            backend.outer_source =
                bytemuck::cast(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, 0).octets());
        } else {
            let address: Be32 = bytemuck::cast(member_v4(n).octets());
            let source: Be32 = bytemuck::cast([10u8, 1, 0, 1]);
            backend.address = Be128::from_raw([address.raw(), 0, 0, 0]);
            backend.outer_source = Be128::from_raw([source.raw(), 0, 0, 0]);
            backend.outer_sum = outer_sum(source, address);
        }
        if self.translates() {
            let translation = Translation::new(backend.address, Be16::new(MEMBER_PORT), 0);
            let mode = match self.to {
                To::FullNat => mode::FULLNAT,
                To::Nat46 => mode::NAT46,
                _ => mode::NAT,
            };
            (backend.mode, backend.outer_source) = (mode, translation.to_words());
        }
        backend
    }

    fn is_v6(self) -> bool {
        matches!(self.to, To::IpipV6 | To::NatV6 | To::Nat46)
    }

    fn translates(self) -> bool {
        matches!(self.to, To::Nat | To::NatV6 | To::FullNat | To::Nat46)
    }

    /// What its backend number `n` stands for.
    fn reply(self, n: u16) -> Reply {
        let address = self.backend(n).address;
        let vip: Be128 = if self.is_v6() && self.to != To::Nat46 {
            bytemuck::cast(VIP6.octets())
        } else {
            let first: Be32 = bytemuck::cast(VIP4.octets());
            Be128::from_raw([first.raw(), 0, 0, 0])
        };
        let (port, ifindex) = (Be16::new(self.port), LOOPBACK);
        let mut reply = Reply {
            vip,
            port,
            ifindex,
            listener: self.pool,
            backend: self.id(n),
            ..Reply::default()
        };
        reply.translate_from(address, Be16::new(MEMBER_PORT));
        reply
    }
}

const fn member_v4(n: u16) -> Ipv4Addr {
    let [high, low] = n.to_be_bytes();
    Ipv4Addr::new(10, 0, high, low)
}

const fn member_v6(n: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n)
}

/// What the forwarding program's maps hold; all frames leave by `ifindex`. Flow tables have so many
/// places, of which some stay free, as under an agent that sweeps them all the time.
pub fn memory(ifindex: u32, places: u32) -> Memory {
    let groups_v4 = (0..LISTED).map(|n| if n + 1 < LISTED { other_client(n) } else { clients() });
    let interface = Interface { mac: Mac::new(OUR_MAC), ..Interface::default() };
    let mut memory = Memory {
        groups_v4: groups_v4.collect(),
        interfaces: [(LOOPBACK, interface), (ifindex, interface)].into(),
        ..Memory::with_room(places - places / 16, u32::MAX)
    };
    for route in Route::all() {
        let listener = route.listener();
        memory.slots.resize(listener.ring_base as usize, Slot::default());
        memory.slots.extend((0..RING).map(|number| route.slot(number)));
        memory.pools.insert(route.pool, route.pool());
        memory.listener_pools.insert(
            listener.id,
            ListenerPool { pool: route.pool, flags: listener_pool_flags::EXISTS },
        );
        for protocol in [6, 17] {
            let port = Be16::new(route.port);
            let v4 = ListenerKeyV4::new(bytemuck::cast(VIP4.octets()), port, protocol);
            let v6 = ListenerKeyV6::new(bytemuck::cast(VIP6.octets()), port, protocol);
            memory.listeners_v4.insert(v4, listener);
            memory.listeners_v6.insert(v6, listener);
        }
        let backends = (0..BACKENDS).map(|n| (route.id(n), route.backend(n)));
        memory.backends.extend(backends.map(|(id, backend)| (id, Backend { ifindex, ..backend })));
        translate_back(&mut memory, route);
    }
    memory
}

/// What answers of the members of a listener by `nat` are translated by; all clients are behind one router, and
/// others are not, as the routes of such a host mostly say.
fn translate_back(memory: &mut Memory, route: Route) {
    if !route.translates() {
        return;
    }
    if route.to == To::FullNat {
        let first: Be32 = bytemuck::cast(VIP4.octets());
        let vip = Be128::from_raw([first.raw(), 0, 0, 0]);
        let endpoint = ListenerEndpoint { vip, port: Be16::new(route.port), reserved: 0 };
        memory.endpoints.insert(route.pool, endpoint);
        return;
    }
    if route.to == To::Nat46 {
        let (vip, port) = (bytemuck::cast(VIP4.octets()), Be16::new(route.port));
        memory.endpoints.insert(route.pool, ListenerEndpoint::v4(vip, port, Some(PREFIX)));
        // The members of `To::NatV6` have the same endpoints, which stand for both.
        return;
    }
    let port = Be16::new(MEMBER_PORT);
    for (n, protocol) in (0..BACKENDS).flat_map(|n| [(n, 6), (n, 17)]) {
        if route.is_v6() {
            let key = ListenerKeyV6::new(bytemuck::cast(member_v6(n).octets()), port, protocol);
            memory.replies_v6.insert(key, route.reply(n));
        } else {
            let key = ListenerKeyV4::new(bytemuck::cast(member_v4(n).octets()), port, protocol);
            memory.replies_v4.insert(key, route.reply(n));
        }
    }
    let mac = Mac::new(OUR_MAC);
    let hop = ClientHop {
        next_hop: mac,
        source: mac,
        ifindex: LOOPBACK,
        largest: 1500,
        kind: hop_kind::KNOWN,
    };
    memory.client_defaults = [hop; 2];
    let near = ClientHop { kind: hop_kind::KERNEL, ..ClientHop::default() };
    memory.client_routes_v4 = vec![(16, bytemuck::cast([10u8, 0, 0, 0]), near)];
    memory.client_routes_v6 =
        vec![(64, bytemuck::cast(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0).octets()), near)];
}

/// What the addresses begin with that members with IPv6 know clients with IPv4 by.
const PREFIX: Prefix = [u32::from_ne_bytes([0xfd, 0x46, 0, 0]), 0];

/// Such an address, of the client that all addresses begin with.
fn embedded() -> Ipv6Addr {
    let route = Route::all().find(|route| route.to == To::Nat46).expect("one of the routes");
    let address: [u8; 16] = bytemuck::cast(embed(PREFIX, route.pool, bytemuck::cast(CLIENTS)));
    address.into()
}

/// The first source address: a flow's number goes to the other two bytes.
const SOURCES: [u8; 4] = [10, 9, 0, 0];

/// Gives the world so many source addresses.
pub fn with_sources(memory: Memory, addresses: u32) -> Memory {
    let snat = Snat { network: bytemuck::cast(SOURCES), addresses, secret: 0x5eed };
    Memory { snat: Some(snat), ..memory }
}

/// The number of the port that the answers of a flow of [`To::FullBack`] are sent to, and whose it is: opened a while
/// ago by a client, and seen in this second.
pub fn bound(flow: u32, now: u32) -> (u32, Binding) {
    const SECOND: u32 = 0;
    let route = Route::all().find(|route| route.to == To::FullNat).expect("one of the routes");
    let (address, port) = (flow >> PORT_BITS, 1024 + (flow & ((1 << PORT_BITS) - 1)));
    let client: Be32 = bytemuck::cast((u32::from_be_bytes(CLIENTS) + address).to_be());
    let owner = Owner::new(client, Be16::new(port as u16), route.pool);
    let course = Course::opening(route.id(ANSWERS), says::OPENS, IDLE, now);
    (address << 16 | port, Binding { owner, course: course.after_client(SECOND, IDLE, now) })
}

/// Network of all clients.
const CLIENTS: [u8; 4] = [198, 18, 0, 0];

fn clients() -> (u32, GroupKeyV4) {
    (GROUP_FIXED_BITS + 16, GroupKeyV4::new(GROUP, bytemuck::cast(CLIENTS)))
}

/// A network of a client that sends nothing.
fn other_client(n: u32) -> (u32, GroupKeyV4) {
    let [.., high, low] = n.to_be_bytes();
    (GROUP_FIXED_BITS + 24, GroupKeyV4::new(GROUP, bytemuck::cast([203, high, low, 0])))
}

/// What the floor's maps hold.
pub struct Floor {
    pub key: [u32; 5],
    pub listener: Listener,
    pub slots: Vec<Slot>,
    pub backends: Vec<(u16, Backend)>,
}

/// The listener, the ring and the backends that the floor needs: those of the first route.
pub fn floor() -> Floor {
    let first = Route::all().next().expect("there are routes");
    let port = u32::from(Be16::new(first.port).raw());
    Floor {
        key: [u32::from_ne_bytes(VIP4.octets()), 0, 0, 0, port | 6 << 16],
        listener: first.listener(),
        slots: (0..RING).map(|number| first.slot(number)).collect(),
        backends: (0..BACKENDS).map(|n| (first.id(n), first.backend(n))).collect(),
    }
}

fn mix(slot: u32) -> u32 {
    (slot ^ (slot >> 15)).wrapping_mul(0x2c1b_3c6d) >> 8
}

/// As [`template`], TCP data whose header of IP the kernel takes, too: of IPv4 its checksum is right as long as the
/// flow's number changes the port alone.
pub fn summed_template(to: To, flows: u32) -> Result<Template> {
    let made = template(Kind::Data, to, flows)?;
    if to == To::NatV6 {
        return Ok(made);
    }
    ensure!(flows <= 1 << PORT_BITS, "{flows} flows change the address");
    let (mut frame, phase, places) = frame_of(Kind::Data, to);
    frame[26 + 2..26 + 4].fill(0);
    let words =
        frame[14..34].chunks_exact(2).map(|two| u32::from(u16::from_be_bytes([two[0], two[1]])));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let checksum = !((folded & 0xffff) + (folded >> 16)) as u16;
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    Ok(Template { mask: flows - 1, ..Template::new(frame, phase, places) })
}

/// A frame of a kind, to a listener, of one of `flows` flows, and where the flow's number goes.
pub fn template(kind: Kind, to: To, flows: u32) -> Result<Template> {
    ensure!(flows.is_power_of_two(), "{flows} flows are not a power of two");
    let (frame, phase, places) = frame_of(kind, to);
    Ok(Template { mask: flows - 1, ..Template::new(frame, phase, places) })
}

/// A frame, where its words begin, and where a flow's number goes: to its address and its port.
fn frame_of(kind: Kind, to: To) -> ([u8; FRAME], usize, [usize; 2]) {
    let v6 = matches!(to, To::IpipV6 | To::NatV6 | To::BackV6 | To::Back46);
    let is_udp = matches!(kind, Kind::Udp | Kind::Quic);
    let protocol = if is_udp { 17 } else { 6 };
    let mut frame = [OUR_MAC, [2, 0, 0, 0, 0, 0xc1]].concat();
    if v6 {
        let client = Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 0);
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, (FRAME - 54) as u8, protocol, 64]);
        let ends = match to {
            To::BackV6 => [member_v6(ANSWERS), client],
            To::Back46 => [member_v6(ANSWERS), embedded()],
            _ => [client, VIP6],
        };
        frame.extend(ends.map(|address| address.octets()).concat());
    } else {
        let client = Ipv4Addr::from(CLIENTS);
        frame.extend([8, 0, 0x45, 0, 0, (FRAME - 14) as u8, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
        let ends = match to {
            To::Back | To::MembersOwn => [member_v4(ANSWERS), client],
            To::FullBack => [member_v4(ANSWERS), Ipv4Addr::from(SOURCES)],
            To::Foreign => [client, FOREIGN],
            _ => [client, VIP4],
        };
        frame.extend(ends.map(|address| address.octets()).concat());
    }
    let transport = frame.len();
    // What is not for a virtual address has a port all the same.
    let port = Route::all().find(|route| route.to == to).map_or(80, |route| route.port);
    let is_answer = matches!(to, To::Back | To::FullBack | To::BackV6 | To::Back46);
    let is_back = is_answer || to == To::MembersOwn;
    let ports = match to {
        _ if is_answer => [MEMBER_PORT, 1024],
        To::MembersOwn => [MEMBER_PORT + 1, 1024],
        _ => [1024, port],
    };
    frame.extend(ports.map(u16::to_be_bytes).concat());
    if is_udp {
        frame.extend([0, (FRAME - transport) as u8, 0, 0]);
        // The short header of QUIC, and a connection id (RFC 9000 §17.3).
        frame.extend([0x40, 1, 2, 3, 4, 5, 6, 7, 8]);
    } else {
        let flags = if kind == Kind::Syn { 0x02 } else { 0x10 };
        frame.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    }
    frame.resize(FRAME, 0);
    let end = usize::from(is_back);
    let address = if v6 { 14 + 8 + 16 * end + 14 } else { 14 + 12 + 4 * end + 2 };
    let connection_id = transport + 8 + 1 + 2;
    let port = if kind == Kind::Quic { connection_id } else { transport + 2 * end };
    // Both addresses of IPv4 are in one word then, and each half of one of IPv6.
    let phase = if v6 { 14 + 8 } else { 14 + 12 };
    let frame = frame.try_into().expect("it has this size");
    (frame, phase, [address, port])
}
