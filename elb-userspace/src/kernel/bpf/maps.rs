//! Typed access to the pinned maps.

mod live;
mod lookups;
mod sockets;

pub use live::Live;

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use aya::Ebpf;
use aya::maps::xdp::{DevMapHash, XdpMapError};
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;
use elb_common::addr::{Be16, Be32, Be128};
use elb_common::admission::{BackendState, ListenerState, connections};
use elb_common::backend::Backend;
use elb_common::counter::Counter;
use elb_common::flow::Flow;
use elb_common::interface::{Interface, LinkMac, MacKey, Settings};
use elb_common::listener::{Listener, ListenerKeyV4, ListenerKeyV6, ListenerPool, Vip};
use elb_common::pool::Pool;
use elb_common::quic::ServerIdKey;
use elb_common::reason::Reason;
use elb_common::ring::{CHUNK, Slot};
use elb_common::vip_bits::VIP_WORDS;
use elb_common::{limits, names};
use thiserror::Error;

use self::lookups::Lookups;
use super::object::{Capacity, Object};
use super::pins;
use super::record::Record;
use super::rings::Rings;
use super::tries::Tries;
use crate::control::flow_key::Key as FlowKey;
use crate::control::plan::{Command, Image, ListenerKey, Region, Store, plan};
use crate::control::ring::region::States;

/// Why a map could not be read or written.
#[derive(Debug, Error)]
#[error("map {map}: {error}{hint}")]
pub struct MapError {
    map: &'static str,
    hint: &'static str,
    error: aya::maps::MapError,
}

type MapHash<K, V> = HashMap<MapData, Record<K>, Record<V>>;
type MapArray<V> = Array<MapData, Record<V>>;
type MapCounters = PerCpuArray<MapData, Record<Counter>>;

/// The maps of the forwarding program.
pub struct Maps {
    settings: MapArray<Settings>,
    listeners_v4: MapHash<ListenerKeyV4, Listener>,
    listeners_v6: MapHash<ListenerKeyV6, Listener>,
    vip_bits: Array<MapData, u64>,
    vips_v4: MapHash<u32, Vip>,
    vips_v6: MapHash<[u32; 4], Vip>,
    tries: Tries,
    listener_states: MapArray<ListenerState>,
    listener_pools: MapArray<ListenerPool>,
    backend_states: MapArray<BackendState>,
    named: Array<MapData, u32>,
    pools: MapArray<Pool>,
    backends: MapArray<Backend>,
    servers: MapHash<ServerIdKey, u32>,
    interfaces: MapHash<u32, Interface>,
    interface_macs: MapArray<LinkMac>,
    more_macs: MapHash<MacKey, u32>,
    devices: DevMapHash<MapData>,
    listener_counters: MapCounters,
    backend_counters: MapCounters,
    reason_counters: MapCounters,
    opened: PerCpuArray<MapData, u64>,
    lookups: Lookups,
    rings: Rings,
    /// Their sizes.
    pub capacity: Capacity,
    /// The kernel's id of `RINGS`: it tells whether a saved state belongs to these maps.
    pub generation: u32,
}

fn is_settable(map: &str) -> bool {
    [names::LISTENERS_V4, names::LISTENERS_V6].contains(&map)
}

fn no_memory(error: &aya::maps::MapError) -> bool {
    matches!(error, aya::maps::MapError::SyscallError(e)
        if e.io_error.raw_os_error() == Some(libc::ENOMEM))
}

pub(super) fn at(map: &'static str) -> impl Fn(aya::maps::MapError) -> MapError {
    move |error| {
        let full = matches!(&error, aya::maps::MapError::SyscallError(e)
            if matches!(e.io_error.raw_os_error(), Some(libc::E2BIG | libc::ENOSPC)));
        let hint = match full {
            true if is_settable(map) => "; the map is full: raise its size in [agent] and reload",
            true => "; the map is full, and its size is fixed: `elb check` says what has no room",
            false if no_memory(&error) => {
                "; the kernel has no memory for it: raise MemoryMax= of the service, or free some"
            }
            false => "",
        };
        MapError { map, hint, error }
    }
}

fn is_absent(error: &aya::maps::MapError) -> bool {
    use aya::maps::MapError::{KeyNotFound, SyscallError};
    if let SyscallError(error) = error {
        return error.io_error.raw_os_error() == Some(libc::ENOENT);
    }
    matches!(error, KeyNotFound)
}

