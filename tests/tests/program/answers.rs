//! Echo requests, ARP and neighbour solicitations.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use elb_common::interface::interface_flags;
use elb_common::reason::Reason;

use crate::cases::{Case, Then::Because, check};
use crate::frame::*;
use crate::kernel::{Kernel, PASS, TX, now};
use crate::world::*;

const C4: &str = "198.51.100.7";
const C6: &str = "2001:db8:c::7";

#[test]
fn echo_requests() {
    let host = "10.0.0.1".parse().unwrap();
    let group =
        ethernet([1, 0, 0x5e, 0, 0, 1], CLIENT_MAC, &[], 0x0800, &echo(C4, vip4(), b"").ip());
    let timestamp = icmp(C4, vip4(), 13, &[0; 32]);
    check(vec![
        Case("v4", echo(C4, vip4(), &[5; 56]).frame(), Because(Reason::EchoAnswered)),
        Case("v4, odd length", echo(C4, vip4(), &[5; 57]).frame(), Because(Reason::EchoAnswered)),
        Case(
            "v4, options",
            echo(C4, vip4(), b"").options(&[1; 4]).frame(),
            Because(Reason::EchoAnswered),
        ),
        Case("v4, tagged", echo(C4, vip4(), b"a").tagged(&[7]), Because(Reason::EchoAnswered)),
        Case("v6", echo(C6, vip6(), &[5; 56]).frame(), Because(Reason::EchoAnswered)),
        Case("v6, two tags", echo(C6, vip6(), b"").tagged(&[7, 8]), Because(Reason::EchoAnswered)),
        Case("no listener v4", echo(C4, bare4(), b"").frame(), Because(Reason::ClosedPort)),
        Case("no listener v6", echo(C6, bare6(), b"").frame(), Because(Reason::ClosedPort)),
        Case("the host's own", echo(C4, host, b"").frame(), Because(Reason::NotVip)),
        Case("to a group", group, Because(Reason::GroupMac)),
        Case("fragment", echo(C4, vip4(), b"").fragment(0x2000).frame(), Because(Reason::Fragment)),
        Case("another message", timestamp.frame(), Because(Reason::ClosedPort)),
        Case(
            "another message v6",
            icmp(C6, vip6(), 130, &[0; 48]).frame(),
            Because(Reason::ClosedPort),
        ),
        Case(
            "icmpv6 in ipv4",
            Packet::new(C4, vip4(), 58, vec![128, 0, 0, 0, 0, 0, 0, 0]).frame(),
            Because(Reason::ClosedPort),
        ),
    ]);
}

/// The answer is one that any host accepts: both checksums are right.
#[test]
fn echo_reply_has_correct_checksums() {
    let mut kernel = Kernel::new(&world(now()).memory());
    for data in [&b""[..], b"x", &[0xff; 64], &[0; 1400]] {
        let ran = kernel.run(&echo(C4, vip4(), data).frame());
        assert_eq!((ran.action, ran.bytes[34]), (TX, 0));
        assert_eq!(checksum(&[&ran.bytes[14..34]]), 0);
        assert_eq!(checksum(&[&ran.bytes[34..]]), 0);
        let ran = kernel.run(&echo(C6, vip6(), data).frame());
        let ip = &ran.bytes[14..];
        let length = (ip.len() as u32 - 40).to_be_bytes();
        assert_eq!(checksum(&[&ip[8..40], &length, &[0, 0, 0, 58], &ip[40..]]), 0);
    }
}

fn v4(address: IpAddr) -> Ipv4Addr {
    match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => unreachable!("an IPv4 address"),
    }
}

fn v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V6(address) => address,
        IpAddr::V4(_) => unreachable!("an IPv6 address"),
    }
}

