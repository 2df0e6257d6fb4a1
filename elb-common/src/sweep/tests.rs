//! Records end by silence, by closing and by their pool's changes.

use core::mem::{align_of, size_of};

use super::*;
use crate::addr::Be16;
use crate::flow::{FlowKeyV4, Ports, flow_flags};
use crate::listener::listener_pool_flags as flags;
use crate::path::V4;

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

#[test]
fn layout() {
    assert_eq!((size_of::<Sweep>(), align_of::<Sweep>()), (16, 4));
    assert_eq!((size_of::<BackendCensus>(), align_of::<BackendCensus>()), (16, 4));
    assert_eq!((size_of::<ListenerCensus>(), align_of::<ListenerCensus>()), (48, 4));
}
