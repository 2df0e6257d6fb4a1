//! Flows whose members see source addresses of ours: each has a binding, by which its packets go both ways.

mod hostile;
mod random;
mod scene;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use elb_common::addr::Be16;
use elb_common::backend::mode;
use elb_common::binding::{Binding, CLOSED_LIFETIME, Course, Owner, TIME_WAIT, UNANSWERED};
use elb_common::listener::listener_flags;
use elb_common::path::Outcome;
use elb_common::reason::Reason;
use elb_common::snat::{CHOICES, WAYS};

use crate::frame::*;
use crate::kernel::{PROGRAMS, now};
use crate::world::translation::{ROUTER_MAC, client};
use crate::world::*;

use scene::*;

#[test]
fn a_connection_goes_both_ways_by_one_port() {
    with_each(|mut scene| {
        let source = scene.forwards(&asks(SYN, b""));
        scene.returns(&answers(source, SYN | ACK, b""));
        for (flags, data) in [(ACK, &b""[..]), (ACK, b"GET /"), (ACK, b"odd"), (FIN | ACK, b"")] {
            assert_eq!(scene.forwards(&asks(flags, data)), source);
            scene.returns(&answers(source, flags, data));
        }
        assert_eq!(scene.forwards(&asks(ACK, b"").tos(0xbb).options(&[1; 40])), source);
        scene.returns(&answers(source, ACK, b"x").tos(0x03).options(&[1; 8]));
        assert_eq!(scene.forwards(&asks(RST, b"")), source);
    });
}

#[test]
fn datagrams_go_both_ways() {
    with_each(|mut scene| {
        let source = scene.forwards(&asks_udp(b"q"));
        let without_checksum = |mut packet: Packet| {
            packet.payload[6..8].fill(0);
            packet
        };
        assert_eq!(scene.forwards(&without_checksum(asks_udp(b""))), source);
        scene.returns(&answers_udp(source, b"a"));
        scene.returns(&without_checksum(answers_udp(source, b"a")));
        // TCP of the same client is another flow.
        let segments = scene.forwards(&asks(SYN, b""));
        assert_ne!(segments, source);
        // Sums that come out as 0.
        for n in 0..=u16::MAX {
            let packet = asks_udp(&n.to_be_bytes());
            let to = rewritten(&packet, source, (member(), port::MEMBER));
            if to.payload[6..8] == [0xff, 0xff] {
                assert_eq!(scene.forwards(&packet), source);
                return;
            }
        }
        panic!("no datagram sums to 0");
    });
}

#[test]
fn flows_have_ports_of_their_own() {
    with_each(|mut scene| {
        let mut seen = BTreeSet::new();
        for client in 0..64u16 {
            for port in 0..64u16 {
                let client = format!("198.51.100.{}", client + 1);
                let packet = tcp(&client, 20_000 + port, vip4(), port::NAT, SYN, b"");
                assert!(seen.insert(scene.forwards(&packet)));
            }
        }
        let addresses: BTreeSet<_> = seen.iter().map(|(address, _)| address).collect();
        assert_eq!(addresses.len(), 4);
    });
}

/// A listener that moves between pools has flows of both kinds: each goes by the mode of its member.
#[test]
fn a_member_that_sees_its_clients_goes_on_to_do_so() {
    with_each(|mut scene| {
        scene.change(|memory| {
            memory.backends.get_mut(&id::NAT).expect("a backend of the world").mode = mode::NAT;
        });
        let client = (CLIENT.parse().unwrap(), CLIENT_PORT);
        for packet in [asks(ACK, b"old"), asks(SYN, b""), asks_udp(b"q")] {
            let (outcome, bytes) = scene.run(&packet.frame());
            let expected = rewritten(&packet, client, (member(), port::MEMBER));
            assert_eq!(
                (outcome, bytes),
                (Outcome::Transmit, framed(&expected, MEMBER_MAC, OUR_MAC))
            );
        }
    });
}

/// Records are replaced one after the other: for a moment a listener's may be older than its member's.
#[test]
fn no_packet_is_sent_from_an_address_that_is_not_ours() {
    with_each(|mut scene| {
        scene.change(|memory| {
            let listeners = memory.listeners_v4.values_mut();
            listeners.for_each(|listener| listener.flags &= !listener_flags::BINDS);
        });
        for port in 0..64u16 {
            let packet = tcp(CLIENT, 20_000 + port, vip4(), port::NAT, SYN, b"");
            scene.is_refused(&packet.frame(), Reason::NoSourcePort);
        }
    });
}

