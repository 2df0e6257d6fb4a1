//! Packets that are translated to a member, and its answers, which are translated back.

use std::net::IpAddr;

use elb_common::reason::Reason;

use crate::cases::{Case, Then, check};
use crate::frame::*;
use crate::oracle::replies::member_of;
use crate::world::translation::client;
use crate::world::*;

use Then::{Back, BackByKernel, BackElsewhere, Because, Probed, To};

const V4: usize = 0;
const V6: usize = 1;

/// On the segment of the members.
const NEIGHBOR: [&str; 2] = ["10.0.0.77", "fd00::77"];

fn vip(version: usize) -> IpAddr {
    [vip4(), vip6()][version]
}

fn backend(version: usize) -> u16 {
    [id::NAT, id::NAT_V6][version]
}

fn member(version: usize) -> String {
    member_of(vip(version)).to_string()
}

/// A client's segment.
fn asks(version: usize, flags: u8, data: &[u8]) -> Packet {
    tcp(client::FAR[version], 40_000, vip(version), port::NAT, flags, data)
}

/// A client's datagram.
fn asks_udp(version: usize, data: &[u8]) -> Packet {
    udp(client::FAR[version], 5000, vip(version), port::NAT, data)
}

/// The member's segment to a client.
fn answers(version: usize, to: [&str; 2], flags: u8, data: &[u8]) -> Packet {
    tcp(&member(version), port::MEMBER, to[version].parse().unwrap(), 40_000, flags, data)
}

/// The member's datagram to a client.
fn answers_udp(version: usize, to: [&str; 2], data: &[u8]) -> Packet {
    udp(&member(version), port::MEMBER, to[version].parse().unwrap(), 5000, data)
}

/// The frame that the member sends.
fn from_member(packet: &Packet) -> Vec<u8> {
    let id = if packet.source.is_ipv4() { id::NAT } else { id::NAT_V6 };
    let mut frame = packet.frame();
    frame[6..12].copy_from_slice(&[2, 0, 0, 1, 0, id as u8]);
    frame
}

fn without_checksum(mut datagram: Packet) -> Packet {
    datagram.payload[6..8].fill(0);
    datagram
}

/// A datagram whose checksum would be 0, and is sent as ffff therefore.
fn summing_to_zero(make: impl Fn(&[u8]) -> Packet) -> Packet {
    let sum = make(&[0, 0]).payload[6..8].to_vec();
    let mut datagram = make(&sum);
    seal(&mut datagram, 6);
    assert_eq!(datagram.payload[6..8], [0, 0]);
    datagram.payload[6..8].fill(0xff);
    datagram
}

#[test]
fn forward_in_both_versions() {
    let mut cases = vec![];
    for version in [V4, V6] {
        let to = || To(backend(version));
        cases.extend([
            Case("syn", asks(version, SYN, b"").frame(), to()),
            Case("data", asks(version, ACK, b"GET / HTTP/1.1").frame(), to()),
            Case("odd data", asks(version, ACK, b"odd").frame(), to()),
            Case("a full segment", asks(version, ACK, &[7; 1440 - 20]).frame(), to()),
            Case("fin", asks(version, FIN | ACK, b"").frame(), to()),
            Case("rst", asks(version, RST, b"").frame(), to()),
            Case("datagram", asks_udp(version, b"q").frame(), to()),
            Case("empty datagram", asks_udp(version, b"").frame(), to()),
            Case("congestion marks stay", asks(version, ACK, b"x").tos(0xbb).frame(), to()),
            Case("two hops left", asks(version, ACK, b"").ttl(2).frame(), to()),
            Case(
                "no hop left",
                asks(version, ACK, b"").ttl(1).frame(),
                Because(Reason::TtlExpired),
            ),
            Case(
                "from the member's own segment",
                tcp(NEIGHBOR[version], 9, vip(version), port::NAT, SYN, b"").frame(),
                Because(Reason::Hairpin),
            ),
            Case(
                "from the member itself",
                tcp(&member(version), 9, vip(version), port::NAT, SYN, b"").frame(),
                Because(Reason::Hairpin),
            ),
            Case("tagged", asks(version, SYN, b"").tagged(&[100]), to()),
            Case("tagged twice", asks(version, SYN, b"").tagged(&[100, 200]), to()),
            Case(
                "a checksum of zero is sent as ffff",
                summing_to_zero(|data| asks_udp(version, data)).frame(),
                to(),
            ),
            Case(
                "to another host's Ethernet address",
                asks(version, SYN, b"").frame_to(FOREIGN_MAC),
                Because(Reason::ForeignMac),
            ),
        ]);
    }
    check(cases);
}

