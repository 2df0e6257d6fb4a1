//! A world whose listener has a pool of source addresses, in the kernel and on the host.

use std::net::{IpAddr, Ipv4Addr};

use elb_common::addr::{Be16, Be128};
use elb_common::backend::mode;
use elb_common::binding::{Binding, Bucket, Course, Owner};
use elb_common::listener::{ListenerEndpoint, ListenerKeyV4, listener_flags, vip_flags};
use elb_common::names;
use elb_common::path::{Memory, Outcome};
use elb_common::reply::reply_flags;
use elb_common::snat::{self, Snat, WAYS};

use crate::frame::*;
use crate::kernel::now;
pub(super) use crate::scene::Scene;
use crate::world::translation::{ROUTER_MAC, client};
use crate::world::*;

pub(super) const MEMBER: &str = "10.0.0.25";
pub(super) const CLIENT: &str = client::FAR[0];
pub(super) const CLIENT_PORT: u16 = 40_000;
/// One of the source addresses.
pub(super) const SOURCE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 209);
/// Ethernet address of the member.
pub(super) const MEMBER_MAC: [u8; 6] = [2, 0, 0, 1, 0, id::NAT as u8];
pub(super) const SNAT: Snat = Snat {
    network: elb_common::addr::Be32::from_raw(u32::from_ne_bytes([10, 0, 0, 208])),
    addresses: 4,
    secret: 0x0123_4567_89ab_cdef,
};

/// Runs a test with each program that forwards.
pub(super) fn with_each(test: impl Fn(Scene)) {
    Scene::each(bind, test);
}

/// A source address and port of ours.
pub(super) type Source = (Ipv4Addr, u16);

impl Scene {
    /// All bindings are the same in the kernel and on the host.
    #[track_caller]
    pub(super) fn compare_bindings(&self) {
        let known: Vec<u32> = self.memory.written.borrow().bindings.keys().copied().collect();
        for number in known {
            self.binding(number);
        }
        let is_owned = |one: &&Binding| one.owner != Owner::default();
        let buckets = SNAT.addresses * snat::BUCKETS;
        let buckets = (0..buckets).map(|at| self.kernel.element::<Bucket>(names::BINDINGS_V4, at));
        let kernel: usize = buckets.map(|bucket| bucket.iter().filter(is_owned).count()).sum();
        let written = self.memory.written.borrow();
        assert_eq!(kernel, written.bindings.values().filter(is_owned).count());
    }

    /// A client's packet is forwarded: where its member sees it come from. Every byte is as if it had been sent so.
    #[track_caller]
    pub(super) fn forwards(&mut self, packet: &Packet) -> Source {
        let (outcome, bytes) = self.run(&packet.frame());
        assert_eq!(outcome, Outcome::Transmit);
        let source = source_of(&bytes);
        assert!(SNAT.holds(bytemuck::cast(source.0.octets())) && source.1 >= 1024, "{source:?}");
        let expected = rewritten(packet, (source.0, source.1), (member(), port::MEMBER));
        assert_eq!(bytes, framed(&expected, MEMBER_MAC, OUR_MAC));
        source
    }

    /// A member's packet is forwarded to the client.
    #[track_caller]
    pub(super) fn returns(&mut self, packet: &Packet) {
        let (outcome, bytes) = self.run(&from_member(packet));
        assert_eq!(outcome, Outcome::Redirect(OTHER));
        let IpAddr::V4(vip) = vip4() else { unreachable!() };
        let to = (CLIENT.parse().unwrap(), CLIENT_PORT);
        let expected = rewritten(packet, (vip, port::NAT), to);
        assert_eq!(bytes, framed(&expected, ROUTER_MAC, OUR_MAC));
    }

    pub(super) fn number(source: Source) -> u32 {
        SNAT.number(bytemuck::cast(source.0.octets()), Be16::new(source.1))
    }

    /// The binding of a port; kernel and host have the same, but for the second.
    #[track_caller]
    pub(super) fn binding(&self, number: u32) -> Binding {
        let bucket: Bucket = self.kernel.element(names::BINDINGS_V4, number / WAYS);
        let kernel = bucket[(number % WAYS) as usize];
        let host = self.memory.written.borrow().bindings.get(&number).copied().unwrap_or_default();
        let known = |one: Binding| {
            let Binding { owner, course } = one;
            (owner, course.backend(), course.lifetime(), course.stage())
        };
        assert_eq!(known(kernel), known(host));
        kernel
    }

