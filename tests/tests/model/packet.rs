//! Packets of flows as frames.

use std::net::Ipv4Addr;

use elb_userspace::control::reconcile::protocol_number;
use elb_userspace::model::Protocol;

use crate::script::{Packet, listener_of};

pub const VIP: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// Ports of the listeners.
pub const PORTS: [u16; 2] = [80, 81];
/// Ethernet address of the load balancer.
pub const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 100];

/// A packet of a flow, without data.
pub fn frame(flow: u8, protocol: Protocol, packet: Packet) -> Vec<u8> {
    let number = protocol_number(protocol);
    let transport = match protocol {
        Protocol::Tcp => [&[0; 8][..], &[5 << 4, flags(packet), 1, 0, 0, 0, 0, 0]].concat(),
        Protocol::Udp => vec![0, 8, 0, 0],
    };
    let [high, low] = u16::try_from(24 + transport.len()).unwrap().to_be_bytes();
    let mut frame = [&OUR_MAC[..], &[2, 0, 0, 0, 0, 200, 8, 0]].concat();
    frame.extend([0x45, 0, high, low, 0, 0, 0, 0, 64, number, 0, 0]);
    frame.extend(client(flow).octets());
    frame.extend(VIP.octets());
    frame.extend(port(flow).to_be_bytes());
    frame.extend(PORTS[listener_of(flow)].to_be_bytes());
    frame.extend(transport);
    frame
}

fn client(flow: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 51, 100, flow)
}

fn port(flow: u8) -> u16 {
    1000 + u16::from(flow)
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