#[test]
fn what_is_of_no_open_connection_is_reset() {
    with_each(|mut scene| {
        scene.is_refused(&asks(ACK, b"data").frame(), Reason::ResetTold);
        scene.is_refused(&asks(FIN | ACK, b"").frame(), Reason::ResetTold);
        scene.is_refused(&asks(RST, b"").frame(), Reason::NotOpen);
        let nobody = (Ipv4Addr::new(10, 0, 0, 209), 5000);
        scene.is_refused(&from_member(&answers(nobody, ACK, b"")), Reason::ResetTold);
        scene.is_refused(&from_member(&answers(nobody, RST, b"")), Reason::NotOpen);
        scene.is_refused(&from_member(&answers_udp(nobody, b"")), Reason::ResetTold);
        // Other hosts, and other ports of the member, do not answer for it.
        let source = scene.forwards(&asks(SYN, b""));
        let (address, to) = (source.0.into(), source.1);
        let other_host = tcp("10.0.0.24", port::MEMBER, address, to, ACK, b"");
        scene.is_refused(&from_member(&other_host), Reason::ResetTold);
        let other_port = tcp(MEMBER, port::MEMBER + 1, address, to, ACK, b"");
        scene.is_refused(&from_member(&other_port), Reason::ResetTold);
        scene.returns(&answers(source, SYN | ACK, b""));
    });
}

#[test]
fn a_reset_has_the_numbers_of_the_segment_that_it_answers() {
    with_each(|mut scene| {
        let (_, bytes) = scene.run(&asks(ACK, b"data").frame());
        // Sequence number, acknowledgement, and that the segment acknowledged 2.
        assert_eq!(bytes[38..46], [0, 0, 0, 2, 0, 0, 0, 0]);
        assert_eq!(source_of(&bytes), ("192.0.2.10".parse().unwrap(), port::NAT));
        let nobody = (Ipv4Addr::new(10, 0, 0, 209), 5000);
        let (_, bytes) = scene.run(&from_member(&answers(nobody, ACK, b"data")));
        assert_eq!(bytes[38..46], [0, 0, 0, 2, 0, 0, 0, 0]);
        assert_eq!(source_of(&bytes), nobody);
    });
}

#[test]
fn who_was_silent_for_too_long_is_reset_on_either_side() {
    for from_client in [true, false] {
        for program in PROGRAMS {
            let mut scene = Scene::new(program, bind);
            let source = scene.forwards(&asks(SYN, b""));
            scene.returns(&answers(source, SYN | ACK, b""));
            scene.forwards(&asks(ACK, b""));
            scene.ages(source, IDLE - 2);
            let packet = || {
                if from_client {
                    asks(ACK, b"x").frame()
                } else {
                    from_member(&answers(source, ACK, b"x"))
                }
            };
            assert!(matches!(scene.run(&packet()).0, Outcome::Transmit | Outcome::Redirect(_)));
            // Which made it live on.
            assert!(scene.binding(Scene::number(source)).course.age(now()) < 2);
            scene.ages(source, IDLE + 2);
            scene.is_refused(&packet(), Reason::ResetTold);
            assert_eq!(scene.forwards(&asks(SYN, b"")), source);
        }
    }
}

#[test]
fn a_port_rests_after_its_connection() {
    for (client_first, lifetime) in [(true, CLOSED_LIFETIME), (false, TIME_WAIT)] {
        for program in PROGRAMS {
            let mut scene = Scene::new(program, bind);
            let source = scene.forwards(&asks(SYN, b""));
            scene.forwards(&asks(ACK, b""));
            if client_first {
                scene.forwards(&asks(FIN | ACK, b""));
                scene.returns(&answers(source, FIN | ACK, b""));
            } else {
                scene.returns(&answers(source, FIN | ACK, b""));
                scene.forwards(&asks(FIN | ACK, b""));
            }
            scene.forwards(&asks(ACK, b""));
            scene.returns(&answers(source, ACK, b""));
            assert_eq!(scene.binding(Scene::number(source)).course.lifetime(), lifetime);
            // The client may use its port again at once.
            assert_eq!(scene.forwards(&asks(SYN, b"")), source);
            scene.returns(&answers(source, SYN | ACK, b""));
        }
    }
}

