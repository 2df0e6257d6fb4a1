//! Flows at a member's endpoint that are no answers to the listener that the endpoint stands for: of another listener
//! that shares it, of clients that reach the member itself, and of the member's own.

use std::net::IpAddr;

use elb_common::addr::Be16;
use elb_common::backend::translation_flags;
use elb_common::exception::{Exception, exception_flags};
use elb_common::flow::{FlowKeyV4, FlowKeyV6, Ports};
use elb_common::limits::HALF_OPEN_TIMEOUT as CLOSED_LIFETIME;
use elb_common::listener::{ListenerKeyV4, ListenerKeyV6};
use elb_common::names;
use elb_common::path::{Frame, Memory, Outcome, process};
use elb_common::reason::Reason;
use elb_common::reply::reply_flags;

use crate::frame::*;
use crate::kernel::{Kernel, now};
use crate::oracle::replies::member_of;
use crate::world::translation::client;
use crate::world::*;

/// A second listener that forwards to the endpoint.
const OTHER_PORT: u16 = 104;
const OTHER_LISTENER: u16 = 200;
const CLIENT_PORT: u16 = 40_000;

/// The world in the kernel and on the host.
struct Scene {
    kernel: Kernel,
    memory: Memory,
}

/// What became of a packet: the address and port that it came from when it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Left {
    /// As from this virtual address and port.
    As(IpAddr, u16),
    /// Unchanged, to the kernel.
    Alone,
    /// Its sender was reset.
    Reset,
    Dropped(Reason),
}

impl Scene {
    fn new(is_shared: bool) -> Self {
        let mut memory = world(now()).memory();
        if is_shared {
            share(&mut memory);
        }
        Self { kernel: Kernel::new(&memory), memory }
    }

    /// Both must agree on every byte.
    #[track_caller]
    fn run(&mut self, frame: &[u8]) -> Left {
        self.memory.now = now();
        let ran = self.kernel.run(frame);
        let mut buffer = [0u16; 2048];
        let mut host = Frame::new(&mut buffer, frame, INGRESS).expect("a small frame");
        let outcome = process(&mut host, &self.memory);
        assert_eq!(host.bytes(), ran.bytes, "{outcome:?}");
        match outcome {
            Outcome::Pass(_) => Left::Alone,
            Outcome::Drop(reason) => Left::Dropped(reason),
            Outcome::Transmit | Outcome::Redirect(_) | Outcome::HandOver => source(&ran.bytes),
            Outcome::Answer(Reason::ResetTold) => Left::Reset,
            Outcome::Answer(reason) => panic!("{reason:?}"),
        }
    }

    /// What is noted in the kernel, and on the host, is the same.
    fn noted(&self) -> usize {
        let written = self.memory.written.borrow();
        let without_time = |exception: Exception| Exception { seen: 0, ..exception };
        let sorted = |mut all: Vec<(Vec<u8>, Exception)>| {
            all.sort_by(|one, other| one.0.cmp(&other.0));
            all.into_iter().map(|(key, one)| (key, without_time(one))).collect::<Vec<_>>()
        };
        let v4 = written.exceptions_v4.iter();
        let v4 = v4.map(|(key, one)| (bytemuck::bytes_of(key).to_vec(), *one));
        let v6 = written.exceptions_v6.iter();
        let v6 = v6.map(|(key, one)| (bytemuck::bytes_of(key).to_vec(), *one));
        let host = sorted(v4.chain(v6).collect());
        let v4 = self.kernel.entries::<FlowKeyV4, Exception>(names::EXCEPTIONS_V4).into_iter();
        let v4 = v4.map(|(key, one)| (bytemuck::bytes_of(&key).to_vec(), one));
        let v6 = self.kernel.entries::<FlowKeyV6, Exception>(names::EXCEPTIONS_V6).into_iter();
        let v6 = v6.map(|(key, one)| (bytemuck::bytes_of(&key).to_vec(), one));
        assert_eq!(sorted(v4.chain(v6).collect()), host);
        host.len()
    }
}

