//! What is reported about packets over tables in memory.

mod binding;
mod quic;
mod translation;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use elb_common::addr::{Be16, Be32, Be128, Mac};
use elb_common::admission::GroupKeyV4;
use elb_common::backend::{self, backend_flags, mode, outer_sum};
use elb_common::client::{Client, Persistence};
use elb_common::flow::Flow;
use elb_common::listener::{
    Listener as Record, ListenerKeyV4, RANGE_FIXED_BITS, RangeKey, Vip, algorithm, listener_flags,
    vip_flags,
};
use elb_common::path::Memory;
use elb_common::pool::Pool;
use elb_common::ring;

use super::*;
use crate::control::assign::{
    AssignedGroup, AssignedListener, AssignedMember, AssignedPool, AssignedRing, Assignments,
};
use crate::control::flow_key::Key;
use crate::control::ring::shape::Shape;
use crate::model::{Model, ResourceId};

const INGRESS: Ingress = Ingress::of_clients(3, [2, 0, 0, 0, 0, 1]);
const SLOTS: u32 = 101;
const BASE: u32 = 32;
const NOW: u32 = 1_000;

/// Listeners for 192.0.2.10:80/tcp and all UDP ports of 2001:db8::10; slots all alike; members 1, by
/// ipip, and 2, on the segment, of one pool.
fn memory(slot: ring::Slot) -> Memory {
    memory_with(slot, Record::default())
}

/// The same with more in the records of the listeners.
fn memory_with(slot: ring::Slot, listener: Record) -> Memory {
    let slots = vec![slot; (BASE + SLOTS) as usize];
    let mut memory = Memory { slots, ..Memory::with_room(100, NOW) };
    let (ring_base, ring_size) = (BASE, SLOTS);
    let listener = Record { ring_base, ring_size, id: 7, pool: 4, ..listener };
    let v4 = ListenerKeyV4::new(bytemuck::cast([192u8, 0, 2, 10]), Be16::new(80), 6);
    memory.listeners_v4.insert(v4, listener);
    let vip6: Be128 =
        bytemuck::cast(std::net::Ipv6Addr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0x10]).octets());
    let range = RangeKey::new(9, Be16::new(0), 17);
    memory.ranges.push((RANGE_FIXED_BITS, range, listener));
    memory.vips_v4.insert(bytemuck::cast([192u8, 0, 2, 10]), Vip::default());
    memory.vips_v6.insert(vip6, Vip { flags: vip_flags::RANGES_UDP, number: 9 });
    memory.pools.insert(4, Pool { idle_timeout: 300, ..Pool::default() });
    memory.backends.insert(1, backend(11, mode::IPIP_V4));
    memory.backends.insert(2, backend(12, mode::L2));
    memory
}

fn backend(last: u8, mode: u8) -> backend::Backend {
    let word = |last| Be32::from_raw(u32::from_ne_bytes([10, 0, 0, last]));
    let address = |last| Be128::from_raw([word(last).raw(), 0, 0, 0]);
    let mut record = backend::Backend {
        next_hop: Mac::new([2, 0, 0, 0, 0, last]),
        source: Mac::new(INGRESS.mac),
        mode,
        flags: backend_flags::REACHABLE | backend_flags::ESTABLISHED | backend_flags::NEW,
        weight: 1,
        ifindex: INGRESS.index,
        outer_sum: outer_sum(word(1), word(last)),
        address: address(last),
        outer_source: address(1),
        ..backend::Backend::default()
    };
    record.set_mtu(1500);
    record
}

fn names() -> Names {
    let member = |id, last| AssignedMember::new(id, ([10, 0, 0, last], 80).into());
    let members = vec![member(1, 11), member(2, 12)];
    let mut assignments = Assignments::default();
    let listener =
        AssignedListener { id: 7, name: "http".to_owned(), pool: 4, ..Default::default() };
    let lb = ResourceId::of_load_balancer("lb");
    assignments.listeners.insert(ResourceId::of_listener(lb, "http"), listener);
    let office = AssignedGroup { id: 3, name: "office".to_owned() };
    assignments.ip_groups.insert(ResourceId::of_ip_group("office"), office);
    let ring = AssignedRing { base: BASE, shape: Shape { size: SLOTS, ..Shape::default() } };
    let name = "web".to_owned();
    assignments.adopt(
        ResourceId::of_pool("web"),
        AssignedPool { name, members, ..AssignedPool::new(4, ring, 0) },
    );
    Names::new(&Model::default(), &assignments, BTreeMap::from([(3, "lb0".to_owned())]))
}