#[test]
fn forward_with_what_one_version_has() {
    check(vec![
        Case(
            "no checksum stays none",
            without_checksum(asks_udp(V4, b"q")).frame(),
            To(backend(V4)),
        ),
        Case("options", asks(V4, ACK, b"x").options(&[1; 40]).frame(), To(backend(V4))),
        Case(
            "an extension header",
            asks(V6, ACK, b"x").extensions(60, &[6, 0, 1, 4, 0, 0, 0, 0]).frame(),
            To(backend(V6)),
        ),
        Case(
            "an atomic fragment",
            asks(V6, ACK, b"x").extensions(44, &[6, 0, 0, 0, 0, 0, 0, 9]).frame(),
            To(backend(V6)),
        ),
    ]);
}

#[test]
fn back_in_both_versions() {
    let mut cases = vec![];
    for version in [V4, V6] {
        let frame = |to, flags, data: &[u8]| from_member(&answers(version, to, flags, data));
        let packet = || answers(version, client::FAR, ACK, b"x");
        let elsewhere = || BackElsewhere(backend(version));
        let mut tagged = packet().tagged(&[100]);
        tagged[6..12].copy_from_slice(&frame(client::FAR, ACK, b"")[6..12]);
        cases.extend([
            Case("syn-ack", frame(client::FAR, SYN | ACK, b""), elsewhere()),
            Case("data", frame(client::FAR, ACK, b"HTTP/1.1 200 OK"), elsewhere()),
            Case("a full segment", frame(client::FAR, ACK, &[9; 1420]), elsewhere()),
            Case("fin", frame(client::FAR, FIN | ACK, b""), elsewhere()),
            Case("rst", frame(client::FAR, RST | ACK, b""), elsewhere()),
            Case("datagram", from_member(&answers_udp(version, client::FAR, b"a")), elsewhere()),
            Case("congestion marks stay", from_member(&packet().tos(0x03)), elsewhere()),
            Case("two hops left", from_member(&packet().ttl(2)), elsewhere()),
            Case("no hop left", from_member(&packet().ttl(1)), Because(Reason::TtlExpired)),
            Case("tagged", tagged, elsewhere()),
            Case(
                "a checksum of zero is sent as ffff",
                from_member(&summing_to_zero(|data| answers_udp(version, client::FAR, data))),
                elsewhere(),
            ),
            Case("a client nearby", frame(client::NEAR, ACK, b"x"), Back(backend(version))),
            Case(
                "the kernel finds the way",
                frame(client::UNRESOLVED, ACK, b"x"),
                BackByKernel(backend(version)),
            ),
            Case("no way", frame(client::LOST, ACK, b"x"), Because(Reason::NoRoute)),
            Case(
                "just fits the way",
                frame(client::NARROW, ACK, &vec![1; if version == V4 { 1360 } else { 1340 }]),
                Back(backend(version)),
            ),
            Case(
                "too big for the way",
                frame(client::NARROW, ACK, &vec![1; if version == V4 { 1361 } else { 1341 }]),
                Because(Reason::TooBigAnswered),
            ),
        ]);
    }
    check(cases);
}

#[test]
fn back_with_what_one_version_has() {
    check(vec![
        Case(
            "no checksum stays none",
            from_member(&without_checksum(answers_udp(V4, client::FAR, b"q"))),
            BackElsewhere(backend(V4)),
        ),
        Case(
            "options",
            from_member(&answers(V4, client::FAR, ACK, b"x").options(&[1; 40])),
            BackElsewhere(backend(V4)),
        ),
        Case(
            "an extension header",
            from_member(
                &answers(V6, client::FAR, ACK, b"x").extensions(60, &[6, 0, 1, 4, 0, 0, 0, 0]),
            ),
            BackElsewhere(backend(V6)),
        ),
    ]);
}

