//! The forwarding program in the kernel, its maps filled from a [`Memory`]: without an agent.

use anyhow::{Context as _, Result};
use aya::maps::lpm_trie::{Key, LpmTrie};
use aya::programs::Xdp;
use aya::{Ebpf, EbpfLoader};
use elb_common::client_hop::{BITS_V4, BITS_V6, ClientBit};
use elb_common::counter::Counter;
use elb_common::interface::LinkMac;
use elb_common::path::Memory;
use elb_common::ring::{CHUNK, Chunk};
use elb_common::vip_bits::VipBit;
use elb_common::{limits, names, snat};

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
    load_from("elb-xdp", name, memory, flows)
}

/// As [`load`], the program of an object with the same maps.
pub fn load_from(object: &str, name: &str, memory: &Memory, flows: u32) -> Result<Ebpf> {
    let path = bpf_dir()?.join(object);
    let chunks = u32::try_from(memory.slots.len())?.div_ceil(CHUNK).max(1);
    let mut object = EbpfLoader::new()
        .map_max_entries(names::RINGS, chunks)
        .map_max_entries(names::RINGS_SEEN, chunks)
        .map_max_entries(names::OPENINGS_V4, flows.div_ceil(limits::FLOWS_PER_OPENING))
        .map_max_entries(names::OPENINGS_V6, flows.div_ceil(limits::FLOWS_PER_OPENING))
        .map_max_entries(names::CLIENT_OPENINGS, CLIENTS)
        .map_max_entries(names::CLIENTS, CLIENTS)
        .map_max_entries(names::BINDINGS_V4, bindings(memory))
        .map_max_entries(names::FLOWS_V4, flows)
        .map_max_entries(names::FLOWS_V6, flows)
        .load_file(&path)
        .with_context(|| format!("cannot load {}; this needs root", path.display()))?;
    let program: &mut Xdp =
        object.program_mut(name).with_context(|| format!("no program {name}"))?.try_into()?;
    program.load().context("the kernel refuses the program")?;
    fill(&mut object, memory)?;
    let mut tables = array(&mut object, names::FLOW_TABLES)?;
    for (index, table) in (0..).zip(memory.written.borrow().tables) {
        tables.set(index, Record(table), 0)?;
    }
    Ok(object)
}

/// How many buckets there are: at least one, since a map has at least one element.
fn bindings(memory: &Memory) -> u32 {
    memory.snat.map_or(1, |snat| snat.addresses * snat::BUCKETS)
}

/// Writes the maps that an agent writes; what they hold beyond `memory` stays.
pub fn fill(object: &mut Ebpf, memory: &Memory) -> Result<()> {
    for (key, value) in &memory.listeners_v4 {
        hash(object, names::LISTENERS_V4)?.insert(Record(*key), Record(*value), 0)?;
    }
    for (key, value) in &memory.listeners_v6 {
        hash(object, names::LISTENERS_V6)?.insert(Record(*key), Record(*value), 0)?;
    }
    for bit in memory.vip_bits() {
        set_bit(object, names::VIP_BITS, bit.word(), bit.mask())?;
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
    replies(object, memory)?;
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

/// Writes what packets are translated back by.
fn replies(object: &mut Ebpf, memory: &Memory) -> Result<()> {
    for (key, value) in &memory.replies_v4 {
        hash(object, names::REPLIES_V4)?.insert(Record(*key), Record(*value), 0)?;
    }
    for (key, value) in &memory.replies_v6 {
        hash(object, names::REPLIES_V6)?.insert(Record(*key), Record(*value), 0)?;
    }
    let v4 = memory.replies_v4.keys().map(|key| VipBit::v4(key.address()));
    let v6 = memory.replies_v6.keys().map(|key| VipBit::v6(key.address()));
    for bit in v4.chain(v6) {
        set_bit(object, names::MEMBER_BITS, bit.word(), bit.mask())?;
    }
    if let Some(snat) = memory.snat {
        array(object, names::SNAT)?.set(0, Record(snat), 0)?;
    }
    for (id, endpoint) in &memory.endpoints {
        array(object, names::LISTENER_ENDPOINTS)?.set(u32::from(*id), Record(*endpoint), 0)?;
    }
    for (index, hop) in (0..).zip(memory.client_defaults) {
        array(object, names::CLIENT_DEFAULTS)?.set(index, Record(hop), 0)?;
    }
    let routes = memory.client_routes_v4.iter();
    let routes: Vec<_> = routes.map(|(bits, key, hop)| (*bits, key.raw(), *hop)).collect();
    prefixes(object, names::CLIENT_ROUTES_V4, &routes)?;
    let routes = memory.client_routes_v6.iter();
    let routes: Vec<_> = routes.map(|(bits, key, hop)| (*bits, key.words(), *hop)).collect();
    prefixes(object, names::CLIENT_ROUTES_V6, &routes)?;
    for (bits, address, _) in &memory.client_routes_v4 {
        assert!(*bits >= BITS_V4, "a test's route has a bit of its own");
        let bit = ClientBit::v4(*address);
        set_bit(object, names::CLIENT_ROUTE_BITS, bit.word(), bit.mask())?;
    }
    for (bits, address, _) in &memory.client_routes_v6 {
        assert!(*bits >= BITS_V6, "a test's route has a bit of its own");
        let bit = ClientBit::v6(*address);
        set_bit(object, names::CLIENT_ROUTE_BITS, bit.word(), bit.mask())?;
    }
    Ok(())
}

fn set_bit(object: &mut Ebpf, name: &str, word: u32, mask: u64) -> Result<()> {
    let mut words = array(object, name)?;
    let Record(before): Record<u64> = words.get(&word, 0)?;
    words.set(word, Record(before | mask), 0)?;
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