fn question(src: &str, dst: &str, proto: TransportProtocol) -> ExplainRequest {
    ExplainRequest {
        src: src.parse().unwrap(),
        dst: dst.parse().unwrap(),
        proto,
        syn: false,
        cid: None,
        size: None,
        interface: None,
    }
}

fn web() -> ExplainRequest {
    question("198.51.100.7:1234", "192.0.2.10:80", TransportProtocol::Tcp)
}

fn ask(question: &ExplainRequest, memory: &Memory) -> Explanation {
    explain(question, INGRESS, memory, &names()).unwrap().0
}

#[test]
fn a_packet_on_a_settled_slot() {
    let memory = memory(ring::Slot::new(1, 0));
    let explained = ask(&web(), &memory);
    assert_eq!(
        (explained.decision.fate.as_str(), &explained.decision.reason),
        ("forwarded", &None)
    );
    assert_eq!((explained.packet.length, explained.packet.interface.as_str()), (40, "lb0"));
    let listener = explained.listener.unwrap();
    assert_eq!(
        (listener.name.as_str(), listener.port, listener.pool.as_str()),
        ("http", 80, "web")
    );
    assert_eq!((listener.algorithm.as_str(), listener.tracked), ("5_TUPLE_HASH", false));
    assert_eq!(explained.admission, Some(Admission { admitted: true, ..Admission::default() }));
    let slot = explained.slot.unwrap();
    let hash = Key::new(explained.packet.source, explained.packet.destination, 6)
        .hash(algorithm::FIVE_TUPLE);
    assert_eq!((slot.hash, slot.index, slot.of), (hash, ring::index(hash, SLOTS), SLOTS));
    assert_eq!((slot.moving, slot.owner.unwrap().number, slot.former_owner), (false, 1, None));
    assert_eq!(explained.flow, None);
    let backend = explained.backend.unwrap();
    assert_eq!(backend.member.socket(), Some("10.0.0.11:80".parse::<SocketAddr>().unwrap()));
    assert_eq!((backend.forwarding.as_str(), backend.mtu), ("ipip", 1500));
    let sent = explained.sent.unwrap();
    assert_eq!((sent.interface.as_str(), sent.next_hop_mac.as_str()), ("lb0", "02:00:00:00:00:0b"));
    let outer = sent.encapsulation.unwrap();
    assert_eq!((outer.source, outer.destination), ([10, 0, 0, 1].into(), [10, 0, 0, 11].into()));
    assert_eq!(outer.bytes, 20);
}

#[test]
fn a_moving_slot_distinguishes_old_flows_from_new_ones() {
    let memory = memory(ring::Slot::new(1, 2));
    let older = ask(&web(), &memory);
    let slot = older.slot.unwrap();
    assert_eq!((slot.moving, slot.former_owner.unwrap().number), (true, 2));
    let entry = older.flow.unwrap();
    assert_eq!((entry.recorded, entry.records.unwrap().number, entry.no_room), (None, 2, false));
    assert_eq!(older.backend.unwrap().member.number, 2);
    assert_eq!(older.sent.unwrap().encapsulation, None);

    memory.written.borrow_mut().flows_v4.live.clear();
    let opening = ask(&ExplainRequest { syn: true, ..web() }, &memory);
    let entry = opening.flow.unwrap();
    assert_eq!((entry.recorded, entry.records.unwrap().number), (None, 1));
    assert_eq!(opening.backend.unwrap().member.number, 1);

    let Key::V4(key) = Key::new(older.packet.source, older.packet.destination, 6) else {
        panic!("an IPv4 flow")
    };
    let flow = Flow { backend: 1, pool: 4, listener: 7, flags: 0, seen: NOW, since: NOW };
    memory.written.borrow_mut().flows_v4.live.insert(key, flow);
    let (recorded, found) = explain(&web(), INGRESS, &memory, &names()).unwrap();
    assert_eq!(found, Some(Key::V4(key)));
    assert_eq!(recorded.flow.unwrap().recorded.unwrap().number, 1);
    assert_eq!(recorded.backend.unwrap().member.number, 1);
}

