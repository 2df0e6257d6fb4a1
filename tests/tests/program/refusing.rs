//! Packets that nothing takes: whose they are, and what their senders get.

use std::net::{IpAddr, TcpListener, TcpStream, UdpSocket};

use elb_common::flow::{FlowKeyV4, FlowKeyV6, Ports};
use elb_common::interface::Interface;
use elb_common::listener::{
    Listener, RANGE_FIXED_BITS, RangeKey, listener_flags as flags, vip_flags,
};
use elb_common::path::{Frame, process};
use elb_common::reason::Reason;

use crate::both::{Both, everywhere, listener};
use crate::cases::{Case, Then::Because, Then::To, check, hex};
use crate::frame::*;
use crate::kernel::{Kernel, TX, now};
use crate::world::*;

const C4: &str = "198.51.100.7";
const C6: &str = "2001:db8:c::7";
const CLOSED: u16 = 4444;

fn to4(flags: u8) -> Packet {
    tcp(C4, 40_000, vip4(), CLOSED, flags, b"")
}

#[test]
fn a_closed_port_of_an_address_that_is_not_the_hosts() {
    let replied = Because(Reason::ClosedPortAnswered);
    let silent = Because(Reason::ClosedPort);
    let to6 = |flags| tcp(C6, 40_000, vip6(), CLOSED, flags, b"abc");
    let q4 = || udp(C4, 9, vip4(), CLOSED, &[7; 300]);
    let q6 = || udp(C6, 9, vip6(), CLOSED, b"");
    let (dest, hop) = ([17, 0, 1, 4, 0, 0, 0, 0], [6, 0, 1, 4, 0, 0, 0, 0]);
    check(vec![
        Case("syn", to4(SYN).frame(), replied),
        Case("syn in tags", to4(SYN).tagged(&[100, 200]), replied),
        Case("syn with options", to4(SYN).options(&[1; 12]).frame(), replied),
        Case("syn ack", to4(SYN | ACK).frame(), replied),
        Case("data", tcp(C4, 40_000, vip4(), CLOSED, ACK, &[9; 700]).frame(), replied),
        Case("fin without ack", to4(FIN).frame(), replied),
        Case("no flags", to4(0).frame(), replied),
        Case("a reset is not answered", to4(RST).frame(), silent),
        Case("nor one that acknowledges", to4(RST | ACK).frame(), silent),
        Case("from no single host", tcp("0.0.0.0", 1, vip4(), CLOSED, SYN, b"").frame(), silent),
        Case("from a group", tcp("224.0.0.5", 1, vip4(), CLOSED, SYN, b"").frame(), silent),
        Case("v6", to6(SYN).frame(), replied),
        Case("v6, tagged", to6(ACK).tagged(&[7]), replied),
        Case("v6, hop by hop", to6(SYN).extensions(0, &hop).frame(), replied),
        Case("v6 from a group", tcp("ff02::1", 1, vip6(), CLOSED, SYN, b"").frame(), silent),
        Case("datagram", q4().frame(), replied),
        Case("empty datagram", udp(C4, 9, vip4(), CLOSED, b"").frame(), replied),
        Case("datagram in tags", q4().tagged(&[1, 2]), replied),
        Case("datagram with options", q4().options(&[1; 4]).frame(), silent),
        Case("datagram v6", q6().frame(), replied),
        Case("datagram v6, tagged", q6().tagged(&[3]), replied),
        Case("datagram v6, options", q6().extensions(60, &dest).frame(), silent),
        Case("first fragment", q4().fragment(0x2000).frame(), silent),
        Case("another protocol", Packet::new(C4, vip4(), 47, vec![0; 20]).frame(), silent),
        Case("of an address without listeners", tcp(C4, 1, bare4(), 80, SYN, b"").frame(), replied),
        Case("of an address with ranges", udp(C4, 1, any4(), 80, b"").frame(), replied),
    ]);
}

