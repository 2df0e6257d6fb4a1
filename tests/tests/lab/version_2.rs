//! Maps of ABI version 2, as the release before left them: traffic never notices who takes over.
//!
//! The maps of a present agent are written down once more as that version had them (flows without listener
//! and pool, shorter records), with its links, and its own are taken away: the program goes on, as an old
//! one would, and the next agent finds what it would find after an upgrade.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use aya::{
    Pod,
    maps::{Array, HashMap, LpmTrie, Map, MapData, PerCpuArray},
};
use elb_common::{
    flow::{Flow, FlowKeyV4},
    interface::Settings,
    listener::Listener,
    names::{self, ABI_VERSION},
    pool::Pool,
};
use elb_tests::{client::HeldConnections, status, wait::wait_for};

use crate::scene::{LIMIT, wait_until_serving};
use crate::taking_over::{folders, moving};

const BPF_F_MMAPABLE: u32 = 1 << 10;
const BPF_F_NO_PREALLOC: u32 = 1;

#[test]
fn version_2_is_taken_over() -> Result<()> {
    for algorithm in ["5_TUPLE_HASH", "ROUND_ROBIN"] {
        taken_over(algorithm)?;
    }
    Ok(())
}

fn taken_over(algorithm: &str) -> Result<()> {
    let mut scene = moving(algorithm)?;
    let pins = scene.config.agent.pin_dir.clone();
    let beat = std::time::Duration::from_millis(20);
    let held = HeldConnections::open(scene.lab.client(), scene.echo(), 200, beat)?;
    let rings = scene.rings()?;
    let goes_on = |what: &str| {
        let before = held.so_far();
        wait_for(what, LIMIT, || Ok(held.so_far().is_beyond(&before, 5).then_some(())))
    };
    goes_on("answers before")?;
    let recorded = records(&pins.join(format!("v{ABI_VERSION}")))?;
    assert!(recorded.len() >= 50, "{algorithm}: {} flows are recorded", recorded.len());

    scene.agent.kill()?;
    write_down(&pins.join(format!("v{ABI_VERSION}")), &pins.join("v2"))?;
    assert_eq!(folders(&pins)?, ["v2"]);
    // It was written with that version, too.
    let saved = scene.config.agent.state().join("numbers.json");
    fs::remove_file(saved)?;
    goes_on("answers by the old program")?;

    scene.agent.restart()?;
    assert_eq!(folders(&pins)?, [format!("v{ABI_VERSION}")]);
    goes_on("answers by the new program")?;
    wait_until_serving(&scene.agent)?;
    assert!(scene.rings()? == rings, "slots have changed their owners");
    let now = records(&pins.join(format!("v{ABI_VERSION}")))?;
    for (key, flow) in recorded {
        let found = now.iter().find(|(other, _)| *other == key);
        let (_, found) = found.with_context(|| format!("{key:?} is not recorded"))?;
        let who = |flow: &Flow| (flow.backend, flow.pool, flow.listener);
        assert_eq!(who(found), who(&flow), "{key:?}");
    }
    let report = held.stop()?;
    assert_eq!(report.broken().len(), 0, "{algorithm}: {:?}", report.broken());
    assert_eq!(scene.request(200)?.answered(), 200);
    assert_eq!(status::drops(&scene.agent.status()?), Vec::<String>::new());
    Ok(())
}

/// Any bytes.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Bytes<const N: usize>([u8; N]);

// SAFETY: bytes have neither padding nor invalid values.
unsafe impl<const N: usize> Pod for Bytes<N> {}

type Hash<const K: usize, const V: usize> = HashMap<MapData, Bytes<K>, Bytes<V>>;

fn pinned(folder: &Path, name: &str) -> Result<MapData> {
    let pin = folder.join(name);
    MapData::from_pin(&pin).with_context(|| pin.display().to_string())
}

/// The flows that live.
fn records(folder: &Path) -> Result<Vec<(FlowKeyV4, Flow)>> {
    let flows: Hash<16, 16> = Map::LruHashMap(pinned(folder, names::FLOWS_V4)?).try_into()?;
    let read = |entry: Result<(Bytes<16>, Bytes<16>), _>| {
        let (key, flow) = entry?;
        Ok((bytemuck::pod_read_unaligned(&key.0), bytemuck::pod_read_unaligned(&flow.0)))
    };
    flows.iter().map(read).collect()
}

