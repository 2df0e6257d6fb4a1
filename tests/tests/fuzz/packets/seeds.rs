//! The packets that all others are made of: a few of each kind that the packet path knows.

use std::net::IpAddr;

use crate::frame::*;
use crate::world::*;

const CLIENTS: [(&str, &str); 2] =
    [("198.51.100.7", "203.0.113.1"), ("2001:db8:c::7", "2001:db8:ff::1")];

pub fn all() -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for ((client, router), vip, any) in [(CLIENTS[0], vip4(), any4()), (CLIENTS[1], vip6(), any6())]
    {
        for port in 80..=102 {
            frames.push(tcp(client, 40_000, vip, port, SYN, b"").frame());
        }
        frames.push(tcp(client, 40_000, vip, port::MOVING, ACK, b"data").frame());
        frames.push(tcp(client, 40_000, vip, port::MOVING, FIN | ACK, b"").frame());
        frames.push(tcp(client, 40_001, any, 5000, RST, b"").tagged(&[7]));
        frames.push(udp(client, 40_000, vip, port::GUE_V4, b"question").frame());
        frames.push(udp(client, 40_000, vip, port::MOVING_BUSY, &[7; 1300]).frame());
        frames.push(tcp(client, 40_000, vip, port::IN_V6, ACK, &[7; 1440]).frame());
        frames.push(udp(client, 40_000, vip, port::L2, b"").ttl(1).frame());
        frames.push(echo(client, vip, b"ping").tagged(&[1, 2]));
        let whole = udp(client, 40_000, vip, port::IN_V4, &[3; 100]);
        frames.extend(whole.fragments(40, 7).iter().map(Packet::frame));
        frames.push(longer(tcp(client, 40_000, vip, port::L2, SYN, b""), vip).frame());
        frames.extend(errors(client, router, vip));
    }
    let request = arp(1, CLIENT_MAC, [198, 51, 100, 7].into(), [192, 0, 2, 10].into());
    frames.push(request);
    frames.push(solicitation("2001:db8::c", "2001:db8::10".parse().unwrap(), true).frame());
    frames.push(solicitation("::", "2001:db8::10".parse().unwrap(), false).frame());
    frames
}

/// With IPv4 options, or a chain of IPv6 extension headers.
fn longer(packet: Packet, vip: IpAddr) -> Packet {
    if vip.is_ipv4() {
        return packet.options(&[1; 8]);
    }
    let protocol = packet.protocol;
    packet.extensions(0, &[60, 0, 1, 4, 0, 0, 0, 0, protocol, 0, 1, 4, 0, 0, 0, 0])
}

/// Errors about what a backend answered.
fn errors(client: &str, router: &str, vip: IpAddr) -> [Vec<u8>; 2] {
    let (server, client) = (vip.to_string(), client.parse().unwrap());
    let answer = tcp(&server, port::MOVING, client, 40_000, ACK, &[1; 40]).ip();
    let datagram = udp(&server, port::L2, client, 40_000, b"answer").ip();
    let (unreachable, too_big) = if vip.is_ipv4() { ((3, 1), (3, 4)) } else { ((1, 3), (2, 0)) };
    [(unreachable, datagram), (too_big, answer)]
        .map(|((kind, code), quoted)| error(router, kind, code, 1400, &quoted).frame())
}
