//! The sweep inside the kernel does what the one in memory does: with records of all kinds in all four
//! tables, both leave the same ones, and count and note the same.

use std::collections::BTreeMap;

use elb_common::addr::Be16;
use elb_common::backend::{Backend, backend_flags};
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6, Ports, Stage, flow_flags};
use elb_common::listener::{ListenerPool, algorithm, listener_pool_flags as flags};
use elb_common::names;
use elb_common::path::{Memory, Tables as _};
use elb_common::pool::{Pool, Ring};
use elb_common::ring::Slot;
use elb_common::room;
use elb_common::sweep::{BackendCensus, ListenerCensus};

use crate::fuzz::Random;
use crate::kernel::{Kernel, now};

/// Ids from 1 on; one more of each does not exist.
const POOLS: u16 = 6;
const LISTENERS: u16 = 9;
const BACKENDS: u16 = 7;
/// Slots of each ring.
const SLOTS: u32 = 61;
const IDLE: u32 = 300;
const CLOSED_FOR: u32 = 10;
const RECORDS: usize = 600;
const ROUNDS: u64 = 12;

#[test]
fn the_kernel_sweeps_as_the_host_does() {
    let mut ended = 0;
    for round in 0..ROUNDS {
        let random = &mut Random(0x5eed + round);
        let mut memory = world(random, now());
        fill(random, &memory);
        let mut kernel = kernel(&memory);
        let [openings, live] = kernel.recorded();
        assert_eq!([openings, live], [2 * RECORDS; 2], "round {round}");
        sweep_both(&mut kernel, &memory);
        let [left_openings, left] = kernel.recorded();
        assert!(left > 0 && left < live && left_openings > 0 && left_openings < openings);
        assert!(!memory.written.borrow().seen.is_empty(), "no slot needs its records");
        // A second time there is nothing to remove, and in the end nothing is left.
        sweep_both(&mut kernel, &memory);
        assert_eq!(kernel.recorded(), [left_openings, left]);
        memory.now += 2 * IDLE;
        sweep_both(&mut kernel, &memory);
        assert_eq!(kernel.recorded(), [0, 0]);
        ended += left;
    }
    println!("{ended} records lived through the first sweep");
}

fn sweep_both(kernel: &mut Kernel, memory: &Memory) {
    for id in 0..=BACKENDS + 1 {
        kernel.set(names::BACKEND_CENSUS, id.into(), BackendCensus::default());
    }
    for id in 0..=LISTENERS + 1 {
        kernel.set(names::LISTENER_CENSUS, id.into(), ListenerCensus::default());
    }
    kernel.sweep(memory.now, CLOSED_FOR);
    memory.sweep(CLOSED_FOR);
    compare(kernel, memory);
}

/// Pools with slots in every state, listeners that are there, moved, or gone, and backends that serve
/// flows or do not.
fn world(random: &mut Random, now: u32) -> Memory {
    let mut memory = Memory::with_room(1 << 14, now);
    for id in 1..=POOLS {
        let base = memory.slots.len() as u32;
        let owner = |random: &mut Random| random.below(usize::from(BACKENDS) + 1) as u16;
        let slot = |random: &mut Random| match random.below(3) {
            0 => Slot::new(owner(random), 0),
            1 => Slot::new(owner(random), owner(random)),
            _ => Slot::excepting(owner(random)),
        };
        memory.slots.extend((0..SLOTS).map(|_| slot(random)));
        memory.slots.resize(memory.slots.len().next_multiple_of(16), Slot::default());
        let algorithm =
            random.pick(&[algorithm::FIVE_TUPLE, algorithm::SOURCE, algorithm::CONNECTION_ID]);
        let ring = Ring { base, size: SLOTS, algorithm, ..Ring::default() };
        let flows_since = random.pick(&[0, 0, now - 40]);
        memory.pools.insert(id, Pool { idle_timeout: IDLE, flows_since, ring, ..Pool::default() });
    }
    for id in 1..=LISTENERS {
        let flags = random.pick(&[
            flags::EXISTS,
            flags::EXISTS,
            flags::EXISTS | flags::MOVED,
            flags::MOVED,
        ]);
        let pool = 1 + random.below(POOLS.into()) as u16;
        memory.listener_pools.insert(id, ListenerPool { pool, flags });
    }
    for id in 1..=BACKENDS {
        let flags =
            random.pick(&[backend_flags::ESTABLISHED; 3]) | random.pick(&[0, backend_flags::NEW]);
        let flags = if id == BACKENDS { backend_flags::NEW } else { flags };
        memory.backends.insert(id, Backend { flags, ..Backend::default() });
    }
    memory
}

fn flow(random: &mut Random, now: u32) -> Flow {
    let ages = [0, 1, CLOSED_FOR, CLOSED_FOR + 1, 39, 40, 41, 60, 61, 150, IDLE, IDLE + 1, 4000];
    // As the two clocks are not read at the same time, it may be a second ahead.
    let seen = (now + 1).saturating_sub(random.pick(&ages));
    let flags = [
        flow_flags::COUNTED,
        flow_flags::CLOSED,
        flow_flags::STRAY,
        flow_flags::REFUSED,
        flow_flags::CUT,
    ];
    let flags = flags.into_iter().filter(|_| random.below(3) == 0).fold(0, |all, flag| all | flag);
    Flow {
        backend: 1 + random.below(usize::from(BACKENDS) + 1) as u16,
        pool: 1 + random.below(usize::from(POOLS) + 1) as u16,
        listener: 1 + random.below(usize::from(LISTENERS) + 1) as u16,
        flags,
        seen,
        since: seen.saturating_sub(7),
    }
}

