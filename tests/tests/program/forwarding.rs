//! Packets for listeners, and packets that are none of ours.

use elb_common::reason::Reason;

use crate::cases::{Case, Then, check};
use crate::frame::*;
use crate::kernel::{Kernel, TX, now};
use crate::world::*;

use Then::{Because, Redirected, To};

const C4: &str = "198.51.100.7";
const C6: &str = "2001:db8:c::7";

fn syn4(port: u16) -> Packet {
    tcp(C4, 40_000, vip4(), port, SYN, b"")
}

fn syn6(port: u16) -> Packet {
    tcp(C6, 40_000, vip6(), port, SYN, b"")
}

#[test]
fn every_mode_and_version() {
    check(vec![
        Case("tcp v4 l2", syn4(port::L2).frame(), To(id::L2)),
        Case("tcp v4 in v4", syn4(port::IN_V4).frame(), To(id::IN_V4)),
        Case("tcp v4 in v6", syn4(port::IN_V6).frame(), To(id::IN_V6)),
        Case("tcp v6 l2", syn6(port::L2).frame(), To(id::L2)),
        Case("tcp v6 in v4", syn6(port::IN_V4).frame(), To(id::IN_V4)),
        Case("tcp v6 in v6", syn6(port::IN_V6).frame(), To(id::IN_V6)),
        Case("udp v4 l2", udp(C4, 5000, vip4(), port::L2, b"q").frame(), To(id::L2)),
        Case("udp v4 in v4", udp(C4, 5000, vip4(), port::IN_V4, b"q").frame(), To(id::IN_V4)),
        Case("udp v4 in v6", udp(C4, 5000, vip4(), port::IN_V6, b"q").frame(), To(id::IN_V6)),
        Case("udp v6 l2", udp(C6, 5000, vip6(), port::L2, b"q").frame(), To(id::L2)),
        Case("udp v6 in v4", udp(C6, 5000, vip6(), port::IN_V4, b"q").frame(), To(id::IN_V4)),
        Case("udp v6 in v6", udp(C6, 5000, vip6(), port::IN_V6, b"q").frame(), To(id::IN_V6)),
        Case(
            "tcp v4 data",
            tcp(C4, 1, vip4(), port::IN_V4, ACK, &[7; 1000]).frame(),
            To(id::IN_V4),
        ),
        Case("tcp v4 rst", tcp(C4, 1, vip4(), port::IN_V4, 0x04, b"").frame(), To(id::IN_V4)),
        Case("udp v4 without data", udp(C4, 1, vip4(), port::IN_V4, b"").frame(), To(id::IN_V4)),
    ]);
}

#[test]
fn by_another_interface() {
    check(vec![
        Case("v4 redirected", syn4(port::REDIRECT).frame(), Redirected(id::REDIRECT)),
        Case("v6 redirected", syn6(port::REDIRECT).frame(), Redirected(id::REDIRECT)),
        Case("no such device", syn4(port::NO_DEVICE).frame(), Because(Reason::NoDevice)),
    ]);
}

#[test]
fn vlan_tags_are_kept() {
    let c4 = syn4(port::IN_V4);
    check(vec![
        Case("one tag, l2", syn4(port::L2).tagged(&[100]), To(id::L2)),
        Case("one tag, v4 in v4", c4.tagged(&[100]), To(id::IN_V4)),
        Case("one tag, v4 in v6", syn4(port::IN_V6).tagged(&[0xe064]), To(id::IN_V6)),
        Case("two tags, v4 in v4", c4.tagged(&[100, 200]), To(id::IN_V4)),
        Case("two tags, v6 in v4", syn6(port::IN_V4).tagged(&[100, 200]), To(id::IN_V4)),
        Case("two tags, v6 in v6", syn6(port::IN_V6).tagged(&[100, 200]), To(id::IN_V6)),
        Case("three tags", c4.tagged(&[1, 2, 3]), Because(Reason::VlanDepth)),
    ]);
}

