//! Packets that are translated, in both directions.

use elb_common::backend::{Translation, translation_flags};
use elb_common::client_hop::{ClientHop, hop_kind};
use elb_common::exception::Exception;
use elb_common::flow::FlowKeyV4;
use elb_common::limits::EXCEPTION_LIFETIME;
use elb_common::listener::ListenerKeyV6;
use elb_common::reply::{self, reply_flags};

use super::*;

/// The member 10.0.0.12:8080, number 2, which answers for 192.0.2.10:80.
const MEMBER: [u8; 4] = [10, 0, 0, 12];
const PORT: u16 = 8080;
const MEMBER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 12];

fn record(address: [u8; 4]) -> Be128 {
    Be128::from_raw([u32::from_ne_bytes(address), 0, 0, 0])
}

/// Its packets come by interface 3 and from its Ethernet address; clients are behind interface 4.
fn translating(flags: u16) -> Memory {
    let mut memory = memory(ring::Slot::new(2, 0));
    let shared = if flags & reply_flags::SHARED == 0 { 0 } else { translation_flags::SHARED };
    let mut member = backend(12, mode::NAT);
    let mut translation = Translation::new(record(MEMBER), Be16::new(PORT), shared);
    translation.segment = [u32::from_ne_bytes([255, 255, 255, 0]), 0];
    member.outer_source = translation.to_words();
    memory.backends.insert(2, member);
    let mut reply = reply::Reply {
        vip: record([192, 0, 2, 10]),
        port: Be16::new(80),
        flags: flags | reply_flags::ON_LINK,
        ifindex: INGRESS.index,
        listener: 7,
        backend: 2,
        mac: Mac::new(MEMBER_MAC),
        ..reply::Reply::default()
    };
    reply.translate_from(record(MEMBER), Be16::new(PORT));
    let key = ListenerKeyV4::new(bytemuck::cast(MEMBER), Be16::new(PORT), 6);
    memory.replies_v4.insert(key, reply);
    memory.client_defaults = [way(hop_kind::KNOWN), way(hop_kind::KNOWN)];
    memory.devices.push(4);
    memory
}

fn way(kind: u16) -> ClientHop {
    ClientHop {
        next_hop: Mac::new([2, 0, 0, 0, 1, 1]),
        source: Mac::new([2, 0, 0, 0, 1, 2]),
        ifindex: 4,
        largest: 1500,
        kind,
    }
}

fn answer() -> ExplainRequest {
    question("10.0.0.12:8080", "198.51.100.7:1234", TransportProtocol::Tcp)
}

fn from(sender: [u8; 6], memory: &Memory) -> Explanation {
    explain(&answer(), Ingress { sender, ..INGRESS }, memory, &names()).unwrap().0
}

fn ask_of(memory: &Memory) -> Explanation {
    from(MEMBER_MAC, memory)
}

/// The flow as the member sees it.
fn key() -> FlowKeyV4 {
    match Key::new(socket("198.51.100.7:1234"), socket("10.0.0.12:8080"), 6) {
        Key::V4(key) => key,
        Key::V6(_) => unreachable!("both are of IPv4"),
    }
}

fn note(memory: &Memory, exception: Exception) {
    let mut written = memory.written.borrow_mut();
    written.exceptions_v4.insert(key(), exception);
    written.excepted.insert(2, NOW + EXCEPTION_LIFETIME);
}

