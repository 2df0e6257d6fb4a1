//! The load balancer that the packets meet, in plain words; `memory` puts it into records.

pub mod translation;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use elb_common::addr::{Be16, Be32, Be128, Mac};
use elb_common::backend::{Backend, Translation, backend_flags, mode, outer_sum};
use elb_common::interface::{Interface, MacKey};
use elb_common::listener::{
    Listener, ListenerKeyV4, ListenerKeyV6, ListenerPool, RANGE_FIXED_BITS, RangeKey, Vip,
    listener_flags, listener_pool_flags, vip_flags,
};
use elb_common::path::Memory;
use elb_common::pool::{Pool, Ring};
use elb_common::ring::Slot;

use self::translation::segment;
pub use self::translation::{PROBE, ROUTER_MAC, ReplySpec, Way};
use crate::frame::{FOREIGN_MAC, OUR_MAC, UPPER_MAC};

/// Interface that TEST_RUN frames come by: loopback of the test's namespace.
pub const INGRESS: u32 = 1;
/// An interface that takes redirected frames.
pub const OTHER: u32 = 2;
/// An interface that does not.
pub const UNKNOWN: u32 = 99;

pub const TCP: u8 = 6;
pub const UDP: u8 = 17;

pub const LB4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub const LB6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
pub const MTU: u16 = 1500;
/// In IPv4 so little remains that no IPv4 host need be informed.
pub const NARROW_MTU: u16 = 595;
/// In IPv6 so little remains that no IPv6 host would listen.
pub const NARROW_V6_MTU: u16 = 1319;

/// Records that there is room for by default: as an agent computes it, some places of the table of
/// [`FLOWS`] stay free.
pub const ROOM: u32 = FLOWS - FLOWS / 16;
/// Places in each flow table.
pub const FLOWS: u32 = 1 << 20;

/// Seconds without a packet after which a record counts no more; longer than a test lasts.
pub const IDLE: u32 = 3600;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    L2,
    Ipip,
    Gue,
    /// To this port of the backend; 0: the packet's own.
    Nat(u16),
}

#[derive(Clone, Debug)]
pub struct BackendSpec {
    pub mode: Mode,
    pub address: IpAddr,
    pub mac: [u8; 6],
    pub interface: u32,
    pub mtu: u16,
    pub reachable: bool,
    pub established: bool,
    pub takes_new: bool,
}

#[derive(Clone, Debug)]
pub struct ListenerSpec {
    pub address: IpAddr,
    pub port: u16,
    /// Low bits of the port that do not matter: 0, this port only; 16, any.
    pub free_bits: u32,
    pub protocol: u8,
    pub disabled: bool,
    pub ring_base: u32,
    pub ring_size: u32,
    pub pool: u16,
}

#[derive(Clone, Debug, Default)]
pub struct World {
    pub backends: HashMap<u16, BackendSpec>,
    pub listeners: Vec<ListenerSpec>,
    pub vips: HashMap<IpAddr, u32>,
    /// Present and former owner of each slot of all rings.
    pub slots: Vec<(u16, u16)>,
    pub pools: HashMap<u16, Pool>,
    /// What members' endpoints stand for: address, port, protocol.
    pub replies: HashMap<(IpAddr, u16, u8), ReplySpec>,
    /// Ways back to single clients; to all others by [`OTHER`].
    pub ways: HashMap<IpAddr, Way>,
    /// Records that each flow table has room for.
    pub room: u32,
    pub now: u32,
}

pub fn vip4() -> IpAddr {
    Ipv4Addr::new(192, 0, 2, 10).into()
}

pub fn vip6() -> IpAddr {
    "2001:db8::10".parse().unwrap()
}

/// Any TCP port of this address is forwarded.
pub fn any4() -> IpAddr {
    Ipv4Addr::new(192, 0, 2, 11).into()
}

pub fn any6() -> IpAddr {
    "2001:db8::11".parse().unwrap()
}

/// Announced, without a listener.
pub fn bare4() -> IpAddr {
    Ipv4Addr::new(192, 0, 2, 12).into()
}

pub fn bare6() -> IpAddr {
    "2001:db8::12".parse().unwrap()
}

/// Not announced.
pub fn quiet4() -> IpAddr {
    Ipv4Addr::new(192, 0, 2, 13).into()
}

pub fn quiet6() -> IpAddr {
    "2001:db8::13".parse().unwrap()
}

/// This host's own, too.
pub fn own4() -> IpAddr {
    Ipv4Addr::new(192, 0, 2, 14).into()
}

pub fn own6() -> IpAddr {
    "2001:db8::14".parse().unwrap()
}