fn ports(random: &mut Random) -> (Ports, u8) {
    let port = |random: &mut Random| Be16::new(random.next() as u16);
    (Ports { source: port(random), destination: port(random) }, random.pick(&[6, 6, 17]))
}

fn key_v4(random: &mut Random, listener: u16) -> FlowKeyV4 {
    let (ports, protocol) = ports(random);
    if random.below(4) == 0 {
        return FlowKeyV4::connection(random.next(), listener);
    }
    let [source, destination] =
        [random.next(), random.next()].map(|word| bytemuck::cast(word as u32));
    FlowKeyV4::new(source, destination, ports, protocol)
}

fn key_v6(random: &mut Random, listener: u16) -> FlowKeyV6 {
    let (ports, protocol) = ports(random);
    if random.below(4) == 0 {
        return FlowKeyV6::connection(random.next(), listener);
    }
    let mut address = || bytemuck::cast([random.next(), random.next()]);
    FlowKeyV6::new(address(), address(), ports, protocol)
}

/// Records in all tables, counted as packets count them.
fn fill(random: &mut Random, memory: &Memory) {
    for stage in [Stage::Opening, Stage::Live] {
        for number in 0..RECORDS {
            let mut flow = flow(random, memory.now);
            // Some listeners, pools and backends belong together.
            if number % 2 == 0 {
                let served = memory.listener_pools.get(&flow.listener);
                flow.pool = served.map_or(flow.pool, |served| served.pool);
            }
            let v4 = key_v4(random, flow.listener);
            let v6 = key_v6(random, flow.listener);
            memory.record_v4(stage, &v4, flow);
            memory.record_v6(stage, &v6, flow);
            if stage == Stage::Live {
                for version in [room::V4, room::V6] {
                    memory.count_records(version, flow.listener, 1, i64::from(flow.is_stray()));
                    if flow.is_counted() {
                        memory.opened(flow.listener, flow.backend);
                    }
                }
            }
        }
    }
}

/// A kernel whose maps hold what the memory does.
fn kernel(memory: &Memory) -> Kernel {
    let mut kernel = Kernel::with_flows(memory, 1 << 14);
    let written = memory.written.borrow();
    let (v4, v6) = (&written.flows_v4, &written.flows_v6);
    for (name, records) in [(names::OPENINGS_V4, &v4.openings), (names::FLOWS_V4, &v4.live)] {
        records.iter().for_each(|(key, flow)| kernel.record(name, *key, *flow));
    }
    for (name, records) in [(names::OPENINGS_V6, &v6.openings), (names::FLOWS_V6, &v6.live)] {
        records.iter().for_each(|(key, flow)| kernel.record(name, *key, *flow));
    }
    for (id, state) in &written.listener_states {
        kernel.set(names::LISTENER_STATES, u32::from(*id), *state);
    }
    for (id, state) in &written.backend_states {
        kernel.set(names::BACKEND_STATES, u32::from(*id), *state);
    }
    kernel
}

/// The same is left, counted and noted in both.
fn compare(kernel: &Kernel, memory: &Memory) {
    let written = memory.written.borrow();
    let raw = |key: &[u8]| key.to_vec();
    let v4 = |records: &std::collections::HashMap<FlowKeyV4, Flow>| -> BTreeMap<Vec<u8>, Flow> {
        records.iter().map(|(key, flow)| (raw(bytemuck::bytes_of(key)), *flow)).collect()
    };
    let v6 = |records: &std::collections::HashMap<FlowKeyV6, Flow>| -> BTreeMap<Vec<u8>, Flow> {
        records.iter().map(|(key, flow)| (raw(bytemuck::bytes_of(key)), *flow)).collect()
    };
    for (name, wanted) in [
        (names::OPENINGS_V4, v4(&written.flows_v4.openings)),
        (names::FLOWS_V4, v4(&written.flows_v4.live)),
        (names::OPENINGS_V6, v6(&written.flows_v6.openings)),
        (names::FLOWS_V6, v6(&written.flows_v6.live)),
    ] {
        let found = if name.ends_with('4') {
            kernel.records::<[u64; 2]>(name)
        } else {
            kernel.records::<[u64; 5]>(name)
        };
        assert_eq!(found.into_iter().collect::<BTreeMap<_, _>>(), wanted, "{name}");
    }
    for id in 0..=BACKENDS + 1 {
        let census: BackendCensus = kernel.element(names::BACKEND_CENSUS, id.into());
        assert_eq!(census, written.backend_census.get(&id).copied().unwrap_or_default(), "{id}");
        let state = written.backend_states.get(&id).copied().unwrap_or_default();
        assert_eq!(kernel.backend_state(id), state, "backend {id}");
        assert_eq!(state.connections, u64::from(census.open), "what is counted lives: {id}");
    }
    for id in 0..=LISTENERS + 1 {
        let census: ListenerCensus = kernel.element(names::LISTENER_CENSUS, id.into());
        assert_eq!(census, written.listener_census.get(&id).copied().unwrap_or_default(), "{id}");
        let state = written.listener_states.get(&id).copied().unwrap_or_default();
        assert_eq!(kernel.listener_state(id), state, "listener {id}");
        let counted = (state.records, state.strays, state.connections);
        let found =
            (census.records.map(u64::from), census.strays.map(u64::from), census.open.into());
        assert_eq!(counted, found, "what is counted lives: {id}");
    }
    for index in 0..memory.slots.len() as u32 {
        let noted = written.seen.get(&index).copied().unwrap_or(0);
        assert_eq!(kernel.slot_seen(index), noted, "slot {index}");
    }
    for (version, table) in written.tables.iter().enumerate() {
        assert_eq!(kernel.table(version), *table, "version {version}");
    }
}