/// What comes from an endpoint whose connections are over.
#[test]
fn members_whose_connections_are_over_are_reset() {
    let mut cases = vec![];
    for version in [V4, V6] {
        let [far, here]: [IpAddr; 2] =
            [client::FAR, client::HERE].map(|one| one[version].parse().unwrap());
        let other = |port, to, flags| tcp(&member(version), port, to, 40_000, flags, b"");
        cases.extend([
            Case(
                "a connection that is over",
                from_member(&other(port::MEMBER_ENDED, far, ACK)),
                Because(Reason::ResetTold),
            ),
            Case(
                "data on a connection that is over",
                from_member(&tcp(&member(version), port::MEMBER_ENDED, far, 9, ACK, b"data")),
                Because(Reason::ResetTold),
            ),
            Case(
                "a connection that is over, and tagged",
                {
                    let packet = other(port::MEMBER_ENDED, far, FIN | ACK);
                    let mut tagged = packet.tagged(&[100]);
                    tagged[6..12].copy_from_slice(&from_member(&packet)[6..12]);
                    tagged
                },
                Because(Reason::ResetTold),
            ),
            Case(
                "a connection that is over, which is accepted",
                from_member(&other(port::MEMBER_ENDED, far, SYN | ACK)),
                Because(Reason::ResetTold),
            ),
            Case(
                "a connection that is over, by another host's address",
                other(port::MEMBER_ENDED, far, ACK).frame(),
                Because(Reason::ReplyUnknown),
            ),
            Case(
                "the reset of a connection that is over",
                from_member(&other(port::MEMBER_ENDED, far, RST)),
                Because(Reason::NotVip),
            ),
            Case(
                "the member's own connection from there",
                from_member(&other(port::MEMBER_ENDED, far, SYN)),
                Because(Reason::NotVip),
            ),
            Case(
                "this host's own connection to where all is over",
                from_member(&other(port::MEMBER_ENDED, here, ACK)),
                Because(Reason::NotVip),
            ),
            Case(
                "a datagram where all is over",
                from_member(&udp(&member(version), port::MEMBER_ENDED, far, 9, b"x")),
                Because(Reason::NotVip),
            ),
        ]);
    }
    check(cases);
}

/// What comes from a member's address, and is no answer of it.
#[test]
fn what_is_no_answer_is_left_alone() {
    let mut cases = vec![];
    for version in [V4, V6] {
        let far: IpAddr = client::FAR[version].parse().unwrap();
        let other = |port, to, flags| tcp(&member(version), port, to, 40_000, flags, b"");
        let here: IpAddr = client::HERE[version].parse().unwrap();
        cases.extend([
            Case(
                "another port of the member",
                from_member(&other(22, far, ACK)),
                Because(Reason::NotVip),
            ),
            Case(
                "the member's own connection",
                from_member(&other(port::MEMBER, far, SYN)),
                Because(Reason::NotVip),
            ),
            Case(
                "from another Ethernet address",
                answers(version, client::FAR, ACK, b"").frame(),
                Because(Reason::ReplyUnknown),
            ),
            Case(
                "by another interface",
                from_member(&other(port::MEMBER_ELSEWHERE, far, ACK)),
                Because(Reason::ReplyUnknown),
            ),
            Case(
                "to another host's Ethernet address",
                {
                    let mut frame = from_member(&answers(version, client::FAR, ACK, b""));
                    frame[..6].copy_from_slice(&FOREIGN_MAC);
                    frame
                },
                Because(Reason::ForeignMac),
            ),
            Case(
                "to this host",
                from_member(&answers(version, client::HERE, ACK, b"")),
                Because(Reason::NotVip),
            ),
            Case(
                "to this host's probe of the virtual address",
                from_member(&tcp(&member(version), port::MEMBER, here, PROBE, SYN | ACK, b"")),
                Probed,
            ),
            Case(
                "to the probe's port by UDP",
                from_member(&udp(&member(version), port::MEMBER, here, PROBE, b"")),
                Because(Reason::NotVip),
            ),
            Case(
                "a stranger at the member's port",
                tcp(client::NEAR[version], port::MEMBER, far, 40_000, ACK, b"").frame(),
                Because(Reason::NotVip),
            ),
        ]);
    }
    check(cases);
}

