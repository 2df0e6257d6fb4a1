//! Errors about packets that changed their version: so do the errors, and what they quote.

use std::net::IpAddr;

use elb_common::path::Outcome;
use elb_common::reason::Reason;

use super::scene::*;
use crate::frame::*;
use crate::world::*;

const ROUTER: &str = "198.51.100.254";
const ROUTER_V6: &str = "fd00::fe";

/// What an error says: type, code, and the word behind the checksum.
type Says = (u8, u8, u32);

/// What is said of a packet that was sent to a client, and what its member learns.
const OF_ANSWERS: [(Says, Says); 13] = [
    ((3, 0, 0), (1, 0, 0)),
    ((3, 1, 0), (1, 0, 0)),
    ((3, 2, 0), (4, 1, 6)),
    ((3, 3, 0), (1, 4, 0)),
    ((3, 4, 1400), (2, 0, 1420)),
    // No packet of IPv6 is made smaller than that.
    ((3, 4, 0), (2, 0, 1280)),
    ((3, 4, 576), (2, 0, 1280)),
    ((3, 9, 0), (1, 1, 0)),
    ((3, 10, 0), (1, 1, 0)),
    ((3, 13, 0), (1, 1, 0)),
    ((3, 15, 0), (1, 1, 0)),
    ((11, 0, 0), (3, 0, 0)),
    ((11, 1, 0), (3, 1, 0)),
];

/// What is said of a packet that was sent to a member, and what its client learns.
const OF_REQUESTS: [(Says, Says); 10] = [
    ((1, 0, 0), (3, 1, 0)),
    ((1, 1, 0), (3, 10, 0)),
    ((1, 2, 0), (3, 1, 0)),
    ((1, 3, 0), (3, 1, 0)),
    ((1, 4, 0), (3, 3, 0)),
    ((2, 0, 1400), (3, 4, 1380)),
    ((2, 0, 1_000_000), (3, 4, 65_515)),
    ((3, 0, 0), (11, 0, 0)),
    ((3, 1, 0), (11, 1, 0)),
    ((4, 1, 6), (3, 2, 0)),
];

/// The packet that an error quotes, after some hops, cut to a header and so many bytes.
fn quote(packet: &Packet, bytes: usize) -> Vec<u8> {
    let mut ip = packet.ip();
    let header = if packet.source.is_ipv4() { 20 } else { 40 };
    ip.truncate(header + bytes);
    if packet.source.is_ipv6() { unlabelled(ip) } else { ip }
}

/// A client's packet, or a member's, as it is quoted and as its sender knows it: both have made the same hops.
fn hops(mut packet: Packet) -> Packet {
    packet.ttl += 1;
    packet
}

/// As a network of IPv4 would deliver it to be quoted: none of its routers took it apart.
fn whole(mut packet: Packet) -> Packet {
    (packet.fragment, packet.id) = (0x4000, 0);
    packet
}

#[test]
fn members_learn_of_their_answers() {
    each(|mut scene| {
        for bytes in [8, 16, 18, 20, 40] {
            for answer in [scene.answers(ACK, &[9; 64]), scene.answers_udp(&[9; 64])] {
                let shown = quote(&whole(hops(scene.in_v4(&answer))), bytes);
                let sent = quote(&answer, bytes);
                for (said, (kind, code, word)) in OF_ANSWERS {
                    for router in [ROUTER, CLIENT] {
                        let message = error(router, said.0, said.1, said.2, &shown);
                        let from = scene.known(router, answer.protocol).to_string();
                        let mut expected = error(&from, kind, code, word, &sent);
                        expected.destination = answer.source;
                        expected.ttl = message.ttl - 1;
                        seal(&mut expected, 2);
                        scene.forwards_as(&message, &expected);
                    }
                }
            }
        }
    });
}

#[test]
fn clients_learn_of_their_requests() {
    each(|mut scene| {
        for bytes in [8, 16, 18, 20, 40] {
            for request in [asks(ACK, &[9; 64]), asks_udp(&[9; 64])] {
                let shown = quote(&hops(scene.in_v6(&request)), bytes);
                let sent = quote(&whole(request), bytes);
                for (said, (kind, code, word)) in OF_REQUESTS {
                    for router in [ROUTER_V6.to_owned(), member().to_string()] {
                        let message = error(&router, said.0, said.1, said.2, &shown);
                        let vip = vip4().to_string();
                        let mut expected = error(&vip, kind, code, word, &sent);
                        expected.ttl = message.ttl - 1;
                        expected.id = 0;
                        scene.returns_as(&message, &expected);
                    }
                }
            }
        }
    });
}

