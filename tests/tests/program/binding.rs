//! Flows whose members see source addresses of ours: each has a binding, by which its packets go both ways.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use elb_common::addr::{Be16, Be128};
use elb_common::backend::mode;
use elb_common::binding::{Binding, Bucket, CLOSED_LIFETIME, Course, Owner, TIME_WAIT, UNANSWERED};
use elb_common::listener::{ListenerEndpoint, ListenerKeyV4, listener_flags, vip_flags};
use elb_common::names;
use elb_common::path::{Frame, Memory, Outcome, process};
use elb_common::reason::Reason;
use elb_common::reply::reply_flags;
use elb_common::snat::{CHOICES, Snat, WAYS};

use crate::frame::*;
use crate::kernel::{Kernel, PROGRAMS, now};
use crate::world::translation::{ROUTER_MAC, client};
use crate::world::*;

const MEMBER: &str = "10.0.0.25";
const CLIENT: &str = client::FAR[0];
const CLIENT_PORT: u16 = 40_000;
/// Ethernet address of the member.
const MEMBER_MAC: [u8; 6] = [2, 0, 0, 1, 0, id::NAT as u8];
const SNAT: Snat = Snat {
    network: elb_common::addr::Be32::from_raw(u32::from_ne_bytes([10, 0, 0, 208])),
    addresses: 4,
    secret: 0x0123_4567_89ab_cdef,
};

/// The world in the kernel and on the host.
struct Scene {
    kernel: Kernel,
    memory: Memory,
}

/// Runs a test with each program that forwards.
fn with_each(test: impl Fn(Scene)) {
    for program in PROGRAMS {
        test(Scene::new(program));
    }
}

/// A source address and port of ours.
type Source = (Ipv4Addr, u16);

impl Scene {
    fn new(program: &'static str) -> Self {
        let mut memory = world(now()).memory();
        bind(&mut memory);
        Self { kernel: Kernel::with(program, &memory), memory }
    }

    /// Both must agree on every byte.
    #[track_caller]
    fn run(&mut self, frame: &[u8]) -> (Outcome, Vec<u8>) {
        self.memory.now = now();
        let ran = self.kernel.run(frame);
        let mut buffer = [0u16; 2048];
        let mut host = Frame::new(&mut buffer, frame, INGRESS).expect("a small frame");
        let outcome = process(&mut host, &self.memory);
        assert_eq!(host.bytes(), ran.bytes, "{outcome:?}");
        (outcome, ran.bytes)
    }

    /// A client's packet is forwarded: where its member sees it come from. Every byte is as if it had been sent so.
    #[track_caller]
    fn forwards(&mut self, packet: &Packet) -> Source {
        let (outcome, bytes) = self.run(&packet.frame());
        assert_eq!(outcome, Outcome::Transmit);
        let source = source_of(&bytes);
        assert!(SNAT.holds(bytemuck::cast(source.0.octets())) && source.1 >= 1024, "{source:?}");
        let expected = rewritten(packet, (source.0, source.1), (member(), port::MEMBER));
        assert_eq!(bytes, framed(&expected, MEMBER_MAC, OUR_MAC));
        source
    }

    /// A member's packet is forwarded to the client.
    #[track_caller]
    fn returns(&mut self, packet: &Packet) {
        let (outcome, bytes) = self.run(&from_member(packet));
        assert_eq!(outcome, Outcome::Redirect(OTHER));
        let IpAddr::V4(vip) = vip4() else { unreachable!() };
        let to = (CLIENT.parse().unwrap(), CLIENT_PORT);
        let expected = rewritten(packet, (vip, port::NAT), to);
        assert_eq!(bytes, framed(&expected, ROUTER_MAC, OUR_MAC));
    }

    #[track_caller]
    fn is_refused(&mut self, frame: &[u8], reason: Reason) {
        let (outcome, _) = self.run(frame);
        let expected = match reason.fate() {
            elb_common::reason::Fate::Dropped => Outcome::Drop(reason),
            elb_common::reason::Fate::Answered => Outcome::Answer(reason),
            elb_common::reason::Fate::Passed => Outcome::Pass(reason),
        };
        assert_eq!(outcome, expected);
    }

    fn number(source: Source) -> u32 {
        SNAT.number(bytemuck::cast(source.0.octets()), Be16::new(source.1))
    }

    /// The binding of a port; kernel and host have the same, but for the second.
    #[track_caller]
    fn binding(&self, number: u32) -> Binding {
        let bucket: Bucket = self.kernel.element(names::BINDINGS_V4, number / WAYS);
        let kernel = bucket[(number % WAYS) as usize];
        let host = self.memory.written.borrow().bindings.get(&number).copied().unwrap_or_default();
        let known = |one: Binding| {
            let Binding { owner, course } = one;
            (owner, course.backend(), course.lifetime(), course.stage())
        };
        assert_eq!(known(kernel), known(host));
        kernel
    }

