//! Datagrams in fragments: all go where the first went.

use elb_common::limits::FRAGMENT_LIFETIME;
use elb_common::reason::Reason;

use crate::cases::{Case, Then, check};
use crate::frame::*;
use crate::kernel::{DROP, Kernel, TX, now};
use crate::world::*;

use Then::{Because, To};

const C4: &str = "198.51.100.7";
const C6: &str = "2001:db8:c::7";
const LOST: Then = Because(Reason::Fragment);

/// A datagram in three fragments.
fn datagram4(port: u16, id: u32) -> Vec<Vec<u8>> {
    let datagram = udp(C4, 5000, vip4(), port, &[7; 1000]);
    datagram.fragments(400, id).iter().map(Packet::frame).collect()
}

fn datagram6(port: u16, id: u32) -> Vec<Vec<u8>> {
    let datagram = udp(C6, 5000, vip6(), port, &[7; 1000]);
    datagram.fragments(400, id).iter().map(Packet::frame).collect()
}

fn cases(name: &'static str, frames: &[Vec<u8>], then: Then) -> Vec<Case> {
    frames.iter().map(|frame| Case(name, frame.clone(), then)).collect()
}

#[test]
fn fragments_go_where_the_first_went() {
    let mut all = vec![];
    for (port, backend) in [
        (port::L2, id::L2),
        (port::IN_V4, id::IN_V4),
        (port::IN_V6, id::IN_V6),
        (port::GUE_V4, id::GUE_V4),
        (port::GUE_V6, id::GUE_V6),
    ] {
        all.extend(cases("v4", &datagram4(port, port.into()), To(backend)));
        all.extend(cases("v6", &datagram6(port, port.into()), To(backend)));
    }
    let segment = tcp(C4, 9, vip4(), port::L2, ACK, &[1; 64]).fragments(40, 99);
    let frames: Vec<_> = segment.iter().map(Packet::frame).collect();
    all.extend(cases("tcp", &frames, To(id::L2)));
    check(all);
}

#[test]
fn the_first_must_come_first() {
    let (v4, v6) = (datagram4(port::IN_V4, 1), datagram6(port::IN_V4, 1));
    check(vec![
        Case("before the first", v4[1].clone(), LOST),
        Case("the first", v4[0].clone(), To(id::IN_V4)),
        Case("the last", v4[2].clone(), To(id::IN_V4)),
        Case("the second, again", v4[1].clone(), To(id::IN_V4)),
        Case("before the first v6", v6[2].clone(), LOST),
        Case("the first v6", v6[0].clone(), To(id::IN_V4)),
        Case("the last v6", v6[2].clone(), To(id::IN_V4)),
    ]);
}

/// RFC 791 §2.3, RFC 8200 §4.5: what distinguishes datagrams.
#[test]
fn fragments_of_other_datagrams_are_others() {
    let other = |packet: Packet| packet.fragments(400, 1)[1].frame();
    let data = [7; 1000];
    let mut next_header = udp(C6, 5000, vip6(), port::L2, &data).fragments(400, 1);
    next_header[1].extensions[0] = 99;
    check(vec![
        Case("the first", datagram4(port::L2, 1)[0].clone(), To(id::L2)),
        Case("another identification", datagram4(port::L2, 2)[1].clone(), LOST),
        Case("another client", other(udp("198.51.100.8", 5000, vip4(), port::L2, &data)), LOST),
        Case("another address", other(udp(C4, 5000, any4(), port::L2, &data)), LOST),
        Case("another protocol", other(tcp(C4, 5000, vip4(), port::L2, ACK, &data)), LOST),
        Case(
            "of a foreign address",
            {
                let own = "10.0.0.1".parse().unwrap();
                other(udp(C4, 5000, own, port::L2, &data))
            },
            Because(Reason::NotVip),
        ),
        Case("the second", datagram4(port::L2, 1)[1].clone(), To(id::L2)),
        Case("the first v6", datagram6(port::L2, 1)[0].clone(), To(id::L2)),
        Case("another identification v6", datagram6(port::L2, 0x10001)[1].clone(), LOST),
        Case("another next header v6", next_header[1].frame(), To(id::L2)),
    ]);
}