pub(super) fn take<T: TryFrom<Map, Error = aya::maps::MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, MapError> {
    let map = ebpf.take_map(name).expect("the embedded object has the map; the tests load it");
    T::try_from(map).map_err(at(name))
}

/// A map that is used through shared memory.
pub(super) fn array(ebpf: &mut Ebpf, name: &str) -> MapData {
    match ebpf.take_map(name) {
        Some(Map::Array(data)) => data,
        _ => unreachable!("the embedded object has the array {name}; the tests load it"),
    }
}

impl Maps {
    /// Takes the maps of a loaded object and notes the ABI version in them.
    ///
    /// # Errors
    /// A map cannot be read, written or mapped.
    pub fn new(object: &mut Object, capacity: Capacity) -> io::Result<Self> {
        Self::try_new(object, capacity).map_err(io::Error::other)
    }

    fn try_new(
        object: &mut Object,
        capacity: Capacity,
    ) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        let lookups = Lookups::open(&object.directory)?;
        let ebpf = &mut object.ebpf;
        let (slots, seen) = (array(ebpf, names::RINGS), array(ebpf, names::RINGS_SEEN));
        let rings = Rings::new(slots.fd(), seen.fd(), capacity.chunks)?;
        let generation = slots.info()?.id();
        let mut maps = Self {
            settings: take(ebpf, names::SETTINGS)?,
            listeners_v4: take(ebpf, names::LISTENERS_V4)?,
            listeners_v6: take(ebpf, names::LISTENERS_V6)?,
            vip_bits: take(ebpf, names::VIP_BITS)?,
            vips_v4: take(ebpf, names::VIPS_V4)?,
            vips_v6: take(ebpf, names::VIPS_V6)?,
            tries: Tries::take(ebpf)?,
            listener_states: take(ebpf, names::LISTENER_STATES)?,
            listener_pools: take(ebpf, names::LISTENER_POOLS)?,
            backend_states: take(ebpf, names::BACKEND_STATES)?,
            named: take(ebpf, names::BACKENDS_NAMED)?,
            pools: take(ebpf, names::POOLS)?,
            backends: take(ebpf, names::BACKENDS)?,
            servers: take(ebpf, names::SERVER_IDS)?,
            interfaces: take(ebpf, names::INTERFACES)?,
            interface_macs: take(ebpf, names::INTERFACE_MACS)?,
            more_macs: take(ebpf, names::MORE_MACS)?,
            devices: take(ebpf, names::DEVMAP)?,
            listener_counters: take(ebpf, names::LISTENER_COUNTERS)?,
            backend_counters: take(ebpf, names::BACKEND_COUNTERS)?,
            reason_counters: take(ebpf, names::REASON_COUNTERS)?,
            opened: take(ebpf, names::BACKEND_OPENED)?,
            lookups,
            rings,
            capacity,
            generation,
        };
        let settings = Settings { abi_version: pins::version(), records: names::RECORDS };
        maps.settings.set(0, Record(settings), 0)?;
        Ok(maps)
    }

    /// Whether they can be read, as far as one shows that.
    ///
    /// # Errors
    /// It cannot.
    pub fn test(&self) -> Result<(), MapError> {
        self.settings.get(&0, 0).map(drop).map_err(at(names::SETTINGS))
    }

    /// What the small maps hold: how a new agent learns what an earlier one left.
    ///
    /// # Errors
    /// A map cannot be read.
    pub fn image(&self) -> Result<Image, MapError> {
        let mut image = Image::default();
        for entry in self.listeners_v4.iter() {
            let (key, value) = entry.map_err(at(names::LISTENERS_V4))?;
            let [a, b, c, d, high, low, protocol, _]: [u8; 8] = bytemuck::cast(key.0);
            let address = IpAddr::from([a, b, c, d]);
            let port = u16::from_be_bytes([high, low]);
            image.listeners.insert(ListenerKey { address, port, protocol }, value.0);
        }
        for entry in self.listeners_v6.iter() {
            let (key, value) = entry.map_err(at(names::LISTENERS_V6))?;
            let bytes: [u8; 24] = bytemuck::cast(key.0);
            let mut address = [0; 16];
            address.copy_from_slice(&bytes[..16]);
            let port = u16::from_be_bytes([bytes[16], bytes[17]]);
            let key = ListenerKey { address: address.into(), port, protocol: bytes[18] };
            image.listeners.insert(key, value.0);
        }
        for index in 0..VIP_WORDS {
            let word = self.vip_bits.get(&index, 0).map_err(at(names::VIP_BITS))?;
            if word != 0 {
                image.vip_bits.insert(index, word);
            }
        }
        for entry in self.vips_v4.iter() {
            let (key, value) = entry.map_err(at(names::VIPS_V4))?;
            image.vips.insert(key.0.to_ne_bytes().into(), value.0);
        }
        for entry in self.vips_v6.iter() {
            let (key, value) = entry.map_err(at(names::VIPS_V6))?;
            let address: [u8; 16] = bytemuck::cast(key.0);
            image.vips.insert(address.into(), value.0);
        }
        self.tries.read(&mut image)?;
        for entry in self.interfaces.iter() {
            let (key, value) = entry.map_err(at(names::INTERFACES))?;
            image.interfaces.insert(key.0, value.0);
        }
        for entry in self.more_macs.keys() {
            image.more_macs.insert(entry.map_err(at(names::MORE_MACS))?.0);
        }
        for entry in self.devices.keys() {
            image.devices.insert(entry.map_err(at(names::DEVMAP))?);
        }
        for entry in self.servers.iter() {
            let (key, value) = entry.map_err(at(names::SERVER_IDS))?;
            image.servers.insert(key.0, u16::try_from(value.0).unwrap_or(0));
        }
        for id in ids(limits::MAX_POOLS) {
            let pool = self.pools.get(&u32::from(id), 0).map_err(at(names::POOLS))?.0;
            if pool != Pool::default() {
                image.pools.insert(id, pool);
            }
        }
        for id in ids(self.capacity.listeners) {
            let pool = self.listener_pools.get(&u32::from(id), 0);
            let pool = pool.map_err(at(names::LISTENER_POOLS))?.0;
            if pool != ListenerPool::default() {
                image.listener_pools.insert(id, pool);
            }
        }
        for id in ids(self.capacity.backends) {
            let backend = self.backends.get(&u32::from(id), 0).map_err(at(names::BACKENDS))?.0;
            if backend != Backend::default() {
                image.backends.insert(id, backend);
            }
        }
        Ok(image)
    }

    /// Writes what the small maps hold once more, to fill those that follow from others.
    ///
    /// # Errors
    /// A map cannot be read or written.
    pub(super) fn rewrite(&mut self) -> Result<(), MapError> {
        let image = self.image()?;
        let commands = plan(&Image::default(), &image, Vec::new(), Vec::new());
        let resets = |command: &&Command| {
            matches!(command, Command::ResetBackendCounter(_) | Command::ResetListenerCounter(_))
        };
        commands.iter().filter(|command| !resets(command)).try_for_each(|one| self.execute(one))
    }

    /// Writes an interface's Ethernet address where it is found first. Where two share the place, the last
    /// one has it, and none if that goes.
    fn put_link_mac(&mut self, index: u32, value: LinkMac) -> Result<(), MapError> {
        self.interface_macs
            .set(LinkMac::place(index), Record(value), 0)
            .map_err(at(names::INTERFACE_MACS))
    }

    /// What a listener forwarded.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn listener_counter(&self, id: u16) -> Result<Counter, MapError> {
        total(&self.listener_counters, u32::from(id)).map_err(at(names::LISTENER_COUNTERS))
    }

    /// What a listener has open and recorded.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn listener_state(&self, id: u16) -> Result<ListenerState, MapError> {
        let state = self.listener_states.get(&u32::from(id), 0);
        Ok(state.map_err(at(names::LISTENER_STATES))?.0)
    }

    /// Connections that a backend has open, where they are tracked.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn backend_connections(&self, id: u16) -> Result<u32, MapError> {
        let state =
            self.backend_states.get(&u32::from(id), 0).map_err(at(names::BACKEND_STATES))?;
        Ok(connections(state.0.connections))
    }

    /// When a flow of a pool last found no room for its record, in coarse monotonic seconds; 0: never.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn last_refused(&self, pool: u16) -> Result<u32, MapError> {
        let state =
            self.lookups.pool_states.get(&u32::from(pool), 0).map_err(at(names::POOL_STATES))?;
        Ok(state.0.refused)
    }

    /// What a backend got.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn backend_counter(&self, id: u16) -> Result<Counter, MapError> {
        total(&self.backend_counters, u32::from(id)).map_err(at(names::BACKEND_COUNTERS))
    }

    /// TCP connections that were opened at a backend; a client that repeats itself counts again.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn backend_opened(&self, id: u16) -> Result<u64, MapError> {
        let counts = self.opened.get(&u32::from(id), 0).map_err(at(names::BACKEND_OPENED))?;
        Ok(counts.iter().fold(0, |sum, count| sum.wrapping_add(*count)))
    }

    /// The second in which a connection id last named a backend that takes no new flows; none: never.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn last_named(&self, id: u16) -> Result<Option<u32>, MapError> {
        let seen = self.named.get(&u32::from(id), 0).map_err(at(names::BACKENDS_NAMED))?;
        Ok((seen != 0).then_some(seen))
    }

    /// What is recorded of a flow.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn flow(&self, key: &FlowKey) -> Result<Option<Flow>, MapError> {
        let (name, found) = match key {
            FlowKey::V4(key) => (names::FLOWS_V4, self.lookups.flows_v4.get(&Record(*key), 0)),
            FlowKey::V6(key) => (names::FLOWS_V6, self.lookups.flows_v6.get(&Record(*key), 0)),
        };
        match found {
            Ok(flow) => Ok(Some(flow.0)),
            Err(aya::maps::MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(at(name)(error)),
        }
    }

    /// What was not forwarded for a reason.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn reason_counter(&self, reason: Reason) -> Result<Counter, MapError> {
        total(&self.reason_counters, reason as u32).map_err(at(names::REASON_COUNTERS))
    }

    /// How many slots each owner of a region has, and how many slots are not settled.
    pub fn shares(&self, region: Region) -> (std::collections::HashMap<u16, u32>, u32) {
        // A hash for each slot would take ten times as long, while nothing else happens.
        let (mut slots, mut unsettled) = (vec![0_u32; usize::from(u16::MAX) + 1], 0);
        for slot in self.rings.words(region).slots() {
            slots[usize::from(slot.cur())] += 1;
            unsettled += u32::from(!slot.is_settled());
        }
        let owners = (0..=u16::MAX).zip(slots).filter(|(_, slots)| *slots > 0);
        (owners.collect(), unsettled)
    }

    /// Slots of a region whose present owner an id is, and slots whose former one it is.
    pub fn naming(&self, region: Region, id: u16) -> (u32, u32) {
        let slots = self.rings.words(region).slots();
        slots.fold((0, 0), |(owned, former), slot| {
            let was_other = slot.prev() == id && slot.cur() != id;
            (owned + u32::from(slot.cur() == id), former + u32::from(was_other))
        })
    }

    /// Empties what lies outside of all `regions`: left behind by pools that nobody knows any more.
    pub fn clear_all_but(&self, mut regions: Vec<Region>) {
        regions.sort_by_key(|region| region.base);
        let mut base = 0;
        for region in regions {
            self.rings.words(Region { base, size: region.base.saturating_sub(base) }).clear();
            base = region.base.saturating_add(region.size).next_multiple_of(CHUNK);
        }
        let all = self.capacity.chunks * CHUNK;
        self.rings.words(Region { base, size: all.saturating_sub(base) }).clear();
    }

    /// All ids that a region's slots name, as present or former owners.
    pub fn named(&self, region: Region) -> std::collections::BTreeSet<u16> {
        let slots = self.rings.words(region).slots();
        let ids = slots.flat_map(|slot| [slot.cur(), slot.prev()]);
        ids.filter(|id| ![0, Slot::NOBODY].contains(id)).collect()
    }

    /// The owners of a region's slots.
    pub fn owners(&self, region: Region) -> Vec<u16> {
        self.rings.words(region).slots().map(Slot::cur).collect()
    }

    /// Converts moving slots; see [`crate::control::ring::region::Words::convert`].
    pub fn convert(&self, region: Region, refused: u32, idle: u32) {
        self.rings.words(region).convert(coarse_seconds(), refused, idle);
    }

    /// Settles slots after a sweep; see [`crate::control::ring::region::Words::settle`].
    pub fn settle(&self, region: Region, swept: u32) {
        self.rings.words(region).settle(swept);
    }

    /// In which states the slots of a region are.
    pub fn states(&self, region: Region) -> States {
        self.rings.words(region).states()
    }
}