#[test]
fn arp_requests() {
    let client = v4(C4.parse().unwrap());
    let (vip, bare, quiet) = (v4(vip4()), v4(bare4()), v4(quiet4()));
    let mut token_ring = arp(1, CLIENT_MAC, client, vip);
    token_ring[15] = 6;
    let mut tagged = arp(1, CLIENT_MAC, client, vip);
    tagged.splice(12..12, [0x81, 0, 0, 9]);
    check(vec![
        Case("request", arp(1, CLIENT_MAC, client, vip), Because(Reason::ArpAnswered)),
        Case("tagged request", tagged, Because(Reason::ArpAnswered)),
        Case("without listener", arp(1, CLIENT_MAC, client, bare), Because(Reason::ArpAnswered)),
        Case("probe", arp(1, CLIENT_MAC, Ipv4Addr::UNSPECIFIED, vip), Because(Reason::ArpAnswered)),
        Case("not announced", arp(1, CLIENT_MAC, client, quiet), Because(Reason::ArpOther)),
        Case(
            "the host",
            arp(1, CLIENT_MAC, client, Ipv4Addr::new(10, 0, 0, 1)),
            Because(Reason::ArpOther),
        ),
        Case("reply", arp(2, CLIENT_MAC, client, vip), Because(Reason::ArpOther)),
        Case(
            "another host claims the vip",
            arp(2, CLIENT_MAC, vip, client),
            Because(Reason::VipConflict),
        ),
        Case("gratuitous claim", arp(1, CLIENT_MAC, vip, vip), Because(Reason::VipConflict)),
        Case("our own announcement", arp(1, OUR_MAC, vip, vip), Because(Reason::ArpOther)),
        Case("not ethernet", token_ring, Because(Reason::ArpOther)),
    ]);
}

#[test]
fn neighbour_solicitations() {
    let (vip, quiet) = (v6(vip6()), v6(quiet6()));
    let mut direct = solicitation(C6, vip, true);
    direct.destination = vip6();
    seal(&mut direct, 2);
    let mut far = solicitation(C6, vip, true);
    far.ttl = 254;
    let mut code = solicitation(C6, vip, true);
    code.payload[1] = 1;
    let mut advert = vec![0x20, 0, 0, 0];
    advert.extend(vip.octets());
    let claim = icmp(C6, "ff02::1".parse().unwrap(), 136, &advert).ttl(255);
    let router = icmp(C6, "ff02::2".parse().unwrap(), 133, &[0; 4]).ttl(255);
    let hop_by_hop = solicitation(C6, vip, true).extensions(0, &[58, 0, 1, 4, 0, 0, 0, 0]);
    check(vec![
        Case("multicast", solicitation(C6, vip, true).frame(), Because(Reason::NeighborAnswered)),
        Case(
            "without option",
            solicitation(C6, vip, false).frame(),
            Because(Reason::NeighborAnswered),
        ),
        Case("tagged", solicitation(C6, vip, true).tagged(&[3]), Because(Reason::NeighborAnswered)),
        Case(
            "two tags",
            solicitation(C6, vip, false).tagged(&[3, 4]),
            Because(Reason::NeighborAnswered),
        ),
        Case("direct", direct.frame(), Because(Reason::NeighborAnswered)),
        Case(
            "is it free?",
            solicitation("::", vip, false).frame(),
            Because(Reason::NeighborAnswered),
        ),
        Case(
            "without listener",
            solicitation(C6, v6(bare6()), true).frame(),
            Because(Reason::NeighborAnswered),
        ),
        Case(
            "not announced",
            solicitation(C6, quiet, true).frame(),
            Because(Reason::NeighborOther),
        ),
        Case(
            "the host",
            solicitation(C6, "fd00::1".parse().unwrap(), true).frame(),
            Because(Reason::NeighborOther),
        ),
        Case("from beyond the link", far.frame(), Because(Reason::NeighborOther)),
        Case("unknown code", code.frame(), Because(Reason::NeighborOther)),
        Case("behind a hop-by-hop header", hop_by_hop.frame(), Because(Reason::NeighborOther)),
        Case("another host claims the vip", claim.frame(), Because(Reason::VipConflict)),
        Case("router solicitation", router.frame(), Because(Reason::NeighborOther)),
    ]);
}

/// Another interface of the host answers on this segment: here no one is answered, and what the other one
/// says is no conflict.
#[test]
fn a_quiet_interface_leaves_it_to_another() {
    let mut memory = world(now()).memory();
    let interface = memory.interfaces.get_mut(&INGRESS).unwrap();
    interface.flags = interface_flags::QUIET;
    let mut kernel = Kernel::new(&memory);
    let (client, vip) = (v4(C4.parse().unwrap()), v4(vip4()));
    let mut advert = vec![0x20, 0, 0, 0];
    advert.extend(v6(vip6()).octets());
    let claim = icmp(C6, "ff02::1".parse().unwrap(), 136, &advert).ttl(255);
    for frame in [
        arp(1, CLIENT_MAC, client, vip),
        arp(1, CLIENT_MAC, vip, vip),
        solicitation(C6, v6(vip6()), true).frame(),
        claim.frame(),
    ] {
        let ran = kernel.run(&frame);
        assert_eq!((ran.action, &ran.bytes), (PASS, &frame));
    }
    let ran = kernel.run(&echo(C4, vip4(), b"").frame());
    assert_eq!(ran.action, TX, "everything else is as ever");
}
