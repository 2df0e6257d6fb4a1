//! Tables that tell what they were asked, and what they answered: how a decision is explained and
//! traced without the packet path knowing.

#[cfg(any(test, feature = "std"))]
use core::cell::RefCell;

use super::Tables;
use crate::addr::{Be32, Be128};
use crate::backend::Backend;
use crate::flow::{Flow, FlowKeyV4, FlowKeyV6};
use crate::interface::Interface;
use crate::listener::{Listener, ListenerKeyV4, ListenerKeyV6, Pool, Vip};
use crate::reason::Reason;
use crate::ring::Slot;

/// A question of the packet path with its answer, or something that it wrote. One variant for each
/// method of [`Tables`], named after it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(missing_docs, reason = "the methods of `Tables` say what each means")]
pub enum Asked<'t> {
    ListenerV4(ListenerKeyV4, Option<&'t Listener>),
    ListenerV6(ListenerKeyV6, Option<&'t Listener>),
    VipV4(Be32, Option<Vip>),
    VipV6(Be128, Option<Vip>),
    Slot(u32, Option<Slot>),
    NoteMoving(u32),
    Pool(u16, Option<Pool>),
    Backend(u16, Option<&'t Backend>),
    FlowV4(FlowKeyV4, Option<u16>),
    FlowV6(FlowKeyV6, Option<u16>),
    RecordV4(FlowKeyV4, Flow),
    RecordV6(FlowKeyV6, Flow),
    Now(u32),
    Interface(u32, Option<Interface>),
    Redirect(u32, bool),
    CountListener(u16),
    CountBackend(u16),
    CountReason(Reason),
}

/// Somebody who is told.
pub trait Note<'t> {
    /// Takes notice of a question and its answer, in their order.
    fn note(&self, asked: Asked<'t>);
}

/// The whole protocol.
#[cfg(any(test, feature = "std"))]
impl<'t> Note<'t> for RefCell<std::vec::Vec<Asked<'t>>> {
    fn note(&self, asked: Asked<'t>) {
        self.borrow_mut().push(asked);
    }
}

/// Tables that pass every question on and tell `note`. What is written reaches the tables, too.
#[derive(Debug)]
pub struct Witness<'t, 'n, T, N> {
    tables: &'t T,
    note: &'n N,
}

impl<'t, 'n, T, N: Note<'t>> Witness<'t, 'n, T, N> {
    /// Stands between the packet path and `tables`.
    #[inline(always)]
    pub const fn new(tables: &'t T, note: &'n N) -> Self {
        Self { tables, note }
    }

    #[inline(always)]
    fn told<A: Copy>(&self, answer: A, asked: impl FnOnce(A) -> Asked<'t>) -> A {
        self.note.note(asked(answer));
        answer
    }
}

