//! A virtual IPv4 address whose member has IPv6: packets become IPv6, answers IPv4.

mod errors;
mod scene;

use std::net::IpAddr;

use elb_common::backend::backend_flags;
use elb_common::path::Outcome;
use elb_common::reason::Reason;
use elb_common::reply::reply_flags;

use crate::frame::*;
use crate::world::translation::client;
use crate::world::*;

use scene::*;

fn without_checksum(mut datagram: Packet) -> Packet {
    datagram.payload[6..8].fill(0);
    datagram
}

#[test]
fn a_connection_goes_both_ways() {
    each(|mut scene| {
        scene.forwards(&asks(SYN, b""));
        scene.returns(&scene.answers(SYN | ACK, b""));
        for (flags, data) in [(ACK, &b""[..]), (ACK, b"GET /"), (ACK, b"odd"), (FIN | ACK, b"")] {
            scene.forwards(&asks(flags, data));
            scene.returns(&scene.answers(flags, data));
        }
        scene.forwards(&asks(ACK, b"").tos(0xbb).options(&[1; 40]));
        scene.forwards(&asks(ACK, &[7; 1440]));
        scene.returns(&scene.answers(ACK, &[7; 1440]).tos(0x03));
        scene.forwards(&asks(RST, b"").ttl(2));
        scene.returns(&scene.answers(RST, b"").ttl(2));
    });
}

/// Whatever the ends are, each packet goes to where its connection is: nothing is recorded of it.
#[test]
fn an_answer_goes_to_whose_packet_it_answers() {
    each(|mut scene| {
        for (client, port) in [("198.51.100.1", 1), ("203.0.113.200", 65_535), ("1.2.3.4", 80)] {
            scene.forwards(&tcp(client, port, vip4(), port::NAT, SYN, b""));
            let to = scene.known(client, TCP).into();
            let member = member().to_string();
            scene.returns(&tcp(&member, port::MEMBER, to, port, SYN | ACK, b""));
        }
        let written = scene.memory.written.borrow();
        assert!(written.flows_v4.live.is_empty() && written.flows_v4.openings.is_empty());
        assert!(written.exceptions_v6.is_empty() && written.bindings.is_empty());
    });
}

#[test]
fn datagrams_go_both_ways_and_have_checksums() {
    each(|mut scene| {
        for length in [0, 1, 2, 3, 4, 5, 55, 56, 57, 63, 64, 65, 119, 120, 1400, 1452] {
            let data: Vec<u8> = (0..length).map(|n| (n * 7 + 1) as u8).collect();
            scene.forwards(&asks_udp(&data));
            scene.returns(&scene.answers_udp(&data));
            scene.forwards_as(&without_checksum(asks_udp(&data)), &scene.in_v6(&asks_udp(&data)));
        }
        // Sums that come out as 0.
        let zero = (0..=u16::MAX).map(|n| asks_udp(&n.to_be_bytes())).find(|packet| {
            let to = scene.in_v6(packet);
            to.payload[6..8] == [0xff, 0xff]
        });
        scene.forwards(&zero.expect("one datagram sums to 0"));
    });
}

/// Nothing says what the rest of it adds to a checksum.
#[test]
fn a_fragment_without_a_checksum_is_refused() {
    each(|mut scene| {
        let datagram = without_checksum(asks_udp(&[1; 2000]));
        let fragments = datagram.fragments(1400, 7);
        scene.is_refused(&fragments[0].frame(), Reason::UdpChecksum);
        let mut lying = without_checksum(asks_udp(b"data"));
        for length in [7u16, 13] {
            lying.payload[4..6].copy_from_slice(&length.to_be_bytes());
            let (outcome, _) = scene.run(&lying.frame());
            let reasons = [Reason::UdpChecksum, Reason::BadHeader, Reason::Truncated];
            assert!(outcome.reason().is_some_and(|reason| reasons.contains(&reason)));
        }
    });
}

#[test]
fn fragments_stay_fragments() {
    each(|mut scene| {
        for packet in [asks_udp(&[3; 3000]), asks(ACK, &[4; 3001])] {
            for fragment in packet.fragments(1400, 77) {
                scene.forwards(&fragment);
            }
        }
        for packet in [scene.answers_udp(&[3; 3000]), scene.answers(ACK, &[4; 3001])] {
            for fragment in packet.fragments(1400, 0x9_8765) {
                scene.returns(&fragment);
            }
        }
    });
}