/// Backends by what is special about them.
pub mod id {
    pub const L2: u16 = 1;
    pub const IN_V4: u16 = 2;
    pub const IN_V6: u16 = 3;
    pub const REDIRECT: u16 = 4;
    pub const NO_DEVICE: u16 = 5;
    pub const NO_NEXT_HOP: u16 = 6;
    /// Takes no new flows.
    pub const FORMER: u16 = 8;
    /// Serves nothing any more.
    pub const GONE: u16 = 9;
    pub const GUE_V4: u16 = 10;
    pub const GUE_V6: u16 = 11;
    pub const NARROW: u16 = 12;
    pub const NARROW_V6: u16 = 13;
    /// Owned slots before, and takes new flows elsewhere.
    pub const BUSY: u16 = 14;
    /// Gets packets translated to another port.
    pub const NAT: u16 = 7;
    pub const NAT_V6: u16 = 15;
    pub const MISSING: u16 = 60_000;
}

/// Ports of the listeners, by what is special about them.
pub mod port {
    pub const L2: u16 = 80;
    pub const IN_V4: u16 = 81;
    pub const IN_V6: u16 = 82;
    pub const REDIRECT: u16 = 83;
    pub const NO_DEVICE: u16 = 84;
    pub const NO_NEXT_HOP: u16 = 85;
    pub const EMPTY: u16 = 86;
    pub const NO_RING: u16 = 87;
    pub const DISABLED: u16 = 88;
    pub const OUT_OF_RANGE: u16 = 89;
    pub const MISSING: u16 = 90;
    pub const MOVING: u16 = 91;
    pub const MOVING_GONE: u16 = 92;
    /// Slots with exceptions.
    pub const EXCEPTIONS: u16 = 93;
    pub const MOVING_EMPTY: u16 = 94;
    pub const MOVING_RELEASED: u16 = 95;
    pub const GUE_V4: u16 = 96;
    pub const GUE_V6: u16 = 97;
    pub const NARROW: u16 = 98;
    pub const NARROW_V6: u16 = 99;
    pub const SPREAD: u16 = 100;
    pub const MOVING_BUSY: u16 = 101;
    pub const NO_MEMBER: u16 = 102;
    pub const NAT: u16 = 103;
    /// The members' own.
    pub const MEMBER: u16 = 8080;
    /// The member's packets come by another interface.
    pub const MEMBER_ELSEWHERE: u16 = 8081;
}

