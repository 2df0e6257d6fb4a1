//! Tests of `witness`.

use super::super::wire::{Ethernet, Ipv4, Tcp};
use super::super::{Frame, Memory, Outcome, process};
use super::*;
use crate::addr::{Be16, Mac};
use crate::backend::{backend_flags, mode};
use crate::client::Persistence;
use crate::flow::flow_flags;
use crate::pool::Ring;
use crate::ring;
use network_types::eth::EtherType;
use std::vec::Vec;

const INGRESS: u32 = 7;
const POOL: Pool = Pool {
    udp_hold_until: 0,
    idle_timeout: 9,
    flows_since: 0,
    persistence: Persistence::new(0, 32, 128),
    ring: RING,
    former: Ring { size: 0, ..RING },
};
const RING: Ring =
    Ring { base: 0, size: 16, algorithm: 0, cid: CidPart { offset: 0, length: 0 }, reserved: 0 };
const SYN: u8 = 2;
const ACK: u8 = 16;

fn address(last: u8) -> Be32 {
    bytemuck::cast([10u8, 0, 0, last])
}

/// A TCP packet from 10.0.0.1:1000 to 10.0.0.2:80.
fn tcp(flags: u8) -> Vec<u8> {
    let ethertype = Be16::from_raw(EtherType::Ipv4 as u16);
    let ethernet = Ethernet { destination: Mac::new([2; 6]), source: Mac::new([4; 6]), ethertype };
    let ip = Ipv4 {
        version_length: 0x45,
        total_length: Be16::new(40),
        ttl: 9,
        protocol: 6,
        source: address(1),
        destination: address(2),
        ..Ipv4::default()
    };
    let tcp = Tcp {
        source: Be16::new(1000),
        destination: Be16::new(80),
        offset: 0x50,
        flags,
        ..Tcp::default()
    };
    let parts = [bytemuck::bytes_of(&ethernet), bytemuck::bytes_of(&ip), bytemuck::bytes_of(&tcp)];
    let mut frame = parts.concat();
    frame.resize(54, 0);
    frame
}

fn backend() -> Backend {
    let flags = backend_flags::REACHABLE | backend_flags::ESTABLISHED;
    Backend { mode: mode::L2, flags, largest: 1500, ifindex: INGRESS, ..Backend::default() }
}

/// A listener with a ring of sixteen slots, all alike, and backends 1 and 2.
fn memory(slot: Slot) -> Memory {
    let mut memory = Memory { slots: [slot; 16].into(), ..Memory::with_room(100, 50) };
    let key = ListenerKeyV4::new(address(2), Be16::new(80), 6);
    let listener = Listener { ring_size: 16, id: 3, pool: 4, ..Listener::default() };
    memory.listeners_v4.insert(key, listener);
    memory.pools.insert(4, POOL);
    memory.interfaces.insert(INGRESS, Interface { mac: Mac::new([2; 6]), ..Interface::default() });
    memory.backends.extend([(1, backend()), (2, backend())]);
    memory
}

/// Outcome and bytes with a witness and without, and what the witness notes.
fn testify<'m>(memory: &'m Memory, bytes: &[u8]) -> Vec<Asked<'m>> {
    let run = |decide: &dyn Fn(&mut Frame<'_>) -> Outcome| {
        let mut buffer = [0u16; 512];
        let mut frame = Frame::new(&mut buffer, bytes, INGRESS).unwrap();
        let outcome = decide(&mut frame);
        (outcome, frame.bytes().to_vec())
    };
    let alone = memory.clone();
    let unwitnessed = run(&|frame| process(frame, &alone));
    let asked = RefCell::new(Vec::new());
    let witnessed = run(&|frame| process(frame, &Witness::new(memory, &asked)));
    assert_eq!(witnessed, unwitnessed);
    assert_eq!(*memory.written.borrow(), *alone.written.borrow());
    asked.into_inner()
}

fn key() -> FlowKeyV4 {
    let ports = crate::flow::Ports { source: Be16::new(1000), destination: Be16::new(80) };
    FlowKeyV4::new(address(1), address(2), ports, 6)
}