    fn set(&mut self, number: u32, binding: Binding) {
        let mut bucket: Bucket = self.kernel.element(names::BINDINGS_V4, number / WAYS);
        bucket[(number % WAYS) as usize] = binding;
        self.kernel.set(names::BINDINGS_V4, number / WAYS, bucket);
        self.memory.written.borrow_mut().bindings.insert(number, binding);
    }

    /// The flow was last seen so many seconds ago.
    fn ages(&mut self, source: Source, seconds: u32) {
        let number = Self::number(source);
        let Binding { owner, course } = self.binding(number);
        let Course(word) = course;
        let seen = u64::from(now().wrapping_sub(seconds) & 0xff_ffff);
        let course = Course(word & 0xff_ffff_ffff | seen << 40);
        self.set(number, Binding { owner, course });
    }
}

/// Makes the listener's pool one of source addresses.
fn bind(memory: &mut Memory) {
    memory.snat = Some(SNAT);
    let IpAddr::V4(vip) = vip4() else { unreachable!() };
    for protocol in [TCP, UDP] {
        let vip = bytemuck::cast(vip.octets());
        let key = ListenerKeyV4::new(vip, Be16::new(port::NAT), protocol);
        let listener = memory.listeners_v4.get_mut(&key).expect("a listener of the world");
        listener.flags |= listener_flags::BINDS;
        let vip = Be128::from_raw([vip.raw(), 0, 0, 0]);
        let endpoint = ListenerEndpoint { vip, port: Be16::new(port::NAT), reserved: 0 };
        memory.endpoints.insert(listener.id, endpoint);
    }
    memory.backends.get_mut(&id::NAT).expect("a backend of the world").mode = mode::FULLNAT;
    for address in 208..212u8 {
        let address = bytemuck::cast([10u8, 0, 0, address]);
        let flags = vip_flags::SOURCE | vip_flags::ECHO | vip_flags::ANNOUNCE;
        memory.vips_v4.insert(address, elb_common::listener::Vip { flags, number: 0 });
    }
    memory.replies_v4.values_mut().for_each(|reply| reply.flags |= reply_flags::PROBES);
}

fn member() -> Ipv4Addr {
    MEMBER.parse().unwrap()
}

/// Sender and its port of the packet in an untagged frame.
fn source_of(frame: &[u8]) -> Source {
    let payload = 14 + usize::from(frame[14] & 15) * 4;
    let address: [u8; 4] = frame[26..30].try_into().unwrap();
    (address.into(), u16::from_be_bytes([frame[payload], frame[payload + 1]]))
}

/// The packet as if it had been sent between other ends, a hop ago. A checksum that there is not stays none.
fn rewritten(packet: &Packet, from: (Ipv4Addr, u16), to: (Ipv4Addr, u16)) -> Packet {
    let mut packet = Packet { ttl: packet.ttl - 1, ..packet.clone() };
    (packet.source, packet.destination) = (from.0.into(), to.0.into());
    packet.payload[..2].copy_from_slice(&from.1.to_be_bytes());
    packet.payload[2..4].copy_from_slice(&to.1.to_be_bytes());
    if packet.protocol == TCP {
        seal(&mut packet, 16);
    } else if packet.payload[6..8] != [0, 0] {
        seal(&mut packet, 6);
        if packet.payload[6..8] == [0, 0] {
            packet.payload[6..8].fill(0xff);
        }
    }
    packet
}

fn framed(packet: &Packet, to: [u8; 6], from: [u8; 6]) -> Vec<u8> {
    ethernet(to, from, &[], 0x0800, &packet.ip())
}

fn asks(flags: u8, data: &[u8]) -> Packet {
    tcp(CLIENT, CLIENT_PORT, vip4(), port::NAT, flags, data)
}

fn asks_udp(data: &[u8]) -> Packet {
    udp(CLIENT, CLIENT_PORT, vip4(), port::NAT, data)
}

fn answers((address, to): Source, flags: u8, data: &[u8]) -> Packet {
    tcp(MEMBER, port::MEMBER, address.into(), to, flags, data)
}

fn answers_udp((address, to): Source, data: &[u8]) -> Packet {
    udp(MEMBER, port::MEMBER, address.into(), to, data)
}

fn from_member(packet: &Packet) -> Vec<u8> {
    framed(packet, OUR_MAC, MEMBER_MAC)
}

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
            let mut scene = Scene::new(program);
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
            let mut scene = Scene::new(program);
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
        let open =
            |age| Course::opening(id::NAT, 0, IDLE, now() - age).after_client(0, IDLE, now() - age);
        for number in &all {
            scene.set(*number, Binding { owner: other(*number), course: open(0) });
        }
        scene.is_refused(&asks(SYN, b"").frame(), Reason::NoSourcePort);
        // One that did not open, one that counts no more: the latter is taken.
        let [opening, over, ..] = all.iter().copied().collect::<Vec<_>>()[..] else {
            unreachable!()
        };
        let unanswered = Course::opening(id::NAT, 1, IDLE, now() - UNANSWERED - 2);
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
                let expected = error(router, 3, 4, 1400, sent).ttl(60);
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