#[test]
fn options_and_extension_headers_are_walked() {
    let dest = [6, 0, 1, 4, 0, 0, 0, 0];
    let routing = |left| [6, 0, 4, left, 0, 0, 0, 0];
    let chain = |n: usize| {
        let mut bytes = [60u8, 0, 1, 4, 0, 0, 0, 0].repeat(n - 1);
        bytes.extend(dest);
        bytes
    };
    let long = [&[6, 1, 1, 12][..], &[0; 12]].concat();
    let authentication = [&[6, 4][..], &[0; 22]].concat();
    let atomic = [6, 0, 0, 0, 0, 0, 0, 9];
    let v6 = || syn6(port::IN_V4);
    check(vec![
        Case("one option", syn4(port::IN_V4).options(&[148, 4, 0, 0]).frame(), To(id::IN_V4)),
        Case("forty bytes of options", syn4(port::IN_V4).options(&[1; 40]).frame(), To(id::IN_V4)),
        Case("options, l2", syn4(port::L2).options(&[1; 8]).frame(), To(id::L2)),
        Case(
            "options and tags",
            syn4(port::IN_V6).options(&[1; 12]).tagged(&[5, 6]),
            To(id::IN_V6),
        ),
        Case("hop by hop", v6().extensions(0, &dest).frame(), To(id::IN_V4)),
        Case("destination options", v6().extensions(60, &dest).frame(), To(id::IN_V4)),
        Case("long extension header", v6().extensions(60, &long).frame(), To(id::IN_V4)),
        Case("authentication header", v6().extensions(51, &authentication).frame(), To(id::IN_V4)),
        Case("routing, nothing left", v6().extensions(43, &routing(0)).frame(), To(id::IN_V4)),
        Case(
            "routing, one left",
            v6().extensions(43, &routing(1)).frame(),
            Because(Reason::ExtensionHeaders),
        ),
        Case("eight extension headers", v6().extensions(60, &chain(8)).frame(), To(id::IN_V4)),
        Case(
            "nine extension headers",
            v6().extensions(60, &chain(9)).frame(),
            Because(Reason::ExtensionHeaders),
        ),
        Case("atomic fragment", v6().extensions(44, &atomic).frame(), To(id::IN_V4)),
    ]);
}

#[test]
fn any_port_listener() {
    let other = |port| tcp(C4, 40_000, any4(), port, SYN, b"").frame();
    check(vec![
        Case("any port v4", other(12_345), To(id::IN_V4)),
        Case("any port v6", tcp(C6, 9, any6(), 1, SYN, b"").frame(), To(id::IN_V4)),
        Case("the exact listener wins", other(22), To(id::L2)),
        Case(
            "udp is not tcp",
            udp(C4, 9, any4(), 12_345, b"").frame(),
            Because(Reason::ClosedPortAnswered),
        ),
    ]);
}

#[test]
fn traffic_that_is_not_for_a_listener_passes() {
    let ssh = tcp(C4, 50_000, "10.0.0.1".parse().unwrap(), 22, SYN, b"");
    let ssh6 = tcp(C6, 50_000, "fd00::1".parse().unwrap(), 22, SYN, b"");
    let gre = Packet::new(C4, vip4(), 47, vec![0; 20]);
    let nothing = Packet::new(C6, vip6(), 59, vec![]);
    check(vec![
        Case("ssh to the host", ssh.frame(), Because(Reason::NotVip)),
        Case("ssh to the host, v6", ssh6.frame(), Because(Reason::NotVip)),
        Case("a port without listener", syn4(4444).frame(), Because(Reason::ClosedPortAnswered)),
        Case(
            "a port without listener, v6",
            syn6(4444).frame(),
            Because(Reason::ClosedPortAnswered),
        ),
        Case("gre to a vip", gre.frame(), Because(Reason::ClosedPort)),
        Case("no next header", nothing.frame(), Because(Reason::ClosedPort)),
        Case("lldp", crate::oracle::boring(), Because(Reason::NotIp)),
        Case(
            "to a group of hosts",
            ethernet([0xff; 6], CLIENT_MAC, &[], 0x0800, &syn4(port::L2).ip()),
            Because(Reason::GroupMac),
        ),
    ]);
}