#[test]
fn what_is_not_forwarded_has_a_reason_and_a_fix() {
    let empty = memory(ring::Slot::new(0, 0));
    let explained = ask(&web(), &empty);
    assert_eq!(explained.decision.reason.as_deref(), Some("no_backend"));
    assert_eq!(explained.decision.fate, "dropped");
    assert!(explained.decision.fix.unwrap().contains("elb status"));
    assert_eq!(
        (explained.slot.unwrap().owner, explained.backend, explained.sent),
        (None, None, None)
    );

    let foreign = ask(&question("198.51.100.7:1", "192.0.2.99:80", TransportProtocol::Tcp), &empty);
    assert_eq!(foreign.decision.reason.as_deref(), Some("not_vip"));
    assert_eq!((foreign.decision.fate.as_str(), foreign.decision.fix), ("passed", None));
    assert_eq!((foreign.listener, foreign.admission), (None, None));

    let big = ask(&ExplainRequest { size: Some(1481), ..web() }, &memory(ring::Slot::new(1, 0)));
    assert_eq!(big.decision.reason.as_deref(), Some("too_big_answered"));
    assert_eq!((big.decision.fate.as_str(), big.sent), ("answered", None));
    assert_eq!((big.packet.length, big.backend.unwrap().member.number), (1481, 1));
}

#[test]
fn what_is_too_big_is_answered_with_what_fits() {
    let memory = memory(ring::Slot::new(1, 0));
    let v6 = question("2001:db8::7", "[2001:db8::10]:53", TransportProtocol::Udp);
    for (question, kind) in [(web(), ReplyKind::FragmentationNeeded), (v6, ReplyKind::PacketTooBig)]
    {
        let big = ask(&ExplainRequest { size: Some(1500), ..question.clone() }, &memory);
        assert_eq!(big.decision.reason.as_deref(), Some("too_big_answered"));
        assert_eq!((big.sent, big.answer), (None, Some(Reply { kind, mtu: Some(1480) })));
        let fits = ask(&ExplainRequest { size: Some(1480), ..question }, &memory);
        assert_eq!((fits.sent.unwrap().length, fits.answer), (1514, None));
    }
}

#[test]
fn gue_shows_its_ports() {
    let mut memory = memory(ring::Slot::new(1, 0));
    memory.backends.insert(1, backend(11, mode::GUE_V4));
    let explained = ask(&web(), &memory);
    assert_eq!(explained.backend.unwrap().forwarding, "gue");
    let outer = explained.sent.unwrap().encapsulation.unwrap();
    assert_eq!((outer.protocol.as_str(), outer.bytes), ("udp", 32));
    let ports = outer.gue.unwrap();
    assert_eq!((ports.source_port >= 0xc000, ports.destination_port), (true, 6080));
    memory.backends.insert(1, backend(11, mode::IPIP_V4));
    assert_eq!(ask(&web(), &memory).sent.unwrap().encapsulation.unwrap().gue, None);
}

#[test]
fn a_range_of_ports_and_ipv6() {
    let memory = memory(ring::Slot::new(1, 0));
    let explained =
        ask(&question("2001:db8::7", "[2001:db8::10]:53", TransportProtocol::Udp), &memory);
    assert_eq!(explained.packet.source.port(), DEFAULT_PORT);
    assert_eq!((explained.packet.length, explained.decision.fate.as_str()), (48, "forwarded"));
    let listener = explained.listener.unwrap();
    assert_eq!((listener.port, listener.address), (0, explained.packet.destination.ip()));
    assert_eq!(explained.sent.unwrap().encapsulation.unwrap().protocol, "ipv6");
}