/// A ring per listener, all slots alike, so that a test knows the backend from the port; one ring
/// is spread over three backends.
#[expect(clippy::too_many_lines, reason = "one line for each record")]
pub fn world(now: u32) -> World {
    let mut world = World { now, room: ROOM, ..World::default() };
    let v4 = |n: u8| IpAddr::from(Ipv4Addr::new(10, 0, 0, n));
    let v6 = |n: u16| IpAddr::from(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n));
    let mut backend = |id: u16, mode, address, interface, reachable, established| {
        let mac = [2, 0, 0, 1, (id >> 8) as u8, id as u8];
        let mtu = match id {
            id::NARROW => NARROW_MTU,
            id::NARROW_V6 => NARROW_V6_MTU,
            _ => MTU,
        };
        let takes_new = ![id::FORMER, id::GONE].contains(&id);
        let spec =
            BackendSpec { mode, address, mac, interface, mtu, reachable, established, takes_new };
        world.backends.insert(id, spec);
    };
    backend(id::L2, Mode::L2, v4(11), INGRESS, true, true);
    backend(id::IN_V4, Mode::Ipip, v4(12), INGRESS, true, true);
    backend(id::IN_V6, Mode::Ipip, v6(13), INGRESS, true, true);
    backend(id::REDIRECT, Mode::Ipip, v4(14), OTHER, true, true);
    backend(id::NO_DEVICE, Mode::L2, v4(15), UNKNOWN, true, true);
    backend(id::NO_NEXT_HOP, Mode::Ipip, v4(16), INGRESS, false, true);
    backend(id::FORMER, Mode::Ipip, v4(18), INGRESS, true, true);
    backend(id::GONE, Mode::Ipip, v4(19), INGRESS, true, false);
    backend(id::GUE_V4, Mode::Gue, v4(20), INGRESS, true, true);
    backend(id::GUE_V6, Mode::Gue, v6(21), INGRESS, true, true);
    backend(id::NARROW, Mode::Ipip, v4(22), INGRESS, true, true);
    backend(id::NARROW_V6, Mode::Ipip, v6(23), INGRESS, true, true);
    backend(id::BUSY, Mode::Ipip, v4(24), INGRESS, true, true);
    backend(id::NAT, Mode::Nat(port::MEMBER), v4(25), INGRESS, true, true);
    backend(id::NAT_V6, Mode::Nat(port::MEMBER), v6(26), INGRESS, true, true);

    for (vip, protocol) in [(vip4(), TCP), (vip6(), TCP), (vip4(), UDP), (vip6(), UDP)] {
        for (port, cur, prev) in [
            (port::L2, id::L2, 0),
            (port::IN_V4, id::IN_V4, 0),
            (port::IN_V6, id::IN_V6, 0),
            (port::REDIRECT, id::REDIRECT, 0),
            (port::NO_DEVICE, id::NO_DEVICE, 0),
            (port::NO_NEXT_HOP, id::NO_NEXT_HOP, 0),
            (port::EMPTY, 0, 0),
            (port::DISABLED, id::L2, 0),
            (port::MISSING, id::MISSING, 0),
            (port::MOVING, id::IN_V4, id::FORMER),
            (port::MOVING_GONE, id::IN_V4, id::GONE),
            (port::EXCEPTIONS, id::IN_V4, id::IN_V4),
            (port::MOVING_EMPTY, 0, id::FORMER),
            (port::MOVING_RELEASED, id::IN_V4, id::FORMER),
            (port::MOVING_BUSY, id::IN_V4, id::BUSY),
            (port::NO_MEMBER, 0, Slot::NO_MEMBER),
            (port::GUE_V4, id::GUE_V4, 0),
            (port::GUE_V6, id::GUE_V6, 0),
            (port::NARROW, id::NARROW, 0),
            (port::NARROW_V6, id::NARROW_V6, 0),
        ] {
            world.listen(vip, port, protocol, &[(cur, prev); 5]);
        }
        let spread: Vec<_> =
            (0..4093u32).map(|i| ([1, 2, 3][((i * 7 + i / 5) % 3) as usize], 0)).collect();
        world.listen(vip, port::SPREAD, protocol, &spread);
        world.listen(vip, port::NO_RING, protocol, &[]);
        world.translate(vip, protocol);
        world.listen(vip, port::OUT_OF_RANGE, protocol, &[(1, 0)]);
        world.listeners.last_mut().unwrap().ring_base = 1 << 30;
    }
    for vip in [any4(), any6()] {
        world.listen(vip, 0, TCP, &[(id::IN_V4, 0)]);
        world.listeners.last_mut().unwrap().free_bits = 16;
        world.listen(vip, 22, TCP, &[(id::L2, 0)]);
    }
    for listener in &mut world.listeners {
        listener.disabled = listener.port == port::DISABLED;
        let held = listener.port != port::MOVING_RELEASED;
        let udp_hold_until = if held { now + 3600 } else { now.saturating_sub(10) };
        let ring = Ring { base: listener.ring_base, size: listener.ring_size, ..Ring::default() };
        let pool = Pool { udp_hold_until, idle_timeout: IDLE, ring, ..Pool::default() };
        world.pools.insert(listener.pool, pool);
    }
    let all = vip_flags::ECHO | vip_flags::ANNOUNCE;
    world.vips = HashMap::from([
        (vip4(), all),
        (vip6(), all),
        (any4(), all | vip_flags::RANGES_TCP),
        (any6(), all | vip_flags::RANGES_TCP),
        (bare4(), vip_flags::ANNOUNCE),
        (bare6(), vip_flags::ANNOUNCE),
        (quiet4(), vip_flags::ECHO),
        (quiet6(), vip_flags::ECHO),
        (own4(), vip_flags::ANNOUNCE | vip_flags::OWN),
        (own6(), vip_flags::ANNOUNCE | vip_flags::OWN),
    ]);
    world
}

impl World {
    /// The listener for TCP at this port of [`vip4`].
    pub fn tcp4(&self, port: u16) -> &ListenerSpec {
        &self.listeners[usize::from(self.tcp4_id(port))]
    }

    /// Its id.
    pub fn tcp4_id(&self, port: u16) -> u16 {
        let is = |l: &ListenerSpec| (l.port, l.protocol, l.address) == (port, TCP, vip4());
        self.listeners.iter().position(is).expect("a listener of the world") as u16
    }

    fn listen(&mut self, address: IpAddr, port: u16, protocol: u8, ring: &[(u16, u16)]) {
        let (ring_base, ring_size) = (self.slots.len() as u32, ring.len() as u32);
        let pool = self.listeners.len() as u16;
        let disabled = false;
        self.slots.extend(ring);
        self.slots.resize(self.slots.len().next_multiple_of(16), (0, 0));
        self.listeners.push(ListenerSpec {
            address,
            port,
            free_bits: 0,
            protocol,
            disabled,
            ring_base,
            ring_size,
            pool,
        });
    }