#[test]
fn a_settled_slot_asks_for_no_flow() {
    let memory = memory(Slot::new(1, 0));
    let asked = testify(&memory, &tcp(SYN));
    let listener = memory.listeners_v4.iter().next().unwrap();
    let index = ring::index(crate::hash::flow_v4(&key()), 16);
    assert_eq!(
        asked,
        [
            Asked::MayBeVipV4(address(2), true),
            Asked::ListenerV4(*listener.0, Some(listener.1)),
            Asked::IsMacOf(INGRESS, Mac::new([2; 6]), true),
            Asked::Slot(index, Some(Slot::new(1, 0))),
            Asked::CountOpening(3, 1),
            Asked::Backend(1, Some(&backend())),
            Asked::CountListener(3),
            Asked::CountBackend(1),
        ]
    );
}

#[test]
fn on_a_moving_slot_flows_and_former_owners_are_asked_for() {
    let memory = memory(Slot::new(1, 2));
    let index = ring::index(crate::hash::flow_v4(&key()), 16);
    let slot = Asked::Slot(index, Some(Slot::new(1, 2)));
    let backend = backend();
    let stray =
        Flow { backend: 2, pool: 4, listener: 3, flags: flow_flags::STRAY, seen: 50, since: 50 };
    assert_eq!(
        testify(&memory, &tcp(ACK))[3..],
        [
            slot,
            Asked::Now(50),
            Asked::Pool(4, Some(POOL)),
            slot,
            Asked::FindV4(Stage::Live, key(), None),
            Asked::FindV4(Stage::Opening, key(), None),
            Asked::IsCarried(false),
            Asked::Backend(2, Some(&backend)),
            Asked::HasRoom(3, Claim::Stray, true),
            Asked::RecordV4(Stage::Live, key(), stray),
            Asked::CountRecords(3, 1, 1),
            Asked::Backend(2, Some(&backend)),
            Asked::CountListener(3),
            Asked::CountBackend(2),
        ]
    );
}

#[test]
fn the_second_packet_of_a_connection_records_it() {
    let memory = memory(Slot::new(1, 2));
    let backend = backend();
    let flow = Flow { backend: 1, pool: 4, listener: 3, flags: 0, seen: 50, since: 50 };
    let opening = testify(&memory, &tcp(SYN));
    assert!(opening.ends_with(&[
        Asked::HasRoom(3, Claim::Opening, true),
        Asked::RecordV4(Stage::Opening, key(), flow),
        Asked::CountOpening(3, 1),
        Asked::Backend(1, Some(&backend)),
        Asked::CountListener(3),
        Asked::CountBackend(1),
    ]));
    assert!(testify(&memory, &tcp(ACK)).ends_with(&[
        Asked::HasRoom(3, Claim::Live, true),
        Asked::RecordV4(Stage::Live, key(), flow),
        Asked::ForgetV4(Stage::Opening, key(), true),
        Asked::CountRecords(3, 1, 0),
        Asked::Backend(1, Some(&backend)),
        Asked::CountListener(3),
        Asked::CountBackend(1),
    ]));
    let known = testify(&memory, &tcp(ACK));
    assert_eq!(known[7], Asked::FindV4(Stage::Live, key(), Some(flow)));
}

#[test]
fn what_is_not_forwarded_ends_with_its_reason() {
    let memory = memory(Slot::new(0, 0));
    let asked = testify(&memory, &tcp(SYN));
    assert!(asked.ends_with(&[
        Asked::CountDropped(3, Reason::NoBackend),
        Asked::CountReason(Reason::NoBackend)
    ]));
    let other = Memory::default();
    let asked = testify(&other, &tcp(SYN));
    assert_eq!(
        asked,
        [
            Asked::MayBeVipV4(address(2), false),
            Asked::Snat(None),
            Asked::MayBeMemberV4(address(1), false),
            Asked::MayBeMemberV4(address(2), false),
            Asked::CountReason(Reason::NotVip)
        ]
    );
}