#[test]
fn a_closed_port_of_the_hosts_own_address_is_the_kernels() {
    let kernels = Because(Reason::NoListener);
    let echo = [echo(C4, own4(), b"").frame(), echo(C6, own6(), b"").frame()];
    let gre = Packet::new(C4, own4(), 47, vec![0; 20]).frame();
    let [first, later] = &udp(C4, 9, own4(), CLOSED, &[1; 24]).fragments(16, 7)[..] else {
        panic!("two fragments")
    };
    check(vec![
        Case("syn", tcp(C4, 1, own4(), CLOSED, SYN, b"").frame(), kernels),
        Case("datagram v6", udp(C6, 1, own6(), CLOSED, b"").frame(), kernels),
        Case("echo", echo[0].clone(), kernels),
        Case("echo v6", echo[1].clone(), kernels),
        Case("another protocol", gre, Because(Reason::OtherProtocol)),
        Case("first fragment", first.frame(), kernels),
        Case("later fragment", later.frame(), Because(Reason::OwnConnection)),
    ]);
}

#[test]
fn frames_for_another_host_pass() {
    let foreign = Because(Reason::ForeignMac);
    let syn4 = || tcp(C4, 40_000, vip4(), port::IN_V4, SYN, b"");
    let syn6 = || tcp(C6, 40_000, vip6(), port::L2, SYN, b"");
    let to = |mac: [u8; 6], mut frame: Vec<u8>| {
        frame[..6].copy_from_slice(&mac);
        frame
    };
    let (sender, target) = ([10, 0, 0, 9].into(), "192.0.2.10".parse().unwrap());
    let asked = arp(1, CLIENT_MAC, sender, target);
    let claimed = arp(2, CLIENT_MAC, target, sender);
    let strangers = arp(1, CLIENT_MAC, sender, sender);
    let IpAddr::V6(vip) = vip6() else { unreachable!() };
    let solicited = solicitation(C6, vip, true);
    check(vec![
        Case("tcp v4", syn4().frame_to(FOREIGN_MAC), foreign),
        Case("tcp v6, l2", syn6().frame_to(FOREIGN_MAC), foreign),
        Case("tagged", to(FOREIGN_MAC, syn4().tagged(&[5])), foreign),
        Case("udp", udp(C4, 1, vip4(), port::L2, b"q").frame_to(FOREIGN_MAC), foreign),
        Case("a range", tcp(C4, 1, any4(), 12_345, SYN, b"").frame_to(FOREIGN_MAC), foreign),
        Case("a closed port", to4(SYN).frame_to(FOREIGN_MAC), foreign),
        Case("echo", echo(C4, vip4(), b"").frame_to(FOREIGN_MAC), foreign),
        Case(
            "another protocol",
            Packet::new(C4, vip4(), 47, vec![0; 20]).frame_to(FOREIGN_MAC),
            foreign,
        ),
        Case(
            "none of ours",
            tcp(C4, 1, "10.0.0.1".parse().unwrap(), 22, SYN, b"").frame_to(FOREIGN_MAC),
            Because(Reason::NotVip),
        ),
        Case("of an interface on top", syn4().frame_to(UPPER_MAC), To(id::IN_V4)),
        Case(
            "echo to an interface on top",
            echo(C4, vip4(), b"").frame_to(UPPER_MAC),
            Because(Reason::EchoAnswered),
        ),
        Case("arp", to(FOREIGN_MAC, asked.clone()), foreign),
        Case("arp to us", to(OUR_MAC, asked), Because(Reason::ArpAnswered)),
        Case("arp, claimed", to(FOREIGN_MAC, claimed), foreign),
        Case("arp between others", to(FOREIGN_MAC, strangers), Because(Reason::ArpOther)),
        Case("solicitation", solicited.clone().frame_to(FOREIGN_MAC), foreign),
        Case("solicitation to us", solicited.frame_to(OUR_MAC), Because(Reason::NeighborAnswered)),
    ]);
}

/// An interface whose place in the array of addresses another one has is looked up in the hash.
#[test]
fn an_address_that_is_not_found_first_is_found() {
    let mut kernel = Kernel::new(&world(now()).memory());
    let other = elb_common::interface::LinkMac::new(257, elb_common::addr::Mac::new(FOREIGN_MAC));
    kernel.set(elb_common::names::INTERFACE_MACS, 1, other);
    let frame = tcp(C4, 40_000, vip4(), port::IN_V4, SYN, b"");
    assert_eq!(kernel.run(&frame.frame()).action, TX);
    assert_eq!(kernel.run(&frame.frame_to(FOREIGN_MAC)).action, crate::kernel::PASS);
}