#[test]
fn a_listener_says_why_it_lets_no_client_in() {
    let limited = Record { cps: 1, max_connections: 50, ..Record::default() };
    let flags = listener_flags::WHITELIST | listener_flags::LIMITED;
    let mut memory = memory_with(ring::Slot::new(1, 0), Record { flags, group: 3, ..limited });
    let opening = ExplainRequest { syn: true, ..web() };
    let stranger = ask(&opening, &memory);
    assert_eq!(stranger.decision.reason.as_deref(), Some("access_denied"));
    let office = |holds_client| {
        Some(GroupAdmission { name: "office".to_owned(), list: List::White, holds_client })
    };
    let refused = Admission { ipgroup: office(false), ..Admission::default() };
    assert_eq!(stranger.admission, Some(refused.clone()));
    assert_eq!(refused.to_string(), "refused, its whitelist office does not hold the client");
    assert_eq!((stranger.slot, stranger.backend), (None, None));

    let client = GroupKeyV4::new(3, bytemuck::cast([198u8, 51, 100, 7]));
    memory.groups_v4.push((64, client));
    let known = ask(&opening, &memory).admission.unwrap();
    let limits = (Some(Concurrent { limit: 50, open: 0 }), Some(Rate { limit: 1, reached: false }));
    assert_eq!((known.admitted, &known.ipgroup), (true, &office(true)));
    assert_eq!((known.max_connection, known.cps), limits);
    assert_eq!(
        known.to_string(),
        "admitted, its whitelist office holds the client, 0 connections of at most 50 are open, \
         fewer than 1 connections, the most, have opened this second"
    );
    let second = ask(&opening, &memory);
    assert_eq!(second.decision.reason.as_deref(), Some("rate_limited"));
    let second = second.admission.unwrap();
    assert_eq!((second.admitted, second.cps), (false, Some(Rate { limit: 1, reached: true })));
}

#[test]
fn a_blacklist_lets_all_others_in() {
    let record = Record { flags: listener_flags::BLACKLIST, group: 3, ..Record::default() };
    let mut memory = memory_with(ring::Slot::new(1, 0), record);
    let opening = ExplainRequest { syn: true, ..web() };
    let explained = ask(&opening, &memory).admission.unwrap();
    assert_eq!(explained.to_string(), "admitted, its blacklist office does not hold the client");
    memory.groups_v4.push((64, GroupKeyV4::new(3, bytemuck::cast([198u8, 51, 100, 7]))));
    let explained = ask(&opening, &memory).admission.unwrap();
    let json = serde_json::to_value(&explained).unwrap();
    let group = serde_json::json!({ "name": "office", "type": "black", "holds_client": true });
    assert_eq!(json, serde_json::json!({ "admitted": false, "ipgroup": group }));
    // Packets of connections that exist are not judged.
    let under_way = Admission { admitted: true, ..Admission::default() };
    assert_eq!(ask(&web(), &memory).admission, Some(under_way));
}

#[test]
fn packets_wait_for_records_that_are_carried_over() {
    let carrying = |slot: ring::Slot, listener: Record| {
        let memory = memory_with(slot, listener);
        for table in &mut memory.written.borrow_mut().tables {
            table.carried_until = memory.now + 1;
        }
        memory
    };
    let turns = Record {
        flags: listener_flags::TRACKED,
        algorithm: algorithm::ROUND_ROBIN,
        ..Record::default()
    };
    let (moving, settled) = (ring::Slot::new(1, 2), ring::Slot::new(1, 0));
    for memory in [carrying(moving, Record::default()), carrying(settled, turns)] {
        let explained = ask(&web(), &memory);
        assert_eq!(explained.decision.fate, "dropped");
        assert_eq!(explained.decision.reason.as_deref(), Some("carried_over"));
        let entry = explained.flow.unwrap();
        assert_eq!((entry.carried_over, entry.records), (true, None));
        let opens = ask(&ExplainRequest { syn: true, ..web() }, &memory);
        assert_eq!(
            (opens.decision.fate.as_str(), opens.flow.unwrap().carried_over),
            ("forwarded", false)
        );
        // It is recorded now, as it would be when its record has followed.
        assert_eq!(ask(&web(), &memory).decision.fate, "forwarded");
    }
    let memory = carrying(settled, Record::default());
    assert_eq!(ask(&web(), &memory).decision.fate, "forwarded", "no record decides");
    let mut over = carrying(moving, Record::default());
    over.now += 1;
    assert_eq!(ask(&web(), &over).decision.fate, "forwarded", "it ends by itself");
}