impl<'t, T: Tables, N: Note<'t>> Tables for Witness<'t, '_, T, N> {
    #[inline(always)]
    fn listener_v4(&self, key: &ListenerKeyV4) -> Option<&Listener> {
        self.told(self.tables.listener_v4(key), |answer| Asked::ListenerV4(*key, answer))
    }
    #[inline(always)]
    fn listener_v6(&self, key: &ListenerKeyV6) -> Option<&Listener> {
        self.told(self.tables.listener_v6(key), |answer| Asked::ListenerV6(*key, answer))
    }
    #[inline(always)]
    fn vip_v4(&self, address: Be32) -> Option<Vip> {
        self.told(self.tables.vip_v4(address), |answer| Asked::VipV4(address, answer))
    }
    #[inline(always)]
    fn vip_v6(&self, address: Be128) -> Option<Vip> {
        self.told(self.tables.vip_v6(address), |answer| Asked::VipV6(address, answer))
    }
    #[inline(always)]
    fn slot(&self, index: u32) -> Option<Slot> {
        self.told(self.tables.slot(index), |answer| Asked::Slot(index, answer))
    }
    #[inline(always)]
    fn note_moving(&self, index: u32, now: u32) {
        self.tables.note_moving(index, now);
        self.note.note(Asked::NoteMoving(index));
    }
    #[inline(always)]
    fn pool(&self, id: u16) -> Option<Pool> {
        self.told(self.tables.pool(id), |answer| Asked::Pool(id, answer))
    }
    #[inline(always)]
    fn backend(&self, id: u16) -> Option<&Backend> {
        self.told(self.tables.backend(id), |answer| Asked::Backend(id, answer))
    }
    #[inline(always)]
    fn flow_v4(&self, key: &FlowKeyV4, now: u32) -> Option<u16> {
        self.told(self.tables.flow_v4(key, now), |answer| Asked::FlowV4(*key, answer))
    }
    #[inline(always)]
    fn flow_v6(&self, key: &FlowKeyV6, now: u32) -> Option<u16> {
        self.told(self.tables.flow_v6(key, now), |answer| Asked::FlowV6(*key, answer))
    }
    #[inline(always)]
    fn record_v4(&self, key: &FlowKeyV4, flow: Flow) {
        self.tables.record_v4(key, flow);
        self.note.note(Asked::RecordV4(*key, flow));
    }
    #[inline(always)]
    fn record_v6(&self, key: &FlowKeyV6, flow: Flow) {
        self.tables.record_v6(key, flow);
        self.note.note(Asked::RecordV6(*key, flow));
    }
    #[inline(always)]
    fn now(&self) -> u32 {
        self.told(self.tables.now(), Asked::Now)
    }
    #[inline(always)]
    fn interface(&self, index: u32) -> Option<Interface> {
        self.told(self.tables.interface(index), |answer| Asked::Interface(index, answer))
    }
    #[inline(always)]
    fn redirect(&self, ifindex: u32) -> bool {
        self.told(self.tables.redirect(ifindex), |answer| Asked::Redirect(ifindex, answer))
    }
    #[inline(always)]
    fn count_listener(&self, id: u16, bytes: u64) {
        self.tables.count_listener(id, bytes);
        self.note.note(Asked::CountListener(id));
    }
    #[inline(always)]
    fn count_backend(&self, id: u16, bytes: u64) {
        self.tables.count_backend(id, bytes);
        self.note.note(Asked::CountBackend(id));
    }
    #[inline(always)]
    fn count_reason(&self, reason: Reason, bytes: u64) {
        self.tables.count_reason(reason, bytes);
        self.note.note(Asked::CountReason(reason));
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{Ethernet, Ipv4, Tcp};
    use super::super::{Frame, Memory, Outcome, process};
    use super::*;
    use crate::addr::{Be16, Mac};
    use crate::backend::{backend_flags, mode};
    use crate::ring;
    use network_types::eth::EtherType;
    use std::vec::Vec;

    const INGRESS: u32 = 7;
    const SYN: u8 = 2;
    const ACK: u8 = 16;

    fn address(last: u8) -> Be32 {
        bytemuck::cast([10u8, 0, 0, last])
    }

    /// A TCP packet from 10.0.0.1:1000 to 10.0.0.2:80.
    fn tcp(flags: u8) -> Vec<u8> {
        let ethertype = Be16::from_raw(EtherType::Ipv4 as u16);
        let ethernet =
            Ethernet { destination: Mac::new([2; 6]), source: Mac::new([4; 6]), ethertype };
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
        let parts =
            [bytemuck::bytes_of(&ethernet), bytemuck::bytes_of(&ip), bytemuck::bytes_of(&tcp)];
        let mut frame = parts.concat();
        frame.resize(54, 0);
        frame
    }

    fn backend() -> Backend {
        let flags = backend_flags::REACHABLE | backend_flags::ESTABLISHED;
        Backend { mode: mode::L2, flags, mtu: 1500, ifindex: INGRESS, ..Backend::default() }
    }

    /// A listener with a ring of sixteen slots, all alike, and backends 1 and 2.
    fn memory(slot: Slot) -> Memory {
        let mut memory = Memory { now: 50, slots: [slot; 16].into(), ..Memory::default() };
        let key = ListenerKeyV4::new(address(2), Be16::new(80), 6);
        let listener = Listener { ring_size: 16, id: 3, pool: 4, ..Listener::default() };
        memory.listeners_v4.insert(key, listener);
        memory.backends.extend([(1, backend()), (2, backend())]);
        memory
    }

    /// Outcome and bytes with a witness and without, and what the witness tells.
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
                Asked::ListenerV4(*listener.0, Some(listener.1)),
                Asked::Slot(index, Some(Slot::new(1, 0))),
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
        let backend = backend();
        assert_eq!(
            testify(&memory, &tcp(ACK))[2..],
            [
                Asked::Now(50),
                Asked::FlowV4(key(), None),
                Asked::Backend(2, Some(&backend)),
                Asked::NoteMoving(index),
                Asked::Backend(2, Some(&backend)),
                Asked::CountListener(3),
                Asked::CountBackend(2),
            ]
        );
        assert_eq!(
            testify(&memory, &tcp(SYN))[2..4],
            [Asked::Now(50), Asked::RecordV4(key(), Flow { backend: 1, seen: 50 })]
        );
        assert_eq!(testify(&memory, &tcp(ACK))[3], Asked::FlowV4(key(), Some(1)));
    }

    #[test]
    fn what_is_not_forwarded_ends_with_its_reason() {
        let memory = memory(Slot::new(0, 0));
        let asked = testify(&memory, &tcp(SYN));
        assert_eq!(asked.last(), Some(&Asked::CountReason(Reason::NoBackend)));
        let other = Memory::default();
        let asked = testify(&other, &tcp(SYN));
        assert_eq!(
            asked[1..],
            [Asked::VipV4(address(2), None), Asked::CountReason(Reason::NotVip)]
        );
    }
}
