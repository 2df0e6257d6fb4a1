//! Packets of flows as frames.

use std::net::{Ipv4Addr, SocketAddrV4};

use elb_userspace::control::reconcile::protocol_number;
use elb_userspace::model::Protocol;

use crate::script::{Packet, listener_of, twin_of};

/// Port of members whose packets are translated: all listeners of their pool share it.
pub const MEMBER_PORT: u16 = 8080;
/// Ethernet address of the router that all clients are behind.
pub const ROUTER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 200];

pub const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// Ports of the listeners.
pub const PORTS: [u16; 2] = [80, 81];
/// Ethernet address of the load balancer.
pub const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 100];

/// From where to where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    pub from: SocketAddrV4,
    pub to: SocketAddrV4,
}

impl Ends {
    /// Those of a flow, as its client knows them.
    pub fn of(flow: u8) -> Self {
        let listener = SocketAddrV4::new(VIP, PORTS[listener_of(flow)]);
        Self { from: SocketAddrV4::new(client(flow), port(flow)), to: listener }
    }

    /// Those of a packet to a member that it is translated to.
    pub fn translated(self, member: u8) -> Self {
        Self { to: SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, member), MEMBER_PORT), ..self }
    }

    /// Those of the answer.
    pub fn back(self) -> Self {
        Self { from: self.to, to: self.from }
    }

    /// Those that a frame has.
    pub fn in_frame(frame: &[u8]) -> Self {
        let at = |address: usize, port: usize| {
            let octets: [u8; 4] = frame[address..address + 4].try_into().unwrap();
            let port = u16::from_be_bytes([frame[port], frame[port + 1]]);
            SocketAddrV4::new(octets.into(), port)
        };
        Self { from: at(26, 34), to: at(30, 36) }
    }
}

/// A packet of a flow, without data.
pub fn frame(flow: u8, protocol: Protocol, packet: Packet) -> Vec<u8> {
    between([OUR_MAC, ROUTER_MAC], Ends::of(flow), protocol, flags(packet))
}

/// What a member answers to a packet that was translated to it.
pub fn answer(flow: u8, member: u8, protocol: Protocol, packet: Packet) -> Vec<u8> {
    const SYN_ACK: u8 = 0x12;
    let flags = if packet == Packet::Opening { SYN_ACK } else { flags(Packet::Data) };
    let ends = Ends::of(flow).translated(member).back();
    between([OUR_MAC, [2, 0, 0, 0, 0, member]], ends, protocol, flags)
}

fn between(macs: [[u8; 6]; 2], ends: Ends, protocol: Protocol, flags: u8) -> Vec<u8> {
    let number = protocol_number(protocol);
    let transport = match protocol {
        Protocol::Tcp => [&[0; 8][..], &[5 << 4, flags, 1, 0, 0, 0, 0, 0]].concat(),
        Protocol::Udp => vec![0, 8, 0, 0],
    };
    let [high, low] = u16::try_from(24 + transport.len()).unwrap().to_be_bytes();
    let mut frame = macs.concat();
    frame.extend([8, 0, 0x45, 0, high, low, 0, 0, 0, 0, 64, number, 0, 0]);
    for end in [ends.from, ends.to] {
        frame.extend(end.ip().octets());
    }
    for end in [ends.from, ends.to] {
        frame.extend(end.port().to_be_bytes());
    }
    frame.extend(transport);
    frame
}

fn client(flow: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, first_of(flow))
}

fn port(flow: u8) -> u16 {
    1000 + u16::from(first_of(flow))
}

/// The flow that an address and a port are named after.
fn first_of(flow: u8) -> u8 {
    twin_of(flow).map_or(flow, |twin| twin.min(flow))
}

fn flags(packet: Packet) -> u8 {
    const ACK: u8 = 0x10;
    match packet {
        Packet::Opening => 0x02,
        Packet::Data => ACK,
        Packet::Fin => 0x01 | ACK,
        Packet::Rst => 0x04 | ACK,
    }
}