#[test]
fn later_fragments_meet_what_the_first_met_once_it_had_a_backend() {
    let first = |port| datagram4(port, u32::from(port))[0].clone();
    let second = |port| datagram4(port, u32::from(port))[1].clone();
    let icmp = echo(C4, vip4(), &[1; 100]).fragments(40, 7);
    let mut big = udp(C4, 5000, vip4(), port::IN_V4, &[7; 3000]).fragments(1480, 9);
    check(vec![
        Case("no member", first(port::EMPTY), Because(Reason::NoBackend)),
        Case("its second", second(port::EMPTY), LOST),
        Case("no listener", first(4444), Because(Reason::ClosedPort)),
        Case("its second", second(4444), LOST),
        Case("too big", big.remove(0).frame(), Because(Reason::TooBigAnswered)),
        Case("its second", big.remove(0).frame(), Because(Reason::TooBig)),
        Case("an echo request", icmp[0].frame(), LOST),
        Case("its second", icmp[1].frame(), LOST),
        Case("no next hop", first(port::NO_NEXT_HOP), Because(Reason::NoNextHop)),
        Case("its second", second(port::NO_NEXT_HOP), Because(Reason::NoNextHop)),
    ]);
}

/// Like any other packet, a fragment may be too big, old, or for a group of hosts.
#[test]
fn fragments_are_packets() {
    let fragment = |ttl| udp(C4, 5000, vip4(), port::IN_V4, &[7; 1000]).ttl(ttl).fragments(400, 3);
    let long = udp(C4, 5000, vip4(), port::IN_V4, &[7; 4000]).fragments(1480, 3);
    let group = ethernet([0xff; 6], CLIENT_MAC, &[], 0x0800, &fragment(9)[1].ip());
    check(vec![
        Case("the first", fragment(9)[0].frame(), To(id::IN_V4)),
        Case("a later one is too big", long[1].frame(), Because(Reason::TooBig)),
        Case("expired", fragment(1)[1].frame(), Because(Reason::TtlExpired)),
        Case("to a group", group, Because(Reason::GroupMac)),
        Case("with tags", fragment(9)[1].tagged(&[5, 6]), To(id::IN_V4)),
        Case("with options", fragment(9)[1].clone().options(&[1; 4]).frame(), To(id::IN_V4)),
    ]);
}

/// Headers that a first fragment must hold, and what it may leave to others.
#[test]
fn a_first_fragment_names_its_ports() {
    let bad = Because(Reason::BadHeader);
    let short = |packet: Packet, size| packet.fragments(size, 5)[0].frame();
    let data = [7; 64];
    let chain = [&fragment_header(60, 1, 8)[..], &[17, 0, 1, 4, 0, 0, 0, 0]].concat();
    let behind = udp(C6, 5000, vip6(), port::L2, &data).extensions(44, &chain);
    check(vec![
        Case("a datagram's header", short(udp(C4, 9, vip4(), port::L2, &data), 8), To(id::L2)),
        Case("half a segment's header", short(tcp(C4, 9, vip4(), port::L2, ACK, &data), 16), bad),
        Case("a segment's header", short(tcp(C4, 9, vip4(), port::L2, ACK, &data), 24), To(id::L2)),
        Case("behind a destination option", behind.frame(), To(id::L2)),
    ]);
}

#[test]
fn a_first_fragment_is_forgotten() {
    let mut kernel = Kernel::new(&world(now()).memory());
    for frames in [datagram4(port::IN_V4, 1), datagram6(port::IN_V6, 1)] {
        assert_eq!(kernel.run(&frames[0]).action, TX);
        // A second may end meanwhile.
        kernel.age_fragments(FRAGMENT_LIFETIME - 2);
        assert_eq!(kernel.run(&frames[1]).action, TX);
        kernel.age_fragments(3);
        assert_eq!(kernel.run(&frames[2]).action, DROP);
        kernel.forget_fragments();
    }
}

/// A flood of first fragments does not touch the flow tables.
#[test]
fn fragments_have_their_own_tables() {
    let mut kernel = Kernel::new(&world(now()).memory());
    for id in 0..40_000 {
        assert_eq!(kernel.run(&datagram4(port::L2, id)[0]).action, TX);
    }
    assert!(kernel.flows().is_empty());
    let last = datagram4(port::L2, 39_999);
    assert_eq!(kernel.run(&last[1]).action, TX, "the latest are remembered");
}