    pub(super) fn set(&mut self, number: u32, binding: Binding) {
        let mut bucket: Bucket = self.kernel.element(names::BINDINGS_V4, number / WAYS);
        bucket[(number % WAYS) as usize] = binding;
        self.kernel.set(names::BINDINGS_V4, number / WAYS, bucket);
        self.memory.written.borrow_mut().bindings.insert(number, binding);
    }

    /// The flow was last seen so many seconds ago.
    pub(super) fn ages(&mut self, source: Source, seconds: u32) {
        let number = Self::number(source);
        let Binding { owner, course } = self.binding(number);
        let Course(word) = course;
        let seen = u64::from(now().wrapping_sub(seconds) & 0xff_ffff);
        let course = Course(word & 0xff_ffff_ffff | seen << 40);
        self.set(number, Binding { owner, course });
    }
}

/// Makes the listener's pool one of source addresses.
pub(super) fn bind(memory: &mut Memory) {
    memory.snat = Some(SNAT);
    let IpAddr::V4(vip) = vip4() else { unreachable!() };
    for protocol in [TCP, UDP] {
        let vip = bytemuck::cast(vip.octets());
        let key = ListenerKeyV4::new(vip, Be16::new(port::NAT), protocol);
        let listener = memory.listeners_v4.get_mut(&key).expect("a listener of the world");
        listener.flags |= listener_flags::BINDS;
        let vip = Be128::from_raw([vip.raw(), 0, 0, 0]);
        let endpoint = ListenerEndpoint { vip, port: Be16::new(port::NAT), reserved: 0 };
        memory.endpoints.insert(listener.id, endpoint);
    }
    memory.backends.get_mut(&id::NAT).expect("a backend of the world").mode = mode::FULLNAT;
    for address in 208..212u8 {
        let address = bytemuck::cast([10u8, 0, 0, address]);
        let flags = vip_flags::SOURCE | vip_flags::ECHO | vip_flags::ANNOUNCE;
        memory.vips_v4.insert(address, elb_common::listener::Vip { flags, number: 0 });
    }
    memory.replies_v4.values_mut().for_each(|reply| reply.flags |= reply_flags::PROBES);
}

pub(super) fn member() -> Ipv4Addr {
    MEMBER.parse().unwrap()
}

/// Sender and its port of the packet in an untagged frame.
pub(super) fn source_of(frame: &[u8]) -> Source {
    let payload = 14 + usize::from(frame[14] & 15) * 4;
    let address: [u8; 4] = frame[26..30].try_into().unwrap();
    (address.into(), u16::from_be_bytes([frame[payload], frame[payload + 1]]))
}

/// The packet as if it had been sent between other ends, a hop ago. A checksum that there is not stays none.
pub(super) fn rewritten(packet: &Packet, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Packet {
    let mut packet = Packet { ttl: packet.ttl - 1, ..packet.clone() };
    (packet.source, packet.destination) = (from.0.into(), to.0.into());
    packet.payload[..2].copy_from_slice(&from.1.to_be_bytes());
    packet.payload[2..4].copy_from_slice(&to.1.to_be_bytes());
    if packet.protocol == TCP {
        seal(&mut packet, 16);
    } else if packet.payload[6..8] != [0, 0] {
        seal(&mut packet, 6);
        if packet.payload[6..8] == [0, 0] {
            packet.payload[6..8].fill(0xff);
        }
    }
    packet
}

pub(super) fn framed(packet: &Packet, to: [u8; 6], from: [u8; 6]) -> Vec<u8> {
    ethernet(to, from, &[], 0x0800, &packet.ip())
}

pub(super) fn asks(flags: u8, data: &[u8]) -> Packet {
    tcp(CLIENT, CLIENT_PORT, vip4(), port::NAT, flags, data)
}

pub(super) fn asks_udp(data: &[u8]) -> Packet {
    udp(CLIENT, CLIENT_PORT, vip4(), port::NAT, data)
}

pub(super) fn answers((address, to): Source, flags: u8, data: &[u8]) -> Packet {
    tcp(MEMBER, port::MEMBER, address.into(), to, flags, data)
}

pub(super) fn answers_udp((address, to): Source, data: &[u8]) -> Packet {
    udp(MEMBER, port::MEMBER, address.into(), to, data)
}

pub(super) fn from_member(packet: &Packet) -> Vec<u8> {
    framed(packet, OUR_MAC, MEMBER_MAC)
}