fn socket(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn an_answer_gets_the_virtual_address_that_its_endpoint_stands_for() {
    let explained = ask_of(&translating(0));
    let decision = &explained.decision;
    assert_eq!((decision.fate.as_str(), &decision.reason), ("forwarded", &None));
    assert_eq!((&explained.listener, &explained.slot, &explained.backend), (&None, &None, &None));
    let endpoint = explained.endpoint.unwrap();
    assert_eq!(endpoint.member.number, 2);
    assert_eq!(
        (endpoint.listener.as_str(), endpoint.stands_for),
        ("http", socket("192.0.2.10:80"))
    );
    assert_eq!(
        (endpoint.interface.as_str(), endpoint.mac.as_deref()),
        ("lb0", Some("02:00:00:00:00:0c"))
    );
    assert!(!endpoint.shared && !endpoint.asked_for_flow);
    assert_eq!(explained.noted, None);
    let way = explained.way_back.unwrap();
    assert_eq!((way.kind, way.interface.as_str(), way.mtu), (WayKind::Known, "#4", 1500));
    let translated = explained.translated.unwrap();
    assert_eq!(
        (translated.source, translated.destination),
        (socket("192.0.2.10:80"), socket("198.51.100.7:1234"))
    );
    let sent = explained.sent.unwrap();
    assert_eq!((sent.interface.as_str(), sent.next_hop_mac.as_str()), ("#4", "02:00:00:00:01:01"));
}

#[test]
fn an_answer_of_another_listener_says_so() {
    let memory = translating(reply_flags::SHARED);
    let explained = ask_of(&memory);
    assert!(explained.noted.is_none() && explained.endpoint.unwrap().asked_for_flow);
    let (vip, port) = (record([192, 0, 2, 11]), Be16::new(81));
    note(&memory, Exception { vip, port, listener: 9, seen: NOW - 4, ..Exception::default() });
    let explained = ask_of(&memory);
    let noted = explained.noted.unwrap();
    assert_eq!((noted.ago, noted.by_this_packet), (4, false));
    assert_eq!(
        (noted.listener.as_deref(), noted.address),
        (Some("#9"), Some(socket("192.0.2.11:81")))
    );
    assert_eq!(explained.translated.unwrap().source, socket("192.0.2.11:81"));
}

#[test]
fn what_is_not_an_answer_is_left_alone() {
    let memory = translating(0);
    note(&memory, Exception::alone(2, 0, NOW));
    let explained = ask_of(&memory);
    assert_eq!(explained.decision.reason.as_deref(), Some("not_vip"));
    let noted = explained.noted.unwrap();
    assert_eq!((noted.listener, noted.by_this_packet), (None, false));
    assert_eq!((explained.translated, explained.sent), (None, None));

    // A packet that opens a connection is the member's own, and is noted.
    let memory = translating(0);
    let own = ExplainRequest { syn: true, ..answer() };
    let ingress = Ingress { sender: MEMBER_MAC, ..INGRESS };
    let explained = explain(&own, ingress, &memory, &names()).unwrap().0;
    assert_eq!(explained.decision.reason.as_deref(), Some("not_vip"));
    assert!(explained.noted.unwrap().by_this_packet);
}

#[test]
fn why_an_answer_is_not_translated() {
    let explained = from([2, 0, 0, 0, 0, 99], &translating(0));
    assert_eq!(explained.decision.reason.as_deref(), Some("reply_unknown"));
    assert!(explained.endpoint.is_some() && explained.way_back.is_none());
    let mut memory = translating(0);
    memory.client_defaults = [way(hop_kind::NONE), way(hop_kind::NONE)];
    let explained = ask_of(&memory);
    assert_eq!(explained.decision.reason.as_deref(), Some("no_route"));
    assert_eq!(explained.way_back.unwrap().kind, WayKind::None);
    memory.client_defaults = [way(hop_kind::KERNEL), way(hop_kind::KERNEL)];
    let explained = ask_of(&memory);
    let decision = &explained.decision;
    assert_eq!((decision.fate.as_str(), &decision.reason), ("forwarded", &None));
    assert!(decision.meaning.as_ref().unwrap().contains("left to the kernel"));
    assert_eq!((explained.way_back.unwrap().kind, explained.sent), (WayKind::Kernel, None));
    assert_eq!(explained.translated.unwrap().source, socket("192.0.2.10:80"));
}

#[test]
fn a_request_gets_the_members_address_and_port() {
    let explained = ask(&web(), &translating(0));
    let translated = explained.translated.unwrap();
    assert_eq!(translated.destination, socket("10.0.0.12:8080"));
    assert_eq!(translated.source, explained.packet.source);
    assert_eq!(explained.backend.unwrap().forwarding, "nat");
    assert_eq!((explained.endpoint, explained.noted), (None, None));

    let near = question("10.0.0.77:1234", "192.0.2.10:80", TransportProtocol::Tcp);
    let explained = ask(&near, &translating(0));
    assert_eq!(explained.decision.reason.as_deref(), Some("hairpin"));
    assert!(explained.backend.is_some() && explained.translated.is_none());
}

#[test]
fn a_request_that_clashes_shows_whose_connection_is_there() {
    let memory = translating(reply_flags::SHARED);
    let (vip, port) = (record([192, 0, 2, 11]), Be16::new(81));
    note(&memory, Exception { vip, port, listener: 9, seen: NOW, ..Exception::default() });
    let explained = ask(&web(), &memory);
    assert_eq!(explained.decision.reason.as_deref(), Some("tuple_clash"));
    assert_eq!(explained.noted.unwrap().address, Some(socket("192.0.2.11:81")));
    assert_eq!(explained.endpoint, None);
}

/// A member with IPv6 of a pool with `nat46`.
#[test]
fn the_endpoint_of_a_member_with_ipv6_may_stand_for_an_address_of_ipv4() {
    let mut memory = translating(reply_flags::PROBES);
    let reply = memory.replies_v4.values().next().copied().unwrap();
    let member: std::net::Ipv6Addr = "2001:db8:9::12".parse().unwrap();
    let key = ListenerKeyV6::new(bytemuck::cast(member.octets()), Be16::new(PORT), 6);
    memory.replies_v6.insert(key, reply);
    let answer = question(
        "[2001:db8:9::12]:8080",
        "[2001:db8:1:64:0:7:c633:6407]:1234",
        TransportProtocol::Tcp,
    );
    let ingress = Ingress { sender: MEMBER_MAC, ..INGRESS };
    let explained = explain(&answer, ingress, &memory, &names()).unwrap().0;
    let endpoint = explained.endpoint.unwrap();
    assert_eq!(
        (endpoint.listener.as_str(), endpoint.stands_for),
        ("http", socket("192.0.2.10:80"))
    );
}