#[test]
fn fragments_follow_the_first_in_both_directions() {
    let mut cases = vec![];
    for (version, id) in [(V4, 7), (V6, 8)] {
        let asked = asks_udp(version, &[5; 3000]).fragments(1208, id);
        let names = ["first", "second", "third"];
        for (name, part) in names.iter().zip(&asked) {
            cases.push(Case(name, part.frame(), To(backend(version))));
        }
        let answered = answers_udp(version, client::FAR, &[6; 3000]).fragments(1208, id);
        cases.push(Case(
            "a later part of an answer before the first",
            from_member(&answers_udp(version, client::FAR, &[6; 3000]).fragments(1208, 99)[1]),
            Because(Reason::NotVip),
        ));
        for (name, part) in names.iter().zip(&answered) {
            cases.push(Case(name, from_member(part), BackElsewhere(backend(version))));
        }
        let mut foreign = answered[1].frame();
        foreign[6..12].copy_from_slice(&CLIENT_MAC);
        cases.push(Case("from elsewhere", foreign, Because(Reason::ReplyUnknown)));
    }
    check(cases);
}

/// A router on the way to the client.
const ROUTER: [&str; 2] = ["198.51.100.1", "2001:db8:c::1"];
/// A router on the way to the member.
const INNER_ROUTER: [&str; 2] = ["10.0.0.99", "fd00::99"];

/// Errors that RFC 792 and RFC 4443 know: type and code.
const ERRORS: [&[(u8, u8)]; 2] = [
    &[(3, 0), (3, 1), (3, 3), (3, 4), (3, 13), (11, 0), (12, 0)],
    &[(1, 0), (1, 3), (1, 4), (2, 0), (3, 0), (4, 0)],
];

/// What a client, or a router before it, says of an answer: the member learns of it as of its own packet.
#[test]
fn errors_about_answers_reach_the_member() {
    let mut cases = vec![];
    for version in [V4, V6] {
        let client = client::FAR[version].parse().unwrap();
        let (vip, to) = (vip(version).to_string(), || To(backend(version)));
        let segment = tcp(&vip, port::NAT, client, 40_000, ACK, &[1; 600]).ip();
        let datagram = udp(&vip, port::NAT, client, 5000, &[2; 64]).ip();
        let header = if version == V4 { 20 } else { 40 };
        for (kind, code) in ERRORS[version] {
            for from in [ROUTER[version], client::FAR[version]] {
                let about = |quoted: &[u8]| error(from, *kind, *code, 1400, quoted).frame();
                cases.extend([
                    Case("about a segment", about(&segment), to()),
                    Case("about a datagram", about(&datagram), to()),
                ]);
            }
        }
        let about = |quoted: &[u8]| error(ROUTER[version], 3, 0, 0, quoted).frame();
        for (name, length) in
            [("ports only", 4), ("eight bytes", 8), ("all but the checksum", 16), ("with it", 18)]
        {
            cases.push(Case(name, about(&segment[..header + length]), to()));
        }
        let mut unsummed = without_checksum(udp(&vip, port::NAT, client, 5000, &[2; 64]));
        unsummed.id = 7;
        cases.extend([
            Case("a datagram without its checksum", about(&datagram[..header + 6]), to()),
            Case("no ports", about(&segment[..header + 2]), Because(Reason::Truncated)),
        ]);
        if version == V4 {
            cases.push(Case("without a checksum", about(&unsummed.ip()), to()));
            let optioned = tcp(&vip, port::NAT, client, 40_000, ACK, b"data").options(&[1; 8]).ip();
            cases.push(Case("about one with options", about(&optioned), to()));
        } else {
            let extended = tcp(&vip, port::NAT, client, 40_000, ACK, b"data")
                .extensions(60, &[6, 0, 1, 4, 0, 0, 0, 0])
                .ip();
            cases.push(Case("about one with extension headers", about(&extended), to()));
        }
        let spent = error(ROUTER[version], 3, 0, 0, &segment).ttl(1).frame();
        cases.push(Case("no hop left", spent, Because(Reason::TtlExpired)));
    }
    check(cases);
}