#[test]
fn tags_are_kept() {
    each(|mut scene| {
        for vlans in [&[100][..], &[100, 200]] {
            let packet = asks(ACK, b"data");
            let wanted = to_member(&scene.in_v6(&packet), vlans);
            scene.becomes(&packet.tagged(vlans), Outcome::Transmit, &wanted);
            let answer = scene.answers(ACK, b"data");
            let wanted = to_client(&scene.in_v4(&answer), vlans);
            let frame = tagged_from_member(&answer, vlans);
            scene.becomes(&frame, Outcome::Redirect(OTHER), &wanted);
        }
    });
}

#[test]
fn extension_headers_end_here() {
    each(|mut scene| {
        let plain = scene.answers(ACK, b"x");
        let wanted = scene.in_v4(&plain);
        for (first, bytes) in
            [(60, vec![6, 0, 1, 4, 0, 0, 0, 0]), (0, [vec![6, 1, 1, 12], vec![0; 12]].concat())]
        {
            scene.returns_as(&plain.clone().extensions(first, &bytes), &wanted);
        }
        // In front of a fragment header they would have to be in each fragment, and go with none.
        let fragment = scene.answers_udp(&[3; 2000]).fragments(1400, 5).remove(0);
        let chain = [&[44, 0, 1, 4, 0, 0, 0, 0][..], &fragment.extensions].concat();
        let frame = from_member(&fragment.extensions(60, &chain));
        scene.is_refused(&frame, Reason::ExtensionHeaders);
    });
}

#[test]
fn what_does_not_fit_is_answered_with_the_size_that_does() {
    each(|mut scene| {
        let mtu = |frame: &[u8], at| u16::from_be_bytes([frame[at], frame[at + 1]]);
        // 20 bytes are added.
        let (outcome, bytes) = scene.run(&asks(ACK, &[7; 1441]).frame());
        assert_eq!(
            (outcome, mtu(&bytes, 14 + 26)),
            (Outcome::Answer(Reason::TooBigAnswered), 1480)
        );
        scene.forget_errors();
        // To a fragment, 28.
        for size in [1456, 1480] {
            let fragment = asks_udp(&[3; 3000]).fragments(size, 8).remove(0);
            let (outcome, bytes) = scene.run(&fragment.frame());
            let answered = Outcome::Answer(Reason::TooBigAnswered);
            assert_eq!((outcome, mtu(&bytes, 14 + 26)), (answered, 1472));
            scene.forget_errors();
        }
        let narrow = client::NARROW[0];
        let too_big = from_member(&scene.answers_to(narrow, ACK, &[1; 1361]));
        let (outcome, bytes) = scene.run(&too_big);
        assert_eq!(
            (outcome, mtu(&bytes, 14 + 46)),
            (Outcome::Answer(Reason::TooBigAnswered), 1420)
        );
        let fits = scene.answers_to(narrow, ACK, &[1; 1360]);
        let (outcome, _) = scene.run(&from_member(&fits));
        assert_eq!(outcome, Outcome::Transmit);
    });
}

#[test]
fn a_packet_without_hops_ends_here() {
    each(|mut scene| {
        scene.is_refused(&asks(ACK, b"").ttl(1).frame(), Reason::TtlExpired);
        let frame = from_member(&scene.answers(ACK, b"").ttl(1));
        scene.is_refused(&frame, Reason::TtlExpired);
    });
}

#[test]
fn answers_go_by_the_way_to_their_client() {
    each(|mut scene| {
        let near = scene.answers_to(client::NEAR[0], ACK, b"x");
        let (outcome, bytes) = scene.run(&from_member(&near));
        assert_eq!(outcome, Outcome::Transmit);
        assert_eq!(bytes[12..14], [8, 0]);
        // The kernel gets the packet as its client is to get it, and finds the way.
        let unresolved = scene.answers_to(client::UNRESOLVED[0], ACK, b"x");
        let frame = from_member(&unresolved);
        let expected = ethernet(OUR_MAC, MEMBER_MAC, &[], 0x0800, &scene.in_v4(&unresolved).ip());
        scene.becomes(&frame, Outcome::HandOver, &expected);
        let frame = from_member(&scene.answers_to(client::LOST[0], ACK, b"x"));
        scene.is_refused(&frame, Reason::NoRoute);
    });
}