/// The second listener, and that the endpoint is that of both.
fn share(memory: &mut Memory) {
    for protocol in [TCP, UDP] {
        let key = |port| {
            let (IpAddr::V4(v4), IpAddr::V6(v6)) = (vip4(), vip6()) else { unreachable!() };
            let port = Be16::new(port);
            let v4 = ListenerKeyV4::new(bytemuck::cast(v4.octets()), port, protocol);
            (v4, ListenerKeyV6::new(bytemuck::cast(v6.octets()), port, protocol))
        };
        let mut v4 = memory.listeners_v4[&key(port::NAT).0];
        let mut v6 = memory.listeners_v6[&key(port::NAT).1];
        (v4.id, v6.id) = (OTHER_LISTENER, OTHER_LISTENER);
        memory.listeners_v4.insert(key(OTHER_PORT).0, v4);
        memory.listeners_v6.insert(key(OTHER_PORT).1, v6);
    }
    for id in [id::NAT, id::NAT_V6] {
        let backend = memory.backends.get_mut(&id).expect("a backend of the world");
        let mut translation = backend.translation();
        translation.flags |= translation_flags::SHARED;
        backend.outer_source = translation.to_words();
    }
    memory.replies_v4.values_mut().for_each(|reply| reply.flags |= reply_flags::SHARED);
    memory.replies_v6.values_mut().for_each(|reply| reply.flags |= reply_flags::SHARED);
}

/// Where a frame says that it comes from; its checksums must be right.
fn source(frame: &[u8]) -> Left {
    let v4 = frame[12..14] == [8, 0];
    let (address, payload): (IpAddr, usize) = if v4 {
        assert_eq!(checksum(&[&frame[14..34]]), 0);
        (<[u8; 4]>::try_from(&frame[26..30]).unwrap().into(), 34)
    } else {
        (<[u8; 16]>::try_from(&frame[22..38]).unwrap().into(), 54)
    };
    Left::As(address, u16::from_be_bytes([frame[payload], frame[payload + 1]]))
}

fn vips() -> [IpAddr; 2] {
    [vip4(), vip6()]
}

fn client_of(vip: IpAddr) -> IpAddr {
    client::FAR[usize::from(vip.is_ipv6())].parse().unwrap()
}

fn asks(vip: IpAddr, protocol: u8, from: u16, port: u16, flags: u8) -> Vec<u8> {
    let client = client_of(vip).to_string();
    match protocol {
        TCP => tcp(&client, from, vip, port, flags, b"q").frame(),
        _ => udp(&client, from, vip, port, b"q").frame(),
    }
}

fn answers(vip: IpAddr, protocol: u8, to: u16, flags: u8) -> Vec<u8> {
    let (member, client) = (member_of(vip).to_string(), client_of(vip));
    let packet = match protocol {
        TCP => tcp(&member, port::MEMBER, client, to, flags, b"a"),
        _ => udp(&member, port::MEMBER, client, to, b"a"),
    };
    let mut frame = packet.frame();
    let id = if vip.is_ipv4() { id::NAT } else { id::NAT_V6 };
    frame[6..12].copy_from_slice(&[2, 0, 0, 1, 0, id as u8]);
    frame
}

#[test]
fn each_listener_of_a_shared_endpoint_gets_its_answers() {
    let mut scene = Scene::new(true);
    for vip in vips() {
        for protocol in [TCP, UDP] {
            let first = asks(vip, protocol, CLIENT_PORT, port::NAT, SYN);
            let second = asks(vip, protocol, CLIENT_PORT + 1, OTHER_PORT, SYN);
            assert_eq!(scene.run(&first), Left::As(client_of(vip), CLIENT_PORT));
            assert_eq!(scene.run(&second), Left::As(client_of(vip), CLIENT_PORT + 1));
            for flags in [SYN | ACK, ACK, FIN | ACK] {
                let answer = scene.run(&answers(vip, protocol, CLIENT_PORT, flags));
                assert_eq!(answer, Left::As(vip, port::NAT));
                let answer = scene.run(&answers(vip, protocol, CLIENT_PORT + 1, flags));
                assert_eq!(answer, Left::As(vip, OTHER_PORT));
            }
        }
    }
    // Only those of the listener that the record does not name.
    assert_eq!(scene.noted(), 4);
}

