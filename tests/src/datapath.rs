//! The forwarding program in the kernel, its maps filled from a [`Memory`]: without an agent.

use anyhow::{Context as _, Result};
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use elb_common::counter::Counter;
use elb_common::interface::LinkMac;
use elb_common::path::Memory;
use elb_common::ring::{CHUNK, Chunk};
use elb_common::{limits, names};

use crate::environment::bpf_dir;
use crate::record::{Record, array, hash, per_cpu};

/// Clients that are remembered, of each stage.
const CLIENTS: u32 = 4096;

/// A counter of an object, summed over the CPUs.
pub fn counter(object: &Ebpf, name: &str, index: u32) -> Result<Counter> {
    Ok(per_cpu::<Counter>(object, name, index)?.into_iter().sum())
}

/// Loads the program with rings as large as those of `memory`, and tables for `flows` flows of each
/// version, of which as many find room as `memory` says. Its maps are filled, but for the devices, which
/// depend on a namespace.
pub fn load(memory: &Memory, flows: u32) -> Result<Ebpf> {
    load_program(names::PROGRAM, memory, flows)
}

/// As [`load`], another program of the object.
pub fn load_program(name: &str, memory: &Memory, flows: u32) -> Result<Ebpf> {
    let path = bpf_dir()?.join("elb-xdp");
    let chunks = u32::try_from(memory.slots.len())?.div_ceil(CHUNK).max(1);
    let mut object = EbpfLoader::new()
        .map_max_entries(names::RINGS, chunks)
        .map_max_entries(names::RINGS_SEEN, chunks)
        .map_max_entries(names::OPENINGS_V4, flows.div_ceil(limits::FLOWS_PER_OPENING))
        .map_max_entries(names::OPENINGS_V6, flows.div_ceil(limits::FLOWS_PER_OPENING))
        .map_max_entries(names::CLIENT_OPENINGS, CLIENTS)
        .map_max_entries(names::CLIENTS, CLIENTS)
        .map_max_entries(names::FLOWS_V4, flows)
        .map_max_entries(names::FLOWS_V6, flows)
        .load_file(&path)
        .with_context(|| format!("cannot load {}; this needs root", path.display()))?;
    let program: &mut Xdp =
        object.program_mut(name).context("no such program in elb-xdp")?.try_into()?;
    program.load().context("the kernel refuses the program")?;
    fill(&mut object, memory)?;
    let mut tables = array(&mut object, names::FLOW_TABLES)?;
    for (index, table) in (0..).zip(memory.written.borrow().tables) {
        tables.set(index, Record(table), 0)?;
    }
    Ok(object)
}

/// Writes the maps that an agent writes; what they hold beyond `memory` stays.
pub fn fill(object: &mut Ebpf, memory: &Memory) -> Result<()> {
    for (key, value) in &memory.listeners_v4 {
        hash(object, names::LISTENERS_V4)?.insert(Record(*key), Record(*value), 0)?;
    }
    for (key, value) in &memory.listeners_v6 {
        hash(object, names::LISTENERS_V6)?.insert(Record(*key), Record(*value), 0)?;
    }
    let mut words = array(object, names::VIP_BITS)?;
    for bit in memory.vip_bits() {
        let Record(word): Record<u64> = words.get(&bit.word(), 0)?;
        words.set(bit.word(), Record(word | bit.mask()), 0)?;
    }
    for (key, value) in &memory.vips_v4 {
        hash(object, names::VIPS_V4)?.insert(Record(key.raw()), Record(*value), 0)?;
    }
    for (key, value) in &memory.vips_v6 {
        hash(object, names::VIPS_V6)?.insert(Record(key.raw()), Record(*value), 0)?;
    }
    let mut rings = array(object, names::RINGS)?;
    for (index, slots) in (0..).zip(memory.slots.chunks(CHUNK as usize)) {
        let chunk: Chunk = std::array::from_fn(|i| slots.get(i).map_or(0, |slot| slot.0));
        rings.set(index, Record(chunk), 0)?;
    }
    for (id, pool) in &memory.pools {
        array(object, names::POOLS)?.set(u32::from(*id), Record(*pool), 0)?;
    }
    for (id, listener) in &memory.listener_pools {
        array(object, names::LISTENER_POOLS)?.set(u32::from(*id), Record(*listener), 0)?;
    }
    let known = |(id, _): &(&u16, _)| u32::from(**id) < limits::MAX_BACKENDS;
    for (id, backend) in memory.backends.iter().filter(known) {
        array(object, names::BACKENDS)?.set(u32::from(*id), Record(*backend), 0)?;
    }
    for (key, id) in &memory.servers {
        hash(object, names::SERVER_IDS)?.insert(Record(*key), Record(u32::from(*id)), 0)?;
    }
    for (key, id) in &memory.probes_v4 {
        hash(object, names::PROBES_V4)?.insert(Record(*key), Record(u32::from(*id)), 0)?;
    }
    for (key, id) in &memory.probes_v6 {
        hash(object, names::PROBES_V6)?.insert(Record(*key), Record(u32::from(*id)), 0)?;
    }
    prefixes(object, names::PORT_RANGES, &memory.ranges)?;
    let member = |(bits, key): &(u32, _)| (*bits, *key, MEMBER);
    prefixes(object, names::GROUPS_V4, &memory.groups_v4.iter().map(member).collect::<Vec<_>>())?;
    let member = |(bits, key): &(u32, _)| (*bits, *key, MEMBER);
    prefixes(object, names::GROUPS_V6, &memory.groups_v6.iter().map(member).collect::<Vec<_>>())?;
    for (index, interface) in &memory.interfaces {
        hash(object, names::INTERFACES)?.insert(Record(*index), Record(*interface), 0)?;
        let mac = LinkMac::new(*index, interface.mac);
        array(object, names::INTERFACE_MACS)?.set(LinkMac::place(*index), Record(mac), 0)?;
    }
    for key in &memory.more_macs {
        hash(object, names::MORE_MACS)?.insert(Record(*key), Record(MEMBER), 0)?;
    }
    Ok(())
}

/// Value of an element of an IP group: that it is there.
const MEMBER: u32 = 1;

/// Writes a trie: bits, key and value of each prefix.
fn prefixes<K: bytemuck::Pod, V: bytemuck::Pod>(
    object: &mut Ebpf,
    name: &str,
    entries: &[(u32, K, V)],
) -> Result<()> {
    let map = object.map_mut(name).with_context(|| format!("no map {name}"))?;
    let mut trie: LpmTrie<_, Record<K>, Record<V>> = map.try_into()?;
    for (bits, key, value) in entries {
        trie.insert(&Key::new(*bits, Record(*key)), Record(*value), 0)?;
    }
    Ok(())
}
