//! What tunnels do to a packet: outer headers, byte by byte, and a hop.

use elb_common::reason::Reason;

use crate::cases::{Case, Then::Because, Then::To, check};
use crate::frame::*;
use crate::kernel::{Kernel, TX, now};
use crate::world::*;

const C4: &str = "198.51.100.7";
const C6: &str = "2001:db8:c::7";

fn syn4(port: u16) -> Packet {
    tcp(C4, 40_000, vip4(), port, SYN, b"")
}

fn syn6(port: u16) -> Packet {
    tcp(C6, 40_000, vip6(), port, SYN, b"")
}

#[test]
fn gue_in_every_pair_of_versions() {
    let full4 = |port, bytes| tcp(C4, 1, vip4(), port, ACK, &vec![1; bytes]).frame();
    let full6 = |port, bytes| tcp(C6, 1, vip6(), port, ACK, &vec![1; bytes]).frame();
    check(vec![
        Case("tcp v4 in v4", syn4(port::GUE_V4).frame(), To(id::GUE_V4)),
        Case("tcp v4 in v6", syn4(port::GUE_V6).frame(), To(id::GUE_V6)),
        Case("tcp v6 in v4", syn6(port::GUE_V4).frame(), To(id::GUE_V4)),
        Case("tcp v6 in v6", syn6(port::GUE_V6).frame(), To(id::GUE_V6)),
        Case("udp v4 in v4", udp(C4, 5, vip4(), port::GUE_V4, b"q").frame(), To(id::GUE_V4)),
        Case("udp v6 in v6", udp(C6, 5, vip6(), port::GUE_V6, b"q").frame(), To(id::GUE_V6)),
        Case("one tag", syn4(port::GUE_V4).tagged(&[100]), To(id::GUE_V4)),
        Case("two tags", syn6(port::GUE_V6).tagged(&[100, 200]), To(id::GUE_V6)),
        Case("options", syn4(port::GUE_V6).options(&[1; 40]).frame(), To(id::GUE_V6)),
        Case("class and mark", syn4(port::GUE_V4).tos(0xb9).frame(), To(id::GUE_V4)),
        Case("class and mark v6", syn6(port::GUE_V6).tos(0xb9).frame(), To(id::GUE_V6)),
        Case("just fits v4", full4(port::GUE_V4, 1428), To(id::GUE_V4)),
        Case("too big v4", full4(port::GUE_V4, 1429), Because(Reason::TooBigAnswered)),
        Case("just fits v6", full6(port::GUE_V6, 1388), To(id::GUE_V6)),
        Case("too big v6", full6(port::GUE_V6, 1389), Because(Reason::TooBigAnswered)),
    ]);
}

/// Spelled out by hand, so that the oracle is not the only witness.
#[test]
fn gue_byte_by_byte() {
    let mut kernel = Kernel::new(&world(now()).memory());
    let frame = syn4(port::GUE_V4).frame();
    let ran = kernel.run(&frame);
    assert_eq!(ran.action, TX);
    let (ethernet, rest) = ran.bytes.split_at(14);
    let (outer, rest) = rest.split_at(20);
    let (between, inner) = rest.split_at(12);
    assert_eq!(ethernet, [2, 0, 0, 1, 0, 10, 2, 0, 0, 0, 0, 1, 8, 0]);
    assert_eq!(outer[..10], [0x45, 0, 0, 72, 0, 0, 0x40, 0, 64, 17]);
    assert_eq!(checksum(&[outer]), 0);
    assert_eq!(outer[12..], [10, 0, 0, 1, 10, 0, 0, 20]);
    assert!(between[0] >= 0xc0, "a dynamic port");
    // To port 6080, 52 bytes, no checksum; GUE: variant 0, IPv4 inside, no flags.
    assert_eq!(between[2..], [0x17, 0xc0, 0, 52, 0, 0, 0, 4, 0, 0]);
    assert_eq!(inner, &after_a_hop(&frame)[14..]);

    let frame = syn6(port::GUE_V6).frame();
    let ran = kernel.run(&frame);
    let (outer, rest) = ran.bytes[14..].split_at(40);
    let (between, inner) = rest.split_at(12);
    assert_eq!((outer[0], &outer[4..8]), (0x60, &[0, 72, 17, 64][..]));
    assert_eq!(between[2..], [0x17, 0xc0, 0, 72, 0, 0, 0, 41, 0, 0]);
    assert_eq!(inner, &after_a_hop(&frame)[14..]);
}

/// What network cards and routers spread packets by: a flow has one source port, and flows have
/// many.
#[test]
fn flows_have_source_ports() {
    let mut kernel = Kernel::new(&world(now()).memory());
    let mut port_of = |client: u16, flags| {
        let bytes = kernel.run(&tcp(C4, client, vip4(), port::GUE_V4, flags, b"").frame()).bytes;
        u16::from_be_bytes([bytes[34], bytes[35]])
    };
    let mut ports = std::collections::BTreeSet::new();
    for client in 1..=1000 {
        let port = port_of(client, SYN);
        assert_eq!(port, port_of(client, ACK));
        ports.insert(port);
    }
    assert!(ports.len() > 900, "only {} ports", ports.len());
}

/// RFC 2003 §3.1: entering a tunnel is a hop. Other Ethernet addresses are one as well, or packets would
/// circle between load balancers without end.
#[test]
fn each_mode_is_a_hop() {
    let v4 = |port, ttl| syn4(port).ttl(ttl).options(&[1; 4]).frame();
    let v6 = |port, ttl| syn6(port).ttl(ttl).frame();
    let expired = Because(Reason::TtlExpired);
    check(vec![
        Case("v4 in v4, 0", v4(port::IN_V4, 0), expired),
        Case("v4 in v4, 1", v4(port::IN_V4, 1), expired),
        Case("v4 in v4, 2", v4(port::IN_V4, 2), To(id::IN_V4)),
        Case("v4 in v4, 255", v4(port::IN_V4, 255), To(id::IN_V4)),
        Case("v6 in v4, 1", v6(port::IN_V4, 1), expired),
        Case("v6 in v4, 2", v6(port::IN_V4, 2), To(id::IN_V4)),
        Case("v4 in v6, 1", v4(port::IN_V6, 1), expired),
        Case("v6 in v6, 1", v6(port::IN_V6, 1), expired),
        Case("v6 in v6, 255", v6(port::IN_V6, 255), To(id::IN_V6)),
        Case("gue v4, 1", v4(port::GUE_V4, 1), expired),
        Case("gue v6, 1", v6(port::GUE_V6, 1), expired),
        Case("l2 v4, 1", v4(port::L2, 1), expired),
        Case("l2 v4, 2", v4(port::L2, 2), To(id::L2)),
        Case("l2 v6, 0", v6(port::L2, 0), expired),
        Case("l2 v6, 2", v6(port::L2, 2), To(id::L2)),
    ]);
}

/// Every value of the two bytes that the checksum's update reads.
#[test]
fn the_header_checksum_stays_right() {
    let mut kernel = Kernel::new(&world(now()).memory());
    for ttl in 2..=255 {
        for tos in [0, 1, 0x54, 0xff] {
            for client in ["0.0.0.1", C4, "255.255.255.255"] {
                let packet = tcp(client, 9, vip4(), port::IN_V4, ACK, b"").ttl(ttl).tos(tos);
                let ran = kernel.run(&packet.frame());
                assert_eq!((ran.action, ran.bytes[34 + 8]), (TX, ttl - 1));
                assert_eq!(checksum(&[&ran.bytes[34..54]]), 0, "{client} {ttl} {tos}");
            }
        }
    }
}