/// Writes the maps of `from` down as version 2 had them, and takes them away.
fn write_down(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    let same = |value: Bytes<64>| value;
    for name in [names::RINGS, names::RINGS_SEEN] {
        array(from, to, name, BPF_F_MMAPABLE, same)?;
    }
    array(from, to, names::BACKENDS, 0, same)?;
    array(from, to, names::BACKENDS_NAMED, 0, |value: Bytes<4>| value)?;
    array(from, to, names::LISTENER_STATES, BPF_F_MMAPABLE, |value: Bytes<64>| {
        first::<64, 16>(value)
    })?;
    array(from, to, names::BACKEND_STATES, BPF_F_MMAPABLE, |value: Bytes<16>| {
        first::<16, 8>(value)
    })?;
    array(from, to, names::POOL_STATES, 0, |value: Bytes<16>| first::<16, 8>(value))?;
    array(from, to, names::POOLS, 0, pool)?;
    array(from, to, names::SETTINGS, 0, |_: Bytes<8>| {
        let settings = Settings { abi_version: 2, records: 0 };
        Bytes(bytemuck::cast::<Settings, [u8; 8]>(settings))
    })?;
    hash(from, to, names::LISTENERS_V4, Map::HashMap, |key: Bytes<8>, value| {
        (key, listener(value))
    })?;
    hash(from, to, names::LISTENERS_V6, Map::HashMap, |key: Bytes<24>, value| {
        (key, listener(value))
    })?;
    hash(from, to, names::VIPS_V4, Map::HashMap, |key: Bytes<4>, value: Bytes<8>| (key, value))?;
    hash(from, to, names::VIPS_V6, Map::HashMap, |key: Bytes<16>, value: Bytes<8>| (key, value))?;
    hash(from, to, names::SERVER_IDS, Map::HashMap, |key: Bytes<16>, value: Bytes<4>| {
        (key, value)
    })?;
    hash(from, to, names::INTERFACES, Map::HashMap, |key: Bytes<4>, value: Bytes<10>| {
        (key, first::<10, 8>(value))
    })?;
    hash(from, to, names::FLOWS_V4, Map::LruHashMap, |key: Bytes<16>, value| (key, flow(value)))?;
    hash(from, to, names::FLOWS_V6, Map::LruHashMap, |key: Bytes<40>, value| (key, flow(value)))?;
    LpmTrie::<_, Bytes<8>, Bytes<32>>::create(64, BPF_F_NO_PREALLOC)?
        .pin(to.join(names::PORT_RANGES))?;
    for name in [names::LISTENER_COUNTERS, names::BACKEND_COUNTERS, names::REASON_COUNTERS] {
        let counters: PerCpuArray<_, Bytes<16>> =
            Map::PerCpuArray(pinned(from, name)?).try_into()?;
        PerCpuArray::<_, Bytes<16>>::create(counters.len(), 0)?.pin(to.join(name))?;
    }
    // As version 2 had them: keys and values are the same.
    for name in [names::DEVMAP, names::GROUPS_V4, names::GROUPS_V6] {
        fs::hard_link(from.join(name), to.join(name))?;
    }
    for entry in fs::read_dir(from)? {
        let pin = entry?.path();
        let name = pin.file_name().context("a pin has a name")?.to_string_lossy().into_owned();
        if name.starts_with("link-") {
            fs::hard_link(&pin, to.join(name))?;
        }
        fs::remove_file(pin)?;
    }
    Ok(fs::remove_dir(from)?)
}

fn array<const V: usize, const W: usize>(
    from: &Path,
    to: &Path,
    name: &str,
    flags: u32,
    convert: impl Fn(Bytes<V>) -> Bytes<W>,
) -> Result<()> {
    let old: Array<_, Bytes<V>> = Map::Array(pinned(from, name)?).try_into()?;
    let mut new = Array::<_, Bytes<W>>::create(old.len(), flags)?;
    for index in 0..old.len() {
        let value = convert(old.get(&index, 0)?);
        if value.0 != [0; W] {
            new.set(index, value, 0)?;
        }
    }
    Ok(new.pin(to.join(name))?)
}

fn hash<const K: usize, const V: usize, const W: usize>(
    from: &Path,
    to: &Path,
    name: &str,
    kind: fn(MapData) -> Map,
    convert: impl Fn(Bytes<K>, Bytes<V>) -> (Bytes<K>, Bytes<W>),
) -> Result<()> {
    let old = pinned(from, name)?;
    let entries = old.info()?.max_entries();
    let old: Hash<K, V> = kind(old).try_into()?;
    let mut new = HashMap::<_, Bytes<K>, Bytes<W>>::create(entries, BPF_F_NO_PREALLOC)?;
    for entry in old.iter() {
        let (key, value) = entry?;
        let (key, value) = convert(key, value);
        new.insert(key, value, 0)?;
    }
    Ok(new.pin(to.join(name))?)
}

fn first<const V: usize, const W: usize>(value: Bytes<V>) -> Bytes<W> {
    let mut first = [0; W];
    first.copy_from_slice(&value.0[..W]);
    Bytes(first)
}

/// Backend, flags, when it was last seen. Bit 0 of the flags meant what it means.
fn flow(value: Bytes<16>) -> Bytes<8> {
    let flow: Flow = bytemuck::pod_read_unaligned(&value.0);
    let mut bytes = [0; 8];
    bytes[..2].copy_from_slice(&flow.backend.to_ne_bytes());
    bytes[2..4].copy_from_slice(&(flow.flags & 1).to_ne_bytes());
    bytes[4..].copy_from_slice(&flow.seen.to_ne_bytes());
    Bytes(bytes)
}

/// All up to the limit of connections, then a budget.
fn listener(value: Bytes<{ size_of::<Listener>() }>) -> Bytes<32> {
    let listener: Listener = bytemuck::pod_read_unaligned(&value.0);
    let mut bytes = [0; 32];
    let words = [
        listener.ring_base.to_ne_bytes(),
        listener.ring_size.to_ne_bytes(),
        pair(listener.id, listener.pool),
        pair(listener.flags, listener.algorithm),
        pair(listener.group, bytemuck::cast(listener.cid)),
        listener.cps.to_ne_bytes(),
        listener.max_connections.to_ne_bytes(),
        1_747u32.to_ne_bytes(),
    ];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word);
    }
    Bytes(bytes)
}

fn pair(a: u16, b: u16) -> [u8; 4] {
    bytemuck::cast([a, b])
}

/// Three seconds, then the former ring; the present one stood with the listeners only.
fn pool(value: Bytes<{ size_of::<Pool>() }>) -> Bytes<24> {
    let pool: Pool = bytemuck::pod_read_unaligned(&value.0);
    let former = [pool.former.base, pool.former.size];
    let rest = [pool.former.algorithm, bytemuck::cast(pool.former.cid)];
    let mut words = [0u32; 6];
    words[..3].copy_from_slice(&[pool.udp_hold_until, pool.idle_timeout, pool.flows_since]);
    words[3..5].copy_from_slice(&former);
    words[5] = bytemuck::cast(rest);
    Bytes(bytemuck::cast(words))
}