/// This host's own connections to the virtual address are no clients', but its probes are answered.
#[test]
fn answers_to_this_host_are_those_to_its_probes() {
    each(|mut scene| {
        let here = client::HERE[0];
        let to = scene.known(here, TCP).into();
        let answer = |port| tcp(&member().to_string(), port::MEMBER, to, port, SYN | ACK, b"");
        let expected =
            ethernet(OUR_MAC, MEMBER_MAC, &[], 0x0800, &scene.in_v4(&answer(PROBE)).ip());
        scene.becomes(&from_member(&answer(PROBE)), Outcome::HandOver, &expected);
        scene.is_refused(&from_member(&answer(PROBE + 1)), Reason::NotVip);
    });
}

#[test]
fn what_is_no_answer_is_left_alone() {
    each(|mut scene| {
        let answer = scene.answers(ACK, b"x");
        let member = member().to_string();
        let IpAddr::V6(to) = answer.destination else { unreachable!("an answer is IPv6") };
        let mut other = to.octets();
        other[7] ^= 1;
        let mut unnumbered = to.octets();
        unnumbered[10..12].fill(0);
        let mut another_listener = to.octets();
        another_listener[10..12].copy_from_slice(&999u16.to_be_bytes());
        for address in [other, unnumbered, another_listener] {
            // With another prefix, or another listener, it answers a client with IPv6 of the same member.
            let packet = tcp(&member, port::MEMBER, address.into(), CLIENT_PORT, ACK, b"x");
            let (outcome, bytes) = scene.run(&from_member(&packet));
            assert_eq!((outcome, &bytes[12..14]), (Outcome::Redirect(OTHER), &[0x86, 0xdd][..]));
        }
        let opens = scene.answers(SYN, b"");
        scene.is_refused(&from_member(&opens), Reason::NotVip);
        let other_port = tcp(&member, 22, to.into(), CLIENT_PORT, ACK, b"");
        scene.is_refused(&from_member(&other_port), Reason::NotVip);
        // From another Ethernet address, and by another interface.
        scene.is_refused(&answer.frame(), Reason::ReplyUnknown);
        let elsewhere = tcp(&member, port::MEMBER_ELSEWHERE, to.into(), CLIENT_PORT, ACK, b"");
        scene.is_refused(&from_member(&elsewhere), Reason::ReplyUnknown);
        let mut foreign = from_member(&answer);
        foreign[..6].copy_from_slice(&FOREIGN_MAC);
        scene.is_refused(&foreign, Reason::ForeignMac);
    });
}

/// A member that only such listeners have answers no client with IPv6.
#[test]
fn what_such_a_member_sends_to_others_is_its_own() {
    each(|mut scene| {
        scene.change(|memory| {
            memory.replies_v6.values_mut().for_each(|reply| reply.flags |= reply_flags::PROBES);
        });
        scene.returns(&scene.answers(ACK, b"x"));
        let to = client::FAR[1].parse().unwrap();
        let packet = tcp(&member().to_string(), port::MEMBER, to, CLIENT_PORT, ACK, b"x");
        scene.is_refused(&from_member(&packet), Reason::NotVip);
    });
}

#[test]
fn members_whose_connections_are_over_are_reset() {
    each(|mut scene| {
        let to = scene.known(CLIENT, TCP).into();
        let member = member().to_string();
        let ended = |flags| tcp(&member, port::MEMBER_ENDED, to, CLIENT_PORT, flags, b"x");
        let (outcome, bytes) = scene.run(&from_member(&ended(ACK)));
        assert_eq!(outcome, Outcome::Answer(Reason::ResetTold));
        assert_eq!(bytes[12..14], [0x86, 0xdd]);
        assert_eq!(bytes[14 + 40 + 13] & RST, RST);
        scene.is_refused(&from_member(&ended(RST)), Reason::NotVip);
    });
}

/// While records are replaced, a listener's may be older than its member's.
#[test]
fn no_packet_leaves_from_an_address_that_is_not_ours() {
    each(|mut scene| {
        scene.change(|memory| {
            let protocols = [TCP, UDP].map(|protocol| listener(memory, protocol));
            for id in protocols {
                memory.endpoints.insert(id, Default::default());
            }
        });
        scene.is_refused(&asks(SYN, b"").frame(), Reason::UnknownBackend);
    });
}

#[test]
fn a_member_without_a_next_hop_gets_nothing() {
    each(|mut scene| {
        scene.change(|memory| {
            let backend = memory.backends.get_mut(&id::NAT).expect("a backend of the world");
            backend.flags &= !backend_flags::REACHABLE;
        });
        scene.is_refused(&asks(SYN, b"").frame(), Reason::NoNextHop);
    });
}
