//! The listeners, rings and backends that are measured, and the frames sent to them.
#![allow(clippy::cast_possible_truncation, reason = "all numbers here are small constants")]

use std::net::{Ipv4Addr, Ipv6Addr};

use anyhow::{Result, ensure};
use bytemuck::Zeroable as _;
use elb_common::addr::{Be16, Be32, Be128, Mac};
use elb_common::backend::{Backend, backend_flags, mode, outer_sum};
use elb_common::listener::{Listener, ListenerKeyV4, ListenerKeyV6};
use elb_common::path::Memory;
use elb_common::pool::Pool;
use elb_common::ring::Slot;
use elb_tests_ebpf::bench::{FRAME, Template};

use crate::cases::{Case, Kind, To};

/// Slots of each ring, as by default.
const RING: u32 = 65_537;
/// Backends of each ring.
const BACKENDS: u16 = 100;
/// Seconds that no bench lasts: recorded flows count throughout.
const IDLE: u32 = 4000;
/// The interface that TEST_RUN frames come by, so that all leave by it.
const LOOPBACK: u32 = 1;

const VIP4: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
const FOREIGN: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 99);
const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10);

const IPIP: Route = Route { port: 80, pool: 0 };
const MOVING: Route = Route { port: 81, pool: 1 };
const L2: Route = Route { port: 82, pool: 2 };
const IPIP_V6: Route = Route { port: 83, pool: 3 };

#[derive(Clone, Copy)]
struct Route {
    port: u16,
    pool: u16,
}

impl Route {
    fn listener(self) -> Listener {
        let ring_base = u32::from(self.pool) * RING.next_multiple_of(16);
        let (id, pool) = (self.pool, self.pool);
        Listener {
            ring_base,
            ring_size: RING,
            id,
            pool,
            flow_budget: u32::MAX,
            ..Listener::default()
        }
    }
}

/// What the forwarding program's maps hold.
pub fn memory() -> Memory {
    let mut memory = Memory::default();
    for route in [IPIP, MOVING, L2, IPIP_V6] {
        let listener = route.listener();
        memory.slots.resize(listener.ring_base as usize, Slot::default());
        let owner =
            |slot: u32| 1 + route.pool * BACKENDS + (mix(slot) % u32::from(BACKENDS)) as u16;
        let prev = |slot| if route.port == MOVING.port { owner(slot + 1) } else { 0 };
        memory.slots.extend((0..RING).map(|slot| Slot::new(owner(slot), prev(slot))));
        memory.pools.insert(route.pool, Pool { idle_timeout: IDLE, ..Pool::default() });
        for protocol in [6, 17] {
            let port = Be16::new(route.port);
            let v4 = ListenerKeyV4::new(bytemuck::cast(VIP4.octets()), port, protocol);
            let v6 = ListenerKeyV6::new(bytemuck::cast(VIP6.octets()), port, protocol);
            memory.listeners_v4.insert(v4, listener);
            memory.listeners_v6.insert(v6, listener);
        }
        for n in 0..BACKENDS {
            let id = 1 + route.pool * BACKENDS + n;
            memory.backends.insert(id, backend(route, n));
        }
    }
    memory
}

/// What the floor's maps hold.
pub struct Floor {
    pub key: [u32; 5],
    pub listener: Listener,
    pub slots: Vec<Slot>,
    pub backends: Vec<(u16, Backend)>,
}

/// The listener, the ring and the backends that the floor needs: those of `To::Ipip`.
pub fn floor() -> Floor {
    let memory = memory();
    let port = u32::from(Be16::new(IPIP.port).raw());
    let key = [u32::from_ne_bytes(VIP4.octets()), 0, 0, 0, port | 6 << 16];
    let backends = memory.backends.into_iter().filter(|(id, _)| *id <= BACKENDS).collect();
    let slots = memory.slots[..RING as usize].to_vec();
    Floor { key, listener: IPIP.listener(), slots, backends }
}

fn backend(route: Route, n: u16) -> Backend {
    let [high, low] = n.to_be_bytes();
    let mac = Mac::new([2, 0, 0, 1, high, low]);
    let mut backend = Backend {
        next_hop: mac,
        source: mac,
        mode: if route.port == L2.port { mode::L2 } else { mode::IPIP_V4 },
        flags: backend_flags::REACHABLE | backend_flags::ESTABLISHED,
        mtu: 1500,
        ifindex: LOOPBACK,
        ..Backend::default()
    };
    if route.port == IPIP_V6.port {
        backend.mode = mode::IPIP_V6;
        backend.address = bytemuck::cast(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, n).octets());
        backend.outer_source = bytemuck::cast(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 1, 0).octets());
    } else {
        let address: Be32 = bytemuck::cast([10, 0, high, low]);
        let source: Be32 = bytemuck::cast([10u8, 1, 0, 1]);
        backend.address = Be128::from_raw([address.raw(), 0, 0, 0]);
        backend.outer_source = Be128::from_raw([source.raw(), 0, 0, 0]);
        backend.outer_sum = outer_sum(source, address);
    }
    backend
}

fn mix(slot: u32) -> u32 {
    (slot ^ (slot >> 15)).wrapping_mul(0x2c1b_3c6d) >> 8
}

/// The frame of a case, and where its flow number goes.
pub fn template(case: &Case) -> Result<Template> {
    template_of(case.kind, case.to, case.flows)
}

/// A frame of a kind, to a listener, of one of `flows` flows.
pub fn template_of(kind: Kind, to: To, flows: u32) -> Result<Template> {
    ensure!(flows.is_power_of_two(), "{flows} flows are not a power of two");
    let v6 = to == To::IpipV6;
    let port = match to {
        To::Ipip | To::Foreign => IPIP.port,
        To::Moving => MOVING.port,
        To::L2 => L2.port,
        To::IpipV6 => IPIP_V6.port,
    };
    let protocol = if kind == Kind::Udp { 17 } else { 6 };
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0xc1];
    if v6 {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0, (FRAME - 54) as u8, protocol, 64]);
        frame.extend(Ipv6Addr::new(0x2001, 0xdb8, 0xc, 0, 0, 0, 0, 0).octets());
        frame.extend(VIP6.octets());
    } else {
        let destination = if to == To::Foreign { FOREIGN } else { VIP4 };
        frame.extend([8, 0, 0x45, 0, 0, (FRAME - 14) as u8, 0, 0, 0x40, 0, 64, protocol, 0, 0]);
        frame.extend([198, 18, 0, 0]);
        frame.extend(destination.octets());
    }
    let transport = frame.len();
    frame.extend([4, 0]);
    frame.extend(port.to_be_bytes());
    if kind == Kind::Udp {
        frame.extend([0, (FRAME - transport) as u8, 0, 0]);
    } else {
        let flags = if kind == Kind::Syn { 0x02 } else { 0x10 };
        frame.extend([0, 0, 0, 1, 0, 0, 0, 2, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    }
    frame.resize(FRAME, 0);
    let mut template = Template::zeroed();
    bytemuck::cast_slice_mut::<u64, u8>(&mut template.words).copy_from_slice(&frame);
    template.mask = flows - 1;
    template.address = if v6 { 14 + 8 + 14 } else { 14 + 12 + 2 };
    template.port = u32::try_from(transport)?;
    Ok(template)
}