impl Store for Maps {
    type Error = MapError;

    fn execute(&mut self, command: &Command) -> Result<(), MapError> {
        match command {
            Command::PutDevice(index) => {
                self.devices.insert(*index, *index, None, 0).map_err(|error| match error {
                    XdpMapError::MapError(error) => at(names::DEVMAP)(error),
                    XdpMapError::ChainedProgramNotSupported => unreachable!("none is chained"),
                })
            }
            // The kernel itself removes an interface that goes.
            Command::RemoveDevice(index) => match self.devices.remove(*index) {
                Err(error) if is_absent(&error) => Ok(()),
                removed => removed.map_err(at(names::DEVMAP)),
            },
            Command::PutInterface(index, value) => {
                self.interfaces
                    .insert(Record(*index), Record(*value), 0)
                    .map_err(at(names::INTERFACES))?;
                self.put_link_mac(*index, LinkMac::new(*index, value.mac))
            }
            Command::RemoveInterface(index) => {
                self.put_link_mac(*index, LinkMac::default())?;
                self.interfaces.remove(&Record(*index)).map_err(at(names::INTERFACES))
            }
            Command::PutMac(key) => {
                self.more_macs.insert(Record(*key), Record(1), 0).map_err(at(names::MORE_MACS))
            }
            Command::RemoveMac(key) => {
                self.more_macs.remove(&Record(*key)).map_err(at(names::MORE_MACS))
            }
            Command::ResetBackendCounter(id) => {
                reset(&mut self.backend_counters, *id).map_err(at(names::BACKEND_COUNTERS))?;
                self.backend_states
                    .set(u32::from(*id), Record(BackendState::default()), 0)
                    .map_err(at(names::BACKEND_STATES))?;
                let cpus =
                    self.opened.get(&u32::from(*id), 0).map_err(at(names::BACKEND_OPENED))?;
                let none = PerCpuValues::try_from(vec![0; cpus.len()]).map_err(|error| {
                    at(names::BACKEND_OPENED)(aya::maps::MapError::IoError(error))
                })?;
                self.opened.set(u32::from(*id), none, 0).map_err(at(names::BACKEND_OPENED))?;
                self.named.set(u32::from(*id), 0, 0).map_err(at(names::BACKENDS_NAMED))
            }
            Command::ResetListenerCounter(id) => {
                reset(&mut self.listener_counters, *id).map_err(at(names::LISTENER_COUNTERS))?;
                self.listener_states
                    .set(u32::from(*id), Record(ListenerState::default()), 0)
                    .map_err(at(names::LISTENER_STATES))
            }
            Command::AddToGroup(group, network) => self.tries.add_to_group(*group, *network),
            Command::RemoveFromGroup(group, network) => {
                self.tries.remove_from_group(*group, *network)
            }
            Command::PutBackend(id, value) => {
                self.backends.set(u32::from(*id), Record(*value), 0).map_err(at(names::BACKENDS))
            }
            Command::PutPool(id, value) => {
                self.pools.set(u32::from(*id), Record(*value), 0).map_err(at(names::POOLS))
            }
            Command::PutServer(key, id) => self
                .servers
                .insert(Record(*key), Record(u32::from(*id)), 0)
                .map_err(at(names::SERVER_IDS)),
            Command::RemoveServer(key) => {
                self.servers.remove(&Record(*key)).map_err(at(names::SERVER_IDS))
            }
            Command::WriteRing(ring) => {
                let size = u32::try_from(ring.owners.len()).unwrap_or(u32::MAX);
                self.rings.words(Region { base: ring.base, size }).write(ring, coarse_seconds());
                Ok(())
            }
            Command::ClearRing(region) => {
                self.rings.words(*region).clear();
                Ok(())
            }
            Command::PutListenerPool(id, value) => self
                .listener_pools
                .set(u32::from(*id), Record(*value), 0)
                .map_err(at(names::LISTENER_POOLS)),
            Command::PutListener(key, value) => self.put_listener(key, value),
            Command::RemoveListener(key) => self.remove_listener(key),
            Command::PutRange(entry, value) => self.tries.put_range(entry, value),
            Command::RemoveRange(entry) => self.tries.remove_range(entry),
            Command::PutVipBits(index, word) => {
                self.vip_bits.set(*index, *word, 0).map_err(at(names::VIP_BITS))
            }
            Command::PutVip(IpAddr::V4(address), value) => self
                .vips_v4
                .insert(Record(u32::from_ne_bytes(address.octets())), Record(*value), 0)
                .map_err(at(names::VIPS_V4)),
            Command::PutVip(IpAddr::V6(address), value) => self
                .vips_v6
                .insert(Record(bytemuck::cast(address.octets())), Record(*value), 0)
                .map_err(at(names::VIPS_V6)),
            Command::RemoveVip(IpAddr::V4(address)) => self
                .vips_v4
                .remove(&Record(u32::from_ne_bytes(address.octets())))
                .map_err(at(names::VIPS_V4)),
            Command::RemoveVip(IpAddr::V6(address)) => self
                .vips_v6
                .remove(&Record(bytemuck::cast(address.octets())))
                .map_err(at(names::VIPS_V6)),
        }
    }
}