#[test]
fn tagged_errors_keep_their_tags() {
    each(|mut scene| {
        let answer = scene.answers(ACK, b"data");
        let shown = quote(&whole(hops(scene.in_v4(&answer))), 24);
        let message = error(ROUTER, 3, 4, 1400, &shown);
        let (_, bytes) = scene.run(&message.tagged(&[100, 200]));
        assert_eq!(
            bytes[12..22],
            message.tagged(&[100, 200])[12..20][..8]
                .to_vec()
                .into_iter()
                .chain([0x86, 0xdd])
                .collect::<Vec<u8>>()[..]
        );
        let request = asks(ACK, b"data");
        let shown = quote(&hops(scene.in_v6(&request)), 24);
        let message = error(ROUTER_V6, 1, 4, 0, &shown);
        let (outcome, bytes) = scene.run(&tagged_from_member(&message, &[100]));
        assert_eq!(outcome, Outcome::Redirect(OTHER));
        assert_eq!(bytes[12..18], [0x81, 0, 0, 100, 8, 0]);
    });
}

/// What the other version has no word for, or what cannot be told from the quote.
#[test]
fn what_says_nothing_in_the_other_version_is_left_alone() {
    each(|mut scene| {
        let answer = scene.answers(ACK, &[9; 64]);
        let shown = quote(&whole(hops(scene.in_v4(&answer))), 24);
        for (kind, code) in [(3, 14), (3, 16), (12, 0)] {
            let message = error(ROUTER, kind, code, 0, &shown);
            scene.is_refused(&message.frame(), Reason::OtherProtocol);
        }
        let request = asks(ACK, &[9; 64]);
        let shown = quote(&hops(scene.in_v6(&request)), 24);
        for (kind, code) in [(1, 5), (1, 7), (4, 0), (4, 2)] {
            let message = error(ROUTER_V6, kind, code, 0, &shown);
            scene.is_refused(&from_member(&message), Reason::OtherProtocol);
        }
        // Extension headers and options of what is quoted would have to end there, too.
        let fragment = scene.in_v6(&asks_udp(&[3; 2000]).fragments(1400, 7)[0]);
        let message = error(ROUTER_V6, 1, 4, 0, &quote(&fragment, 24));
        let (outcome, _) = scene.run(&from_member(&message));
        assert!(matches!(outcome, Outcome::Pass(_) | Outcome::Drop(_)), "{outcome:?}");
        let answer = whole(scene.in_v4(&scene.answers(ACK, b"data"))).options(&[1; 8]);
        let message = error(ROUTER, 3, 3, 0, &answer.ip());
        scene.is_refused(&message.frame(), Reason::OtherProtocol);
        // Larger than any error of IPv6 may be.
        let large = whole(scene.in_v4(&scene.answers(ACK, &[9; 1300])));
        let message = error(ROUTER, 3, 3, 0, &large.ip());
        scene.is_refused(&message.frame(), Reason::TooBig);
    });
}

/// An error about what goes to a member that nothing of the kind was sent to.
#[test]
fn an_error_about_no_packet_of_ours_is_left_alone() {
    each(|mut scene| {
        let request = scene.in_v6(&asks(ACK, b"data"));
        let IpAddr::V6(source) = request.source else { unreachable!("it is IPv6") };
        let mut other = source.octets();
        other[0] ^= 0x10;
        let forged = Packet { source: other.into(), ..request.clone() };
        let message = error(ROUTER_V6, 1, 4, 0, &forged.ip());
        let (outcome, bytes) = scene.run(&from_member(&message));
        assert_eq!((outcome, &bytes[12..14]), (Outcome::Redirect(OTHER), &[0x86, 0xdd][..]));
        let mut forged = request;
        forged.payload[2..4].copy_from_slice(&9u16.to_be_bytes());
        let message = error(ROUTER_V6, 1, 4, 0, &forged.ip());
        scene.is_refused(&from_member(&message), Reason::NotVip);
    });
}