#[test]
fn one_port_of_a_client_serves_one_listener_of_a_shared_endpoint() {
    let mut scene = Scene::new(true);
    for vip in vips() {
        for protocol in [TCP, UDP] {
            let second = asks(vip, protocol, CLIENT_PORT, OTHER_PORT, SYN);
            assert_eq!(scene.run(&second), Left::As(client_of(vip), CLIENT_PORT));
            let first = asks(vip, protocol, CLIENT_PORT, port::NAT, SYN);
            assert_eq!(scene.run(&first), Left::Dropped(Reason::TupleClash));
            let answer = scene.run(&answers(vip, protocol, CLIENT_PORT, ACK));
            assert_eq!(answer, Left::As(vip, OTHER_PORT));
        }
    }
    assert_eq!(scene.noted(), 4);
}

/// A client's port is free for the other listener when its connection is over.
#[test]
fn a_port_whose_connection_was_closed_may_serve_the_other_listener() {
    let mut scene = Scene::new(true);
    for vip in vips() {
        let from = Left::As(client_of(vip), CLIENT_PORT);
        for end in [FIN | ACK, RST] {
            let second = |flags| asks(vip, TCP, CLIENT_PORT, OTHER_PORT, flags);
            let first = |flags| asks(vip, TCP, CLIENT_PORT, port::NAT, flags);
            for flags in [SYN, ACK, end] {
                assert_eq!(scene.run(&second(flags)), from);
            }
            // Its last segments are still its own.
            let last = scene.run(&answers(vip, TCP, CLIENT_PORT, FIN | ACK));
            assert_eq!(last, Left::As(vip, OTHER_PORT));
            assert_eq!(scene.run(&second(ACK)), from);
            assert_eq!(scene.run(&first(ACK)), Left::Dropped(Reason::TupleClash));
            for flags in [SYN, ACK] {
                assert_eq!(scene.run(&first(flags)), from);
                let answer = scene.run(&answers(vip, TCP, CLIENT_PORT, ACK));
                assert_eq!(answer, Left::As(vip, port::NAT));
            }
            assert_eq!(scene.run(&first(end)), from);
        }
    }
}

#[test]
fn an_exception_that_is_over_counts_no_more() {
    let mut scene = Scene::new(true);
    let second = asks(vip4(), TCP, CLIENT_PORT, OTHER_PORT, SYN);
    scene.run(&second);
    // A closed one: the host may not have run for as long as one of a connection that is silent counts.
    let age = |exception: &mut Exception| {
        exception.seen = now() - CLOSED_LIFETIME - 10;
        exception.flags |= exception_flags::CLOSED;
    };
    scene.memory.written.get_mut().exceptions_v4.values_mut().for_each(age);
    for (key, mut exception) in scene.kernel.entries::<FlowKeyV4, Exception>(names::EXCEPTIONS_V4) {
        age(&mut exception);
        scene.kernel.put(names::EXCEPTIONS_V4, key, exception);
    }
    let answer = scene.run(&answers(vip4(), TCP, CLIENT_PORT, ACK));
    assert_eq!(answer, Left::As(vip4(), port::NAT));
    let first = asks(vip4(), TCP, CLIENT_PORT, port::NAT, SYN);
    assert_eq!(scene.run(&first), Left::As(client_of(vip4()), CLIENT_PORT));
}

#[test]
fn a_client_may_reach_the_member_itself_by_this_host() {
    let mut scene = Scene::new(false);
    for vip in vips() {
        let (client, member) = (client_of(vip), member_of(vip));
        for protocol in [TCP, UDP] {
            let through = asks(vip, protocol, CLIENT_PORT, port::NAT, SYN);
            scene.run(&through);
            let direct = match protocol {
                TCP => tcp(&client.to_string(), 50_000, member, port::MEMBER, SYN, b""),
                _ => udp(&client.to_string(), 50_000, member, port::MEMBER, b"q"),
            };
            assert_eq!(scene.run(&direct.frame()), Left::Alone);
            for flags in [SYN | ACK, ACK, FIN | ACK] {
                let own = scene.run(&answers(vip, protocol, 50_000, flags));
                assert_eq!(own, Left::Alone);
                let answer = scene.run(&answers(vip, protocol, CLIENT_PORT, flags));
                assert_eq!(answer, Left::As(vip, port::NAT));
            }
            // What is for another port of the member's is not noted.
            let other = tcp(&client.to_string(), 50_001, member, 22, SYN, b"").frame();
            assert_eq!(scene.run(&other), Left::Alone);
        }
    }
    assert_eq!(scene.noted(), 4);
}