/// What a member, or a router before it, says of a client's packet: the client learns of it as of its own.
#[test]
fn errors_about_requests_reach_the_client() {
    let mut cases = vec![];
    for version in [V4, V6] {
        let member = member(version);
        let to = member_of(vip(version));
        let asked = |client: &str| tcp(client, 40_000, to, port::MEMBER, SYN, &[1; 64]).ip();
        let far = asked(client::FAR[version]);
        let datagram = udp(client::FAR[version], 5000, to, port::MEMBER, &[3; 64]).ip();
        let elsewhere = || BackElsewhere(backend(version));
        let header = if version == V4 { 20 } else { 40 };
        for (kind, code) in ERRORS[version] {
            for from in [INNER_ROUTER[version], &member] {
                let about = |quoted: &[u8]| error(from, *kind, *code, 1400, quoted).frame();
                cases.extend([
                    Case("about a segment", about(&far), elsewhere()),
                    Case("about a datagram", about(&datagram), elsewhere()),
                ]);
            }
        }
        let about = |quoted: &[u8]| error(&member, 3, 0, 0, quoted).frame();
        for (name, length) in [("ports only", 4), ("eight bytes", 8), ("with a checksum", 18)] {
            cases.push(Case(name, about(&far[..header + length]), elsewhere()));
        }
        let probe = tcp(client::HERE[version], PROBE, to, port::MEMBER, SYN, b"").ip();
        let own = tcp(client::HERE[version], 50_000, to, port::MEMBER, SYN, b"").ip();
        let other_port = tcp(client::FAR[version], 40_000, to, 22, SYN, b"").ip();
        let wrong_way =
            tcp(client::FAR[version], 40_000, to, port::MEMBER_ELSEWHERE, SYN, b"").ip();
        cases.extend([
            Case(
                "to a client nearby",
                about(&asked(client::NEAR[version])),
                Back(backend(version)),
            ),
            Case(
                "the kernel finds the way",
                about(&asked(client::UNRESOLVED[version])),
                BackByKernel(backend(version)),
            ),
            Case("no way", about(&asked(client::LOST[version])), Because(Reason::NoRoute)),
            Case("about a probe of a virtual address", about(&probe), Probed),
            Case("about this host's own", about(&own), Because(Reason::NotVip)),
            Case("about another port", about(&other_port), Because(Reason::NotVip)),
            Case("by another interface", about(&wrong_way), Because(Reason::ReplyUnknown)),
            Case(
                "no hop left",
                error(&member, 3, 0, 0, &far).ttl(1).frame(),
                Because(Reason::TtlExpired),
            ),
        ]);
    }
    check(cases);
}

/// One answer spelled out by hand, so that the oracle is not the only witness.
#[test]
fn byte_by_byte() {
    let mut kernel = crate::kernel::Kernel::new(&world(crate::kernel::now()).memory());
    let ran = kernel.run(&asks(V4, SYN, b"").frame());
    assert_eq!(ran.action, crate::kernel::TX);
    let expected = tcp(client::FAR[V4], 40_000, member_of(vip4()), port::MEMBER, SYN, b"").ttl(60);
    assert_eq!(ran.bytes[..6], [2, 0, 0, 1, 0, id::NAT as u8]);
    assert_eq!(ran.bytes[14..], expected.frame()[14..]);
    let ran = kernel.run(&from_member(&answers(V6, client::FAR, SYN | ACK, b"")));
    assert_eq!(ran.action, crate::kernel::REDIRECT);
    let far = client::FAR[V6].parse().unwrap();
    let expected = tcp(&vip6().to_string(), port::NAT, far, 40_000, SYN | ACK, b"").ttl(60);
    assert_eq!(ran.bytes[..12], [ROUTER_MAC, OUR_MAC].concat());
    assert_eq!(ran.bytes[14..], expected.frame()[14..]);
}