impl Maps {
    fn put_listener(&mut self, key: &ListenerKey, value: &Listener) -> Result<(), MapError> {
        let value = Record(*value);
        match record_key(key) {
            Key::V4(key) => {
                self.listeners_v4.insert(Record(key), value, 0).map_err(at(names::LISTENERS_V4))
            }
            Key::V6(key) => {
                self.listeners_v6.insert(Record(key), value, 0).map_err(at(names::LISTENERS_V6))
            }
        }
    }

    fn remove_listener(&mut self, key: &ListenerKey) -> Result<(), MapError> {
        match record_key(key) {
            Key::V4(key) => self.listeners_v4.remove(&Record(key)).map_err(at(names::LISTENERS_V4)),
            Key::V6(key) => self.listeners_v6.remove(&Record(key)).map_err(at(names::LISTENERS_V6)),
        }
    }
}

/// The ids of a map with this many elements.
fn ids(elements: u32) -> impl Iterator<Item = u16> {
    (0..=u16::MAX).take_while(move |id| u32::from(*id) < elements)
}

enum Key {
    V4(ListenerKeyV4),
    V6(ListenerKeyV6),
}

fn record_key(key: &ListenerKey) -> Key {
    let port = Be16::new(key.port);
    match key.address {
        IpAddr::V4(address) => {
            let address: Be32 = bytemuck::cast(address.octets());
            Key::V4(ListenerKeyV4::new(address, port, key.protocol))
        }
        IpAddr::V6(address) => {
            let address: Be128 = bytemuck::cast(address.octets());
            Key::V6(ListenerKeyV6::new(address, port, key.protocol))
        }
    }
}