    /// The world as map records.
    pub fn memory(&self) -> Memory {
        // Swept for as long as a test takes, on however slow a machine.
        let believed = Memory::with_room(self.room, u32::MAX);
        let mut memory = Memory { devices: vec![OTHER], now: self.now, ..believed };
        memory.slots = self.slots.iter().map(|(cur, prev)| Slot::new(*cur, *prev)).collect();
        for (index, spec) in self.listeners.iter().enumerate() {
            let listener = Listener {
                ring_base: spec.ring_base,
                ring_size: spec.ring_size,
                id: index as u16,
                pool: spec.pool,
                flags: if spec.disabled { listener_flags::DISABLED } else { 0 },
                ..Listener::default()
            };
            let served = ListenerPool { pool: spec.pool, flags: listener_pool_flags::EXISTS };
            memory.listener_pools.insert(listener.id, served);
            let port = Be16::new(spec.port);
            match spec.address {
                _ if spec.free_bits > 0 => {
                    let key = RangeKey::new(vip_number(spec.address), port, spec.protocol);
                    let bits = RANGE_FIXED_BITS + 16 - spec.free_bits;
                    memory.ranges.push((bits, key, listener));
                }
                IpAddr::V4(a) => {
                    let key = ListenerKeyV4::new(be32(a), port, spec.protocol);
                    memory.listeners_v4.insert(key, listener);
                }
                IpAddr::V6(a) => {
                    let key = ListenerKeyV6::new(be128(a), port, spec.protocol);
                    memory.listeners_v6.insert(key, listener);
                }
            }
        }
        for (address, flags) in &self.vips {
            let vip = Vip { flags: *flags, number: vip_number(*address) };
            match address {
                IpAddr::V4(a) => drop(memory.vips_v4.insert(be32(*a), vip)),
                IpAddr::V6(a) => drop(memory.vips_v6.insert(be128(*a), vip)),
            }
        }
        self.ways_back(&mut memory);
        memory.pools = self.pools.clone();
        memory.backends = self.backends.iter().map(|(id, spec)| (*id, spec.record())).collect();
        memory
            .interfaces
            .insert(INGRESS, Interface { mac: Mac::new(OUR_MAC), ..Interface::default() });
        memory.more_macs.insert(MacKey::new(INGRESS, Mac::new(UPPER_MAC)));
        memory.more_macs.insert(MacKey::new(OTHER, Mac::new(FOREIGN_MAC)));
        memory
    }
}

impl BackendSpec {
    fn record(&self) -> Backend {
        let mut flags = 0;
        if self.reachable {
            flags |= backend_flags::REACHABLE;
        }
        if self.established {
            flags |= backend_flags::ESTABLISHED;
        }
        if self.takes_new {
            flags |= backend_flags::NEW;
        }
        let mut record = Backend {
            next_hop: Mac::new(self.mac),
            flags,
            source: Mac::new(OUR_MAC),
            ifindex: self.interface,
            ..Backend::default()
        };
        match self.address {
            IpAddr::V4(address) => {
                record.mode = if self.mode == Mode::Gue { mode::GUE_V4 } else { mode::IPIP_V4 };
                record.address = Be128::from_raw([be32(address).raw(), 0, 0, 0]);
                record.outer_source = Be128::from_raw([be32(LB4).raw(), 0, 0, 0]);
                record.outer_sum = outer_sum(be32(LB4), be32(address));
            }
            IpAddr::V6(address) => {
                record.mode = if self.mode == Mode::Gue { mode::GUE_V6 } else { mode::IPIP_V6 };
                record.address = be128(address);
                record.outer_source = be128(LB6);
            }
        }
        match self.mode {
            Mode::L2 => record.mode = mode::L2,
            Mode::Nat(port) => {
                let mut translation = Translation::new(record.address, Be16::new(port), 0);
                translation.segment = segment(self.address);
                (record.mode, record.outer_source) = (mode::NAT, translation.to_words());
            }
            Mode::Ipip | Mode::Gue => {}
        }
        record.set_mtu(self.mtu);
        record
    }
}

/// The number of a virtual address in `PORT_RANGES`: any that no other has.
fn vip_number(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(a) => a.to_bits(),
        IpAddr::V6(a) => a.to_bits() as u32,
    }
}

pub fn be32(address: Ipv4Addr) -> Be32 {
    bytemuck::cast(address.octets())
}

pub fn be128(address: Ipv6Addr) -> Be128 {
    bytemuck::cast(address.octets())
}