/// A member that serves no listener any more may still serve clients that reach it by this host.
#[test]
fn direct_connections_go_on_where_those_of_the_listener_are_over() {
    let mut scene = Scene::new(false);
    let Memory { replies_v4, replies_v6, .. } = &mut scene.memory;
    let replies = replies_v4.values_mut().chain(replies_v6.values_mut());
    replies.for_each(|reply| reply.flags |= reply_flags::ENDED);
    scene.kernel = Kernel::new(&scene.memory);
    for vip in vips() {
        let (client, member) = (client_of(vip).to_string(), member_of(vip));
        let direct = tcp(&client, 50_000, member, port::MEMBER, SYN, b"").frame();
        assert_eq!(scene.run(&direct), Left::Alone);
        for flags in [SYN | ACK, ACK, FIN | ACK] {
            assert_eq!(scene.run(&answers(vip, TCP, 50_000, flags)), Left::Alone);
            assert_eq!(scene.run(&answers(vip, TCP, CLIENT_PORT, flags)), Left::Reset);
        }
        assert_eq!(scene.run(&answers(vip, UDP, CLIENT_PORT, 0)), Left::Alone);
    }
}

#[test]
fn a_member_may_open_connections_from_the_port() {
    let mut scene = Scene::new(false);
    for vip in vips() {
        assert_eq!(scene.run(&answers(vip, TCP, 443, SYN)), Left::Alone);
        assert_eq!(scene.run(&answers(vip, TCP, 443, ACK)), Left::Alone);
        assert_eq!(scene.run(&answers(vip, TCP, 444, ACK)), Left::As(vip, port::NAT));
        // The other side's packets keep it alive.
        let (client, member) = (client_of(vip).to_string(), member_of(vip));
        let back = tcp(&client, 443, member, port::MEMBER, ACK, b"").frame();
        assert_eq!(scene.run(&back), Left::Alone);
    }
    assert_eq!(scene.noted(), 2);
}

/// An endpoint that one listener has writes nothing, whatever comes.
#[test]
fn settled_endpoints_touch_no_table() {
    let mut scene = Scene::new(false);
    for vip in vips() {
        for protocol in [TCP, UDP] {
            for from in 1024..1124 {
                scene.run(&asks(vip, protocol, from, port::NAT, SYN));
                scene.run(&answers(vip, protocol, from, SYN | ACK));
                scene.run(&asks(vip, protocol, from, port::NAT, ACK));
            }
        }
    }
    assert_eq!((scene.noted(), scene.kernel.recorded()), (0, [0, 0]));
}

/// The flow of a key in words.
#[test]
fn keys_are_of_the_flow_as_the_member_sees_it() {
    let mut scene = Scene::new(true);
    scene.run(&asks(vip4(), TCP, CLIENT_PORT, OTHER_PORT, SYN));
    let (IpAddr::V4(client), IpAddr::V4(member)) = (client_of(vip4()), member_of(vip4())) else {
        unreachable!()
    };
    let ports = Ports { source: Be16::new(CLIENT_PORT), destination: Be16::new(port::MEMBER) };
    let [client, member] = [client, member].map(|address| bytemuck::cast(address.octets()));
    let key = FlowKeyV4::new(client, member, ports, TCP);
    let noted = scene.kernel.entries::<FlowKeyV4, Exception>(names::EXCEPTIONS_V4);
    assert_eq!(noted.iter().map(|(key, _)| *key).collect::<Vec<_>>(), [key]);
    assert_eq!(noted[0].1.listener, OTHER_LISTENER);
}