#[test]
fn no_flow_that_counts_is_pushed_out() {
    with_each(|mut scene| {
        let listener = scene.forwards(&asks(SYN, b""));
        let owner = scene.binding(Scene::number(listener)).owner;
        let all: BTreeSet<u32> = (0..CHOICES)
            .map(|choice| SNAT.bucket(SNAT.hash(owner.0), choice))
            .flat_map(|bucket| (0..WAYS).map(move |way| bucket * WAYS + way))
            .collect();
        let other = |n: u32| Owner::new(bytemuck::cast([203u8, 0, 113, 5]), Be16::new(n as u16), 3);
        // The host may have started less than that ago.
        let open = |age: u32| {
            let seen = now().wrapping_sub(age);
            Course::opening(id::NAT, 0, IDLE, seen).after_client(0, IDLE, seen)
        };
        for number in &all {
            scene.set(*number, Binding { owner: other(*number), course: open(0) });
        }
        scene.is_refused(&asks(SYN, b"").frame(), Reason::NoSourcePort);
        // One that did not open, one that counts no more: the latter is taken.
        let [opening, over, ..] = all.iter().copied().collect::<Vec<_>>()[..] else {
            unreachable!()
        };
        let unanswered = Course::opening(id::NAT, 1, IDLE, now().wrapping_sub(UNANSWERED + 2));
        scene.set(opening, Binding { owner: other(opening), course: unanswered });
        scene.set(over, Binding { owner: other(over), course: open(IDLE + 5) });
        assert_eq!(Scene::number(scene.forwards(&asks(SYN, b""))), over);
        let again = tcp(CLIENT, CLIENT_PORT, vip4(), port::NAT, ACK, b"");
        assert_eq!(Scene::number(scene.forwards(&again)), over);
        // Only then the one that did not open.
        scene.set(over, Binding { owner: other(over), course: open(0) });
        assert_eq!(Scene::number(scene.forwards(&asks(SYN, b""))), opening);
        let kept = all.iter().filter(|number| **number != opening);
        assert!(kept.clone().all(|number| scene.binding(*number).owner == other(*number)));
        assert_eq!(kept.count(), all.len() - 1);
    });
}

#[test]
fn a_flow_whose_member_is_another_by_now_ends() {
    with_each(|mut scene| {
        let source = scene.forwards(&asks(SYN, b""));
        let number = Scene::number(source);
        let Binding { owner, .. } = scene.binding(number);
        let elsewhere = Course::opening(id::L2, 0, IDLE, now()).after_client(0, IDLE, now());
        scene.set(number, Binding { owner, course: elsewhere });
        scene.is_refused(&asks(ACK, b"x").frame(), Reason::ResetTold);
        scene.is_refused(&from_member(&answers(source, ACK, b"x")), Reason::ResetTold);
        // The client may open another one, from the same port.
        assert_eq!(scene.forwards(&asks(SYN, b"")), source);
        scene.returns(&answers(source, SYN | ACK, b""));
        // A member that is drained to the end is answered in our place.
        let backend = scene.memory.backends.get_mut(&id::NAT).unwrap();
        backend.flags &= !elb_common::backend::backend_flags::ESTABLISHED;
        scene.kernel.fill(&scene.memory);
        scene.is_refused(&from_member(&answers(source, ACK, b"x")), Reason::ResetTold);
    });
}

#[test]
fn errors_reach_who_sent_the_packet() {
    with_each(|mut scene| {
        let source = scene.forwards(&asks(SYN, b""));
        let IpAddr::V4(vip) = vip4() else { unreachable!() };
        let (ask, answer) = (asks(ACK, b"question"), answers(source, ACK, b"an answer"));
        let client_ends = (CLIENT.parse().unwrap(), CLIENT_PORT);
        for router in ["192.0.2.254", CLIENT] {
            // About an answer, as its client got it.
            let got = rewritten(&answer, (vip, port::NAT), client_ends);
            for quoted in [got.ip(), got.ip()[..28].to_vec()] {
                let (outcome, bytes) = scene.run(&error(router, 3, 4, 1400, &quoted).frame());
                assert_eq!(outcome, Outcome::Transmit);
                let sent =
                    Packet { ttl: got.ttl, ..rewritten(&got, (member(), port::MEMBER), source) };
                let sent = &sent.ip()[..quoted.len()];
                // From either, the member gets it from the address that it knows.
                let expected = error(&source.0.to_string(), 3, 4, 1400, sent).ttl(60);
                assert_eq!(bytes, framed(&expected, MEMBER_MAC, OUR_MAC), "{router}");
            }
        }
        for router in ["10.0.0.254", MEMBER] {
            // About a question, as its member got it.
            let got = rewritten(&ask, source, (member(), port::MEMBER));
            for quoted in [got.ip(), got.ip()[..28].to_vec()] {
                let (outcome, bytes) = scene.run(&from_member(&error(router, 3, 4, 1400, &quoted)));
                assert_eq!(outcome, Outcome::Redirect(OTHER));
                let sent =
                    Packet { ttl: got.ttl, ..rewritten(&got, client_ends, (vip, port::NAT)) };
                let sent = &sent.ip()[..quoted.len()];
                let from = if router == MEMBER { vip.to_string() } else { router.to_owned() };
                let expected = error(&from, 3, 4, 1400, sent).ttl(60);
                assert_eq!(bytes, framed(&expected, ROUTER_MAC, OUR_MAC), "{router}");
            }
        }
        // About nothing that is known.
        let got = rewritten(&ask, (source.0, source.1 ^ 1), (member(), port::MEMBER));
        scene.is_refused(&from_member(&error("10.0.0.254", 3, 4, 0, &got.ip())), Reason::NotOpen);
    });
}