#[test]
fn members_in_turn_and_room_for_flows() {
    let turns = Record {
        flags: listener_flags::TRACKED,
        algorithm: algorithm::ROUND_ROBIN,
        ..Record::default()
    };
    let memory = memory_with(ring::Slot::new(1, 0), turns);
    let explained = ask(&ExplainRequest { syn: true, ..web() }, &memory);
    let listener = explained.listener.unwrap();
    assert_eq!((listener.algorithm.as_str(), listener.tracked), ("ROUND_ROBIN", true));
    let entry = explained.flow.unwrap();
    assert_eq!((entry.recorded, entry.records.unwrap().number, entry.no_room), (None, 1, false));

    memory.written.borrow_mut().listener_states.entry(7).or_default().records[0] = 51;
    memory.written.borrow_mut().tables[0].records = 51;
    let another = question("198.51.100.7:4321", "192.0.2.10:80", TransportProtocol::Tcp);
    let entry = ask(&ExplainRequest { syn: true, ..another }, &memory).flow.unwrap();
    assert_eq!((entry.records, entry.no_room), (None, true));
}

#[test]
fn who_served_a_client_before_gets_its_next_connection() {
    let turns = Record {
        flags: listener_flags::TRACKED,
        algorithm: algorithm::ROUND_ROBIN,
        ..Record::default()
    };
    let mut memory = memory_with(ring::Slot::new(1, 0), turns);
    let opens = ExplainRequest { syn: true, ..web() };
    assert_eq!(ask(&opens, &memory).client, None, "the pool remembers none");
    memory.pools.get_mut(&4).unwrap().persistence = Persistence::new(60, 32, 128);
    memory.written.borrow_mut().flows_v4.openings.clear();
    let unknown = ask(&opens, &memory).client.unwrap();
    assert_eq!((unknown.served_by, unknown.timeout, unknown.decides), (None, 60, false));
    let known = |memory: &Memory, ago| {
        let mut written = memory.written.borrow_mut();
        written.flows_v4.openings.clear();
        let client = Client { backend: 2, pool: 4, seen: memory.now - ago };
        written.clients.openings.values_mut().for_each(|one| *one = client);
    };
    known(&memory, 7);
    let explained = ask(&opens, &memory);
    let found = explained.client.unwrap();
    assert_eq!((found.served_by.unwrap().number, found.ago, found.decides), (2, Some(7), true));
    assert_eq!(explained.backend.unwrap().member.number, 2);
    known(&memory, 7);
    memory.backends.get_mut(&2).unwrap().flags &= !backend_flags::NEW;
    let found = ask(&opens, &memory).client.unwrap();
    assert_eq!((found.served_by.unwrap().number, found.decides), (2, false));
}

#[test]
fn a_question_that_contradicts_itself() {
    let memory = Memory::default();
    let refused =
        |question: &ExplainRequest| explain(question, INGRESS, &memory, &names()).unwrap_err();
    let mixed = question("198.51.100.7", "[2001:db8::10]:80", TransportProtocol::Tcp);
    assert_eq!(refused(&mixed), "198.51.100.7 and 2001:db8::10 are of different IP versions");
    let udp = question("198.51.100.7", "192.0.2.10:53", TransportProtocol::Udp);
    assert!(refused(&ExplainRequest { syn: true, ..udp.clone() }).starts_with("UDP has no SYN"));
    let cid = Some("0a1b".parse().unwrap());
    let tcp = refused(&ExplainRequest { cid, ..web() });
    assert!(tcp.starts_with("TCP has no connection id of QUIC: leave --cid out"), "{tcp}");
    let small = ExplainRequest { size: Some(39), ..web() };
    assert_eq!(refused(&small), "a packet of 39 bytes has no room for its headers of 40");
    let short = ExplainRequest { size: Some(68), cid, ..udp };
    assert_eq!(
        refused(&short),
        "a packet of 68 bytes has no room for its headers, the longest connection id and the least \
         that follows it, of 69"
    );
}
