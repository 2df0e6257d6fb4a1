//! A world whose virtual IPv4 address has a member with IPv6, which clients with IPv6 reach, too.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::{Deref, DerefMut};

use elb_common::addr::Be16;
use elb_common::backend::{Backend, mode};
use elb_common::embedded::{Prefix, embed};
use elb_common::listener::{ListenerEndpoint, ListenerKeyV4};
use elb_common::path::{Memory, Outcome};

use crate::frame::*;
use crate::oracle::replies::member_of;
use crate::scene::Scene;
use crate::world::translation::{ROUTER_MAC, client};
use crate::world::*;

pub(super) const CLIENT: &str = client::FAR[0];
pub(super) const CLIENT_PORT: u16 = 40_000;
/// Ethernet address of the member.
pub(super) const MEMBER_MAC: [u8; 6] = [2, 0, 0, 1, 0, id::NAT_V6 as u8];
/// What the addresses begin with that the member knows clients by.
pub(super) const PREFIX: Prefix =
    [u32::from_ne_bytes([0x20, 0x01, 0x0d, 0xb8]), u32::from_ne_bytes([0, 1, 0, 0x64])];

/// Makes the member of a virtual IPv4 address one with IPv6: that of the virtual IPv6 address.
pub(super) fn set_up(memory: &mut Memory) {
    let member = memory.backends[&id::NAT_V6];
    let mut backend = Backend { mode: mode::NAT46, ..member };
    backend.set_mtu(MTU);
    memory.backends.insert(id::NAT, backend);
    for protocol in [TCP, UDP] {
        let listener = listener(memory, protocol);
        let endpoint = ListenerEndpoint::v4(be32(vip()), Be16::new(port::NAT), Some(PREFIX));
        memory.endpoints.insert(listener, endpoint);
    }
}

fn be32(address: Ipv4Addr) -> elb_common::addr::Be32 {
    bytemuck::cast(address.octets())
}

pub(super) fn vip() -> Ipv4Addr {
    let IpAddr::V4(vip) = vip4() else { unreachable!("it is IPv4") };
    vip
}

pub(super) fn member() -> Ipv6Addr {
    let IpAddr::V6(member) = member_of(vip6()) else { unreachable!("it is IPv6") };
    member
}

/// The number of the listener.
pub(super) fn listener(memory: &Memory, protocol: u8) -> u16 {
    let key = ListenerKeyV4::new(be32(vip()), Be16::new(port::NAT), protocol);
    memory.listeners_v4[&key].id
}

/// The world with a member of the other version.
pub(super) struct Mixed(Scene);

impl Deref for Mixed {
    type Target = Scene;

    fn deref(&self) -> &Scene {
        &self.0
    }
}

impl DerefMut for Mixed {
    fn deref_mut(&mut self) -> &mut Scene {
        &mut self.0
    }
}

/// Runs a test with each program that forwards.
pub(super) fn each(test: impl Fn(Mixed)) {
    Scene::each(set_up, |scene| test(Mixed(scene)));
}

impl Mixed {
    /// What the member knows a client by.
    pub(super) fn known(&self, client: &str, protocol: u8) -> Ipv6Addr {
        let listener = listener(&self.memory, protocol);
        let address = embed(PREFIX, listener, be32(client.parse().unwrap()));
        let octets: [u8; 16] = bytemuck::cast(address);
        octets.into()
    }

    /// A client's packet is forwarded. Every byte is as if it had been sent so.
    #[track_caller]
    pub(super) fn forwards(&mut self, packet: &Packet) {
        self.forwards_as(packet, &self.in_v6(packet));
    }

    #[track_caller]
    pub(super) fn forwards_as(&mut self, packet: &Packet, expected: &Packet) {
        self.becomes(&packet.frame(), Outcome::Transmit, &to_member(expected, &[]));
    }

    /// A member's packet is forwarded to the client.
    #[track_caller]
    pub(super) fn returns(&mut self, packet: &Packet) {
        let expected = self.in_v4(packet);
        self.returns_as(packet, &expected);
    }

    #[track_caller]
    pub(super) fn returns_as(&mut self, packet: &Packet, expected: &Packet) {
        let wanted = Outcome::Redirect(OTHER);
        self.becomes(&from_member(packet), wanted, &to_client(expected, &[]));
    }

    #[track_caller]
    pub(super) fn becomes(&mut self, frame: &[u8], outcome: Outcome, expected: &[u8]) {
        let (came, bytes) = self.run(frame);
        assert_eq!(came, outcome);
        assert_eq!(crate::cases::hex(&bytes), crate::cases::hex(expected));
    }

    /// A client's packet as the member sees it.
    pub(super) fn in_v6(&self, packet: &Packet) -> Packet {
        let source = self.known(&packet.source.to_string(), packet.protocol);
        let mut new = between(packet, source.into(), member().into());
        new.options.clear();
        if packet.fragment & 0x3fff != 0 {
            let (place, more) = (packet.fragment << 3, packet.fragment >> 13 & 1);
            let header = fragment_header(packet.protocol, place | more, u32::from(packet.id));
            new = new.extensions(44, &header);
        }
        if packet.fragment & 0x1fff == 0 {
            new.payload[2..4].copy_from_slice(&port::MEMBER.to_be_bytes());
            resealed(packet, &mut new);
        }
        new
    }