#[test]
fn fragments_go_where_the_first_goes() {
    with_each(|mut scene| {
        let data: Vec<u8> = (0..100u8).collect();
        let question = asks_udp(&data);
        let mut source = None;
        for (index, part) in question.fragments(40, 77).iter().enumerate() {
            let (outcome, bytes) = scene.run(&part.frame());
            assert_eq!(outcome, Outcome::Transmit);
            let source = *source.get_or_insert_with(|| source_of(&bytes));
            let whole = rewritten(&question, source, (member(), port::MEMBER));
            let expected = whole.fragments(40, 77).swap_remove(index);
            assert_eq!(bytes, framed(&expected, MEMBER_MAC, OUR_MAC), "part {index}");
        }
        let source = source.unwrap();
        let IpAddr::V4(vip) = vip4() else { unreachable!() };
        let answer = answers_udp(source, &data);
        for (index, part) in answer.fragments(40, 78).iter().enumerate() {
            let (outcome, bytes) = scene.run(&from_member(part));
            assert_eq!(outcome, Outcome::Redirect(OTHER));
            let whole =
                rewritten(&answer, (vip, port::NAT), (CLIENT.parse().unwrap(), CLIENT_PORT));
            let expected = whole.fragments(40, 78).swap_remove(index);
            assert_eq!(bytes, framed(&expected, ROUTER_MAC, OUR_MAC), "part {index}");
        }
    });
}

#[test]
fn hosts_of_the_member_s_segment_are_served() {
    with_each(|mut scene| {
        for client in ["10.0.0.77", MEMBER] {
            let packet = tcp(client, 9, vip4(), port::NAT, SYN, b"");
            let source = scene.forwards(&packet);
            let (outcome, _) = scene.run(&from_member(&answers(source, SYN | ACK, b"")));
            assert_eq!(outcome, Outcome::Redirect(OTHER));
        }
    });
}

#[test]
fn limits_of_the_way_are_those_of_other_modes() {
    with_each(|mut scene| {
        scene.is_refused(&asks(SYN, b"").ttl(1).frame(), Reason::TtlExpired);
        let source = scene.forwards(&asks(SYN, b""));
        scene.is_refused(&from_member(&answers(source, ACK, b"").ttl(1)), Reason::TtlExpired);
        scene.is_refused(&asks(SYN, b"").frame_to(FOREIGN_MAC), Reason::ForeignMac);
        let too_big = asks(ACK, &[0; 1461]);
        scene.is_refused(&too_big.frame(), Reason::TooBigAnswered);
        let lost = tcp(client::LOST[0], 9, vip4(), port::NAT, SYN, b"");
        let source = scene.forwards(&lost);
        scene.is_refused(&from_member(&answers(source, SYN | ACK, b"")), Reason::NoRoute);
    });
}

#[test]
fn source_addresses_answer_echo_requests_and_arp() {
    with_each(|mut scene| {
        let address = Ipv4Addr::new(10, 0, 0, 209);
        let ping = echo(MEMBER, address.into(), b"ping");
        scene.is_refused(&from_member(&ping), Reason::EchoAnswered);
        let who = arp(1, MEMBER_MAC, member(), address);
        scene.is_refused(&who, Reason::ArpAnswered);
    });
}

/// What the member sends to others than source addresses is its own: clients that reach it by this host, and its
/// connections.
#[test]
fn what_the_member_says_to_others_is_left_alone() {
    with_each(|mut scene| {
        let own = tcp(MEMBER, port::MEMBER, CLIENT.parse().unwrap(), CLIENT_PORT, ACK, b"x");
        scene.is_refused(&from_member(&own), Reason::NotVip);
        let opens = tcp(MEMBER, port::MEMBER, CLIENT.parse().unwrap(), CLIENT_PORT, SYN, b"");
        scene.is_refused(&from_member(&opens), Reason::NotVip);
    });
}
