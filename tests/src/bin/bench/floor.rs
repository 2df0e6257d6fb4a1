//! The floor: look-ups and encapsulation, and nothing else.

use anyhow::Result;
use aya::Ebpf;
use aya::maps::Array;
use elb_common::ring::{CHUNK, Chunk};
use elb_tests::record::{Record, array, hash};
use elb_tests_ebpf::bench::{FLOOR, FLOOR_BACKENDS, FLOOR_LISTENERS, FLOOR_RINGS};

use crate::turns;
use crate::world;

/// Loads the program and fills its maps.
pub fn load() -> Result<Ebpf> {
    let mut floor = turns::load("bench-floor", &[FLOOR])?;
    let world::Floor { key, listener, slots, backends } = world::floor();
    hash(&mut floor, FLOOR_LISTENERS)?.insert(Record(key), Record(listener), 0)?;
    let mut rings: Array<_, Record<Chunk>> = array(&mut floor, FLOOR_RINGS)?;
    for (index, slots) in (0..).zip(slots.chunks(CHUNK as usize)) {
        let chunk = std::array::from_fn(|i| slots.get(i).map_or(0, |slot| u32::from(slot.cur())));
        rings.set(index, Record(chunk), 0)?;
    }
    let mut records = array(&mut floor, FLOOR_BACKENDS)?;
    for (id, backend) in backends {
        records.set(u32::from(id), Record(backend), 0)?;
    }
    Ok(floor)
}