fn total(counters: &MapCounters, index: u32) -> Result<Counter, aya::maps::MapError> {
    Ok(counters.get(&index, 0)?.iter().map(|counter| counter.0).sum())
}

fn reset(counters: &mut MapCounters, id: u16) -> Result<(), aya::maps::MapError> {
    let cpus = nr_cpus().map_err(|(_, error)| aya::maps::MapError::IoError(error))?;
    let zero = PerCpuValues::try_from(vec![Record(Counter::default()); cpus])?;
    counters.set(u32::from(id), zero, 0)
}

/// Seconds of the clock that the packet path reads, `CLOCK_MONOTONIC_COARSE`.
pub fn coarse_seconds() -> u32 {
    u32::try_from(coarse_time().tv_sec).unwrap_or(u32::MAX)
}

/// How long it is until a second of that clock has begun for sure: it stands still between two ticks, of
/// which there are a hundred in a second at least.
pub fn coarse_until(second: u32) -> Duration {
    const TICK: Duration = Duration::from_millis(10);
    let time = coarse_time();
    let nanos = u64::try_from(time.tv_nsec).unwrap_or_default();
    let now = Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or_default())
        + Duration::from_nanos(nanos);
    (Duration::from_secs(second.into()) + TICK).saturating_sub(now)
}

fn coarse_time() -> rustix::time::Timespec {
    rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse)
}