#[test]
fn refused_with_a_reason() {
    let big = |bytes| tcp(C4, 1, vip4(), port::IN_V4, ACK, &vec![1; bytes]).frame();
    check(vec![
        Case("no healthy member", syn4(port::EMPTY).frame(), Because(Reason::NoBackend)),
        Case("no ring", syn4(port::NO_RING).frame(), Because(Reason::NoBackend)),
        Case("disabled", syn4(port::DISABLED).frame(), Because(Reason::Disabled)),
        Case("ring out of range", syn4(port::OUT_OF_RANGE).frame(), Because(Reason::RingRange)),
        Case("unknown backend", syn4(port::MISSING).frame(), Because(Reason::UnknownBackend)),
        Case("no next hop", syn4(port::NO_NEXT_HOP).frame(), Because(Reason::NoNextHop)),
        Case(
            "disabled, udp v6",
            udp(C6, 1, vip6(), port::DISABLED, b"").frame(),
            Because(Reason::Disabled),
        ),
        Case("just fits in v4", big(1440), To(id::IN_V4)),
        Case("one byte too big in v4", big(1441), Because(Reason::TooBigAnswered)),
        Case(
            "later fragment",
            syn4(port::IN_V4).fragment(0x00b9).frame(),
            Because(Reason::Fragment),
        ),
        Case(
            "fragment v6",
            syn6(port::IN_V4).extensions(44, &fragment_header(6, 8, 9)).frame(),
            Because(Reason::Fragment),
        ),
        Case(
            "fragment for the host",
            tcp(C4, 1, "10.0.0.1".parse().unwrap(), 22, SYN, b"").fragment(0x00b9).frame(),
            Because(Reason::NotVip),
        ),
    ]);
}

/// Class, congestion marks and padding survive; so does what lies behind the packet.
#[test]
fn type_of_service_is_copied() {
    let padded = |mut frame: Vec<u8>| {
        frame.extend([0xee; 6]);
        frame
    };
    check(vec![
        Case("tos v4 in v4", syn4(port::IN_V4).tos(0xb9).frame(), To(id::IN_V4)),
        Case("tos v4 in v6", syn4(port::IN_V6).tos(0x03).frame(), To(id::IN_V6)),
        Case("class v6 in v4", syn6(port::IN_V4).tos(0xb9).frame(), To(id::IN_V4)),
        Case("class v6 in v6", syn6(port::IN_V6).tos(0xff).frame(), To(id::IN_V6)),
        Case("padding", padded(syn4(port::IN_V4).frame()), To(id::IN_V4)),
    ]);
}

/// One frame spelled out by hand, so that the oracle is not the only witness.
#[test]
fn ipip_byte_by_byte() {
    let frame = syn4(port::IN_V4).frame();
    let ran = Kernel::new(&world(now()).memory()).run(&frame);
    assert_eq!(ran.action, TX);
    let (ethernet, rest) = ran.bytes.split_at(14);
    let (outer, inner) = rest.split_at(20);
    assert_eq!(ethernet, [2, 0, 0, 1, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0]);
    assert_eq!(outer[..10], [0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, 4]);
    assert_eq!(checksum(&[outer]), 0);
    assert_eq!(outer[12..], [10, 0, 0, 1, 10, 0, 0, 12]);
    assert_eq!(inner, &after_a_hop(&frame)[14..]);
}

/// Many flows over a ring of three backends: each goes where the ring says.
#[test]
fn the_ring_decides() {
    let now = now();
    let world = world(now);
    let mut kernel = Kernel::new(&world.memory());
    let mut oracle = crate::oracle::Oracle::new(world);
    let mut seen = std::collections::BTreeSet::new();
    for port in 1024..3024 {
        for frame in [
            tcp(C4, port, vip4(), port::SPREAD, ACK, b"").frame(),
            udp(C6, port, vip6(), port::SPREAD, b"x").frame(),
        ] {
            let expected = oracle.expect(&frame);
            let ran = kernel.run(&frame);
            assert_eq!((ran.action, &ran.bytes), (expected.action, &expected.bytes));
            seen.insert(expected.backend);
        }
    }
    assert_eq!(seen.len(), 3);
}
