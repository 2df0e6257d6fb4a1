//! Records end by silence, by closing and by their pool's changes.

use core::mem::{align_of, size_of};

use std::{vec, vec::Vec};

use super::*;
use crate::addr::Be16;
use crate::backend::{Backend, backend_flags};
use crate::flow::{FlowKeyV4, Ports, flow_flags};
use crate::listener::listener_pool_flags as flags;
use crate::path::{Memory, Tables as _, V4};

const SWEEP: Sweep = Sweep { now: 1000, closed_for: 10, table: 0, reserved: 0 };

fn key(protocol: u8) -> FlowKeyV4 {
    let ports = Ports { source: Be16::new(1000), destination: Be16::new(80) };
    FlowKeyV4::new(bytemuck::cast(1u32), bytemuck::cast(2u32), ports, protocol)
}

fn fate_of(stage: Stage, protocol: u8, flow: Flow, listener: u16) -> Fate {
    let listener = ListenerPool { pool: 5, flags: flags::EXISTS | listener };
    let pool = Pool { idle_timeout: 300, ..Pool::default() };
    fate::<V4>(&SWEEP, stage, &key(protocol), &flow, listener, &pool)
}

#[test]
fn records_end_by_silence_closing_and_the_pools_change() {
    let flow = Flow { pool: 5, seen: 1000, ..Flow::default() };
    let live = |flow, flags| fate_of(Stage::Live, 6, flow, flags);
    assert_eq!(live(Flow { seen: 700, ..flow }, 0), Fate::Lives);
    assert_eq!(live(Flow { seen: 699, ..flow }, 0), Fate::Over);
    let closed = Flow { flags: flow_flags::CLOSED, ..flow };
    assert_eq!(live(Flow { seen: 990, ..closed }, 0), Fate::Lives);
    assert_eq!(live(Flow { seen: 989, ..closed }, 0), Fate::Over);
    let cut = Flow { flags: flow_flags::CLOSED | flow_flags::CUT, ..flow };
    assert_eq!(live(Flow { seen: 700, ..cut }, 0), Fate::Lives);
    assert_eq!(live(Flow { seen: 699, ..cut }, 0), Fate::Over);
    let elsewhere = Flow { pool: 6, ..flow };
    assert_eq!(live(elsewhere, 0), Fate::Over);
    assert_eq!(live(elsewhere, flags::MOVED), Fate::Lives);
}

#[test]
fn connections_stay_half_open_for_a_minute_and_datagrams_are_expected_for_longer() {
    let flow = Flow { pool: 5, seen: 939, ..Flow::default() };
    assert_eq!(fate_of(Stage::Opening, 6, flow, 0), Fate::Over);
    assert_eq!(fate_of(Stage::Opening, 6, Flow { seen: 940, ..flow }, 0), Fate::Lives);
    assert_eq!(fate_of(Stage::Opening, 17, flow, 0), Fate::Lives);
    assert_eq!(fate_of(Stage::Live, 6, flow, 0), Fate::Lives);
}

/// Its listener may serve that pool again, and then go by the slot alone.
#[test]
fn a_slot_needs_records_of_a_listener_that_serves_another_pool_meanwhile() {
    let backend = Backend { flags: backend_flags::ESTABLISHED, ..Backend::default() };
    let needed = |slot: Slot, pool: u16| {
        let mut memory = Memory::with_room(8, 1000);
        memory.slots.extend([Slot::default(), Slot::new(3, 0), slot]);
        for (id, base) in [(5, 1), (6, 2)] {
            let ring = Ring { base, size: 1, ..Ring::default() };
            memory.pools.insert(id, Pool { idle_timeout: 300, ring, ..Pool::default() });
        }
        memory.backends.extend([(3, backend), (4, backend)]);
        let listener = ListenerPool { pool, flags: flags::EXISTS | flags::MOVED };
        memory.listener_pools.insert(1, listener);
        let flow = Flow { backend: 3, pool: 6, listener: 1, seen: 1000, ..Flow::default() };
        memory.record_v4(Stage::Live, &key(6), flow);
        memory.sweep(10);
        memory.written.borrow().seen.keys().copied().collect::<Vec<u32>>()
    };
    assert_eq!([5, 6].map(|pool| needed(Slot::excepting(4), pool)), [[2], [2]]);
    let nothing: [Vec<u32>; 2] = [vec![], vec![]];
    assert_eq!([Slot::excepting(3), Slot::new(4, 0)].map(|slot| needed(slot, 5)), nothing);
}

#[test]
fn a_listener_asks_for_all_records_while_one_is_of_another_pool_or_cut() {
    let moved = |pool: u16, cut: u16| {
        let mut memory = Memory::with_room(8, 1000);
        for id in [5, 6] {
            memory.pools.insert(id, Pool { idle_timeout: 300, ..Pool::default() });
        }
        let backend = Backend { flags: backend_flags::ESTABLISHED, ..Backend::default() };
        memory.backends.insert(3, backend);
        memory
            .listener_pools
            .insert(1, ListenerPool { pool: 5, flags: flags::EXISTS | flags::MOVED });
        let flow = Flow { backend: 3, pool, listener: 1, flags: cut, seen: 1000, since: 1000 };
        memory.record_v4(Stage::Live, &key(6), flow);
        memory.sweep(10);
        memory.written.borrow().listener_census[&1].moved
    };
    let cut = flow_flags::CLOSED | flow_flags::CUT;
    assert_eq!([moved(5, 0), moved(6, 0), moved(5, cut), moved(6, cut)], [0, 1, 1, 1]);
}

#[test]
fn layout() {
    assert_eq!((size_of::<Sweep>(), align_of::<Sweep>()), (16, 4));
    assert_eq!((size_of::<BackendCensus>(), align_of::<BackendCensus>()), (16, 4));
    assert_eq!((size_of::<ListenerCensus>(), align_of::<ListenerCensus>()), (48, 4));
}