/// No host is on the way that could show more than a reset or an error: both are the same bytes, but for the
/// counter, as at a closed port.
#[test]
fn senders_are_informed_of_no_member_where_the_listener_says_so() {
    for port in [port::EMPTY, port::NO_RING, port::MOVING_EMPTY, port::NO_MEMBER] {
        let mut both = Both::with(|memory| {
            everywhere(memory, port, |listener| listener.flags |= flags::RESET);
        });
        let replied = Because(Reason::NoBackendAnswered);
        both.check(vec![
            ("syn", tcp(C4, 1, vip4(), port, SYN, b"").frame(), replied),
            ("syn v6", tcp(C6, 1, vip6(), port, SYN, b"").frame(), replied),
            (
                "reset",
                tcp(C4, 1, vip4(), port, RST, b"").frame(),
                match port {
                    // Of a flow that is older than the change.
                    port::MOVING_EMPTY => To(id::FORMER),
                    _ => Because(Reason::NoBackend),
                },
            ),
        ]);
        if port != port::MOVING_EMPTY {
            both.check(vec![
                ("datagram", udp(C4, 1, vip4(), port, b"q").frame(), replied),
                ("datagram v6", udp(C6, 1, vip6(), port, b"q").tagged(&[8]), replied),
            ]);
        }
    }
    let mut both = Both::with(|memory| {
        everywhere(memory, port::L2, |listener| listener.flags |= flags::RESET);
    });
    let frame = tcp(C4, 1, vip4(), port::L2, SYN, b"").frame();
    both.check(vec![("with a member", frame, To(id::L2))]);
}

#[test]
fn the_answer_is_the_same_in_the_kernel_and_on_the_host() {
    let both = Both::with(|memory| {
        everywhere(memory, port::EMPTY, |listener| listener.flags |= flags::RESET);
    });
    let (mut kernel, memory) = (both.kernel, both.memory);
    for frame in [
        tcp(C4, 1, vip4(), port::EMPTY, SYN, b"").options(&[1; 8]).tagged(&[5]),
        tcp(C6, 1, vip6(), port::EMPTY, ACK, b"abc").frame(),
        udp(C6, 1, vip6(), port::EMPTY, b"abc").frame(),
        udp(C4, 1, vip4(), port::EMPTY, &[1; 900]).tagged(&[5, 6]),
    ] {
        let ran = kernel.run(&frame);
        let mut buffer = [0u16; 2048];
        let mut host = Frame::new(&mut buffer, &frame, INGRESS).unwrap();
        let outcome = process(&mut host, &memory);
        assert_eq!(outcome.reason(), Some(Reason::NoBackendAnswered));
        assert_eq!((ran.action, hex(&ran.bytes)), (TX, hex(host.bytes())));
    }
}

#[test]
fn a_client_that_is_cut_is_reset() {
    const PORT: u16 = port::IN_V4;
    let cuts = |list: u16| {
        Both::with(|memory| {
            everywhere(memory, PORT, |listener| {
                (listener.group, listener.flags) = (9, list | flags::CUT);
            });
        })
    };
    let packets = |flags| {
        [tcp(C4, 1, vip4(), PORT, flags, b"").frame(), tcp(C6, 1, vip6(), PORT, flags, b"").frame()]
    };
    let mut white = cuts(flags::WHITELIST);
    for frame in packets(ACK) {
        assert_eq!(white.run("data", &frame), Because(Reason::CutAnswered));
    }
    for frame in packets(SYN) {
        assert_eq!(white.run("syn", &frame), Because(Reason::AccessDenied));
    }
    for frame in packets(RST) {
        assert_eq!(white.run("reset", &frame), Because(Reason::Cut));
    }
    let datagram = udp(C4, 1, vip4(), PORT, b"q").frame();
    // The reply is "port unreachable": there are no connections to reset.
    assert_eq!(white.run("datagram", &datagram), Because(Reason::CutAnswered));
    let mut black = cuts(flags::BLACKLIST);
    for frame in [SYN, ACK, RST].into_iter().flat_map(packets).chain([datagram]) {
        assert_eq!(black.run("of no list", &frame), To(id::IN_V4));
    }
}