    /// A member's packet as the client sees it.
    pub(super) fn in_v4(&self, packet: &Packet) -> Packet {
        let IpAddr::V6(to) = packet.destination else { panic!("an answer is IPv6") };
        let [.., a, b, c, d] = to.octets();
        let mut new = between(packet, vip4(), Ipv4Addr::new(a, b, c, d).into());
        (new.first_header, new.fragment, new.id) = (None, 0x4000, 0);
        new.extensions.clear();
        let [_, _, high, low, _, _, third, fourth] = packet.extensions[..] else {
            return whole_in_v4(packet, new);
        };
        assert_eq!(packet.first_header, Some(44), "only fragments are made so");
        let word = u16::from_be_bytes([high, low]);
        new.fragment = word >> 3 | (word & 1) << 13;
        new.id = u16::from_be_bytes([third, fourth]);
        if word >> 3 == 0 {
            new.payload[..2].copy_from_slice(&port::NAT.to_be_bytes());
            resealed(packet, &mut new);
        }
        new
    }
}

fn whole_in_v4(packet: &Packet, mut new: Packet) -> Packet {
    new.payload[..2].copy_from_slice(&port::NAT.to_be_bytes());
    resealed(packet, &mut new);
    // A small one may be taken apart on its way, and has a number therefore: its checksum.
    if packet.payload.len() + 40 <= 1280 {
        let at = if packet.protocol == TCP { 16 } else { 6 };
        new.id = u16::from_ne_bytes([new.payload[at], new.payload[at + 1]]);
        new.fragment = 0;
    }
    new
}

/// The packet between other addresses, a hop later.
fn between(packet: &Packet, source: IpAddr, destination: IpAddr) -> Packet {
    Packet { source, destination, ttl: packet.ttl - 1, ..packet.clone() }
}

/// The checksum of all that was sent, whose first part alone may be in the packet.
fn resealed(old: &Packet, new: &mut Packet) {
    let at = if old.protocol == TCP { 16 } else { 6 };
    let sum_before = old.payload[at..at + 2].to_vec();
    // What the rest of a datagram in fragments adds, both sums have.
    let mut plain = old.clone();
    seal(&mut plain, at);
    let rest = less(&sum_before, &plain.payload[at..at + 2]);
    seal(new, at);
    let sum = more(&new.payload[at..at + 2], rest);
    let is_udp = old.protocol == UDP;
    let sum = if is_udp && sum == 0 { 0xffff } else { sum };
    new.payload[at..at + 2].copy_from_slice(&sum.to_be_bytes());
}

/// One's complement numbers.
fn less(one: &[u8], other: &[u8]) -> u16 {
    let number = |bytes: &[u8]| u32::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    fold(number(one) + (0xffff - number(other)))
}

fn more(one: &[u8], other: u16) -> u16 {
    let sum = fold(u32::from(u16::from_be_bytes([one[0], one[1]])) + u32::from(other));
    if sum == 0xffff { 0 } else { sum }
}

fn fold(sum: u32) -> u16 {
    (sum % 0xffff) as u16
}

/// The frame that the member gets. Its packet has no flow label.
pub(super) fn to_member(packet: &Packet, vlans: &[u16]) -> Vec<u8> {
    ethernet(MEMBER_MAC, OUR_MAC, vlans, 0x86dd, &unlabelled(packet.ip()))
}

pub(super) fn unlabelled(mut packet: Vec<u8>) -> Vec<u8> {
    packet[1] &= 0xf0;
    packet[2..4].fill(0);
    packet
}

/// The frame that the next hop to clients gets.
pub(super) fn to_client(packet: &Packet, vlans: &[u16]) -> Vec<u8> {
    ethernet(ROUTER_MAC, OUR_MAC, vlans, 0x0800, &packet.ip())
}

pub(super) fn from_member(packet: &Packet) -> Vec<u8> {
    tagged_from_member(packet, &[])
}

pub(super) fn tagged_from_member(packet: &Packet, vlans: &[u16]) -> Vec<u8> {
    ethernet(OUR_MAC, MEMBER_MAC, vlans, 0x86dd, &packet.ip())
}

pub(super) fn asks(flags: u8, data: &[u8]) -> Packet {
    tcp(CLIENT, CLIENT_PORT, vip4(), port::NAT, flags, data)
}

pub(super) fn asks_udp(data: &[u8]) -> Packet {
    udp(CLIENT, CLIENT_PORT, vip4(), port::NAT, data)
}

impl Mixed {
    pub(super) fn answers(&self, flags: u8, data: &[u8]) -> Packet {
        self.answers_to(CLIENT, flags, data)
    }

    pub(super) fn answers_to(&self, client: &str, flags: u8, data: &[u8]) -> Packet {
        let to = self.known(client, TCP).into();
        tcp(&member().to_string(), port::MEMBER, to, CLIENT_PORT, flags, data)
    }

    pub(super) fn answers_udp(&self, data: &[u8]) -> Packet {
        let to = self.known(CLIENT, UDP).into();
        udp(&member().to_string(), port::MEMBER, to, CLIENT_PORT, data)
    }
}