/// Sockets of this host are found by the kernel; on the host, `Memory` names them.
#[test]
fn connections_of_the_host_pass_at_an_address_of_its_own() {
    let mut both = Both::with(|memory| {
        let mut record: Listener = *listener(memory, vip4(), port::IN_V4, TCP);
        record.flags |= flags::OWN;
        for (number, protocol) in [(14u32, TCP), (14, UDP), (16, TCP), (16, UDP)] {
            let key = RangeKey::new(number, elb_common::addr::Be16::new(0), protocol);
            memory.ranges.push((RANGE_FIXED_BITS, key, record));
        }
        let ranges = vip_flags::RANGES_TCP | vip_flags::RANGES_UDP | vip_flags::OWN;
        let vip = |number| elb_common::listener::Vip { flags: ranges, number };
        let (IpAddr::V4(v4), IpAddr::V6(v6)) = (own4(), own6()) else { unreachable!() };
        memory.vips_v4.insert(be32(v4), vip(14));
        memory.vips_v6.insert(be128(v6), vip(16));
    });
    both.kernel.give(&[own4(), own6()]);
    for own in [own4(), own6()] {
        let waiting = TcpListener::bind((own, 0)).unwrap();
        let client = TcpStream::connect(waiting.local_addr().unwrap()).unwrap();
        let served = client.local_addr().unwrap();
        let open = waiting.local_addr().unwrap().port();
        let (from, peer) = (served.ip().to_string(), served.port());
        let bound = UdpSocket::bind((own, 0)).unwrap();
        let connected = UdpSocket::bind((own, 0)).unwrap();
        connected.connect(bound.local_addr().unwrap()).unwrap();
        let [bound, connected] = [bound, connected].map(|s| (s.local_addr().unwrap().port(), s));
        for (source, destination, protocol) in
            [(peer, open, TCP), (open, peer, TCP), (bound.0, connected.0, UDP)]
        {
            let port = elb_common::addr::Be16::new;
            let ports = Ports { source: port(source), destination: port(destination) };
            match own {
                IpAddr::V4(a) => {
                    let key = FlowKeyV4::new(be32(a), be32(a), ports, protocol);
                    both.memory.connections_v4.insert(key);
                }
                IpAddr::V6(a) => {
                    let key = FlowKeyV6::new(be128(a), be128(a), ports, protocol);
                    both.memory.connections_v6.insert(key);
                }
            }
        }
        let passes = Because(Reason::OwnConnection);
        let balanced = To(id::IN_V4);
        both.check(vec![
            ("to the server", tcp(&from, peer, own, open, ACK, b"").frame(), passes),
            ("to the client", tcp(&from, open, own, peer, ACK, b"").frame(), passes),
            ("another client", tcp(&from, peer ^ 1, own, open, SYN, b"").frame(), balanced),
            ("not a connection", tcp(&from, peer ^ 1, own, open, ACK, b"").frame(), balanced),
            ("reply", udp(&from, bound.0, own, connected.0, b"").frame(), passes),
            ("for any socket", udp(&from, connected.0, own, bound.0, b"").frame(), balanced),
        ]);
    }
}

#[test]
fn what_was_joined_is_no_ones_fault() {
    let mut both = Both::with(|memory| {
        let interface = Interface { largest: 1500, ..memory.interfaces[&INGRESS] };
        memory.interfaces.insert(INGRESS, interface);
    });
    let data = |size: usize| tcp(C4, 1, vip4(), port::IN_V4, ACK, &vec![7; size]).frame();
    both.check(vec![
        ("fits", data(1400), To(id::IN_V4)),
        ("as large as the interface takes", data(1460), Because(Reason::TooBigAnswered)),
        ("larger", data(1461), Because(Reason::Joined)),
        ("v6", tcp(C6, 1, vip6(), port::L2, ACK, &[7; 2900]).frame(), Because(Reason::Joined)),
    ]);
}
