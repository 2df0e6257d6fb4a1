//! Typed access to the pinned maps.

mod clients;
mod keys;
mod live;
mod lookups;
mod reads;
mod replies;
mod snat;
mod sockets;
mod tries;
mod writes;

pub use live::Live;
pub use snat::BoundNumbers;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use aya::Ebpf;
use aya::maps::xdp::{DevMapHash, XdpMapError};
use aya::maps::{Array, HashMap, Map, MapData, PerCpuArray, PerCpuValues};
use aya::util::nr_cpus;
use elb_common::admission::{BackendState, ListenerState, connections};
use elb_common::backend::Backend;
use elb_common::counter::{Counter, ListenerEvents};
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

use self::clients::ClientMaps;
use self::keys::{key_of_v4, key_of_v6};
use self::lookups::Lookups;
pub(super) use self::lookups::forget_clients_in;
use self::replies::ReplyMaps;
use self::snat::SnatMaps;
use self::tries::Tries;
use super::object::{Capacity, LoadedObject};
use super::pins;
use super::record::Record;
use super::rings::Rings;
use crate::control::flow_key::Key as FlowKey;
use crate::control::plan::{Command, Image, ListenerKey, MapStore, Region, plan};
use crate::control::ring::region::States;

/// Why a map could not be read or written.
#[derive(Debug, Error)]
#[error("map {map}: {error}{hint}")]
pub struct MapError {
    map: &'static str,
    hint: &'static str,
    error: aya::maps::MapError,
}

impl MapError {
    /// The map.
    pub const fn map(&self) -> &'static str {
        self.map
    }
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
    clients: ClientMaps,
    replies: ReplyMaps,
    snat: SnatMaps,
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
    listener_events: PerCpuArray<MapData, Record<ListenerEvents>>,
    opened: PerCpuArray<MapData, Record<u64>>,
    lookups: Lookups,
    rings: Rings,
    /// Their sizes.
    pub capacity: Capacity,
    /// The kernel's id of `RINGS`: it shows whether a saved state belongs to these maps.
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
    pub fn new(object: &mut LoadedObject, capacity: Capacity) -> io::Result<Self> {
        Self::try_new(object, capacity).map_err(io::Error::other)
    }

    fn try_new(
        object: &mut LoadedObject,
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
            clients: ClientMaps::take(ebpf)?,
            replies: ReplyMaps::take(ebpf)?,
            snat: SnatMaps::take(ebpf, capacity)?,
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
            listener_events: take(ebpf, names::LISTENER_EVENTS)?,
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

    /// Forgets which backends serve clients, where it is not known what the numbers of those were.
    pub fn forget_clients(&mut self) {
        self.lookups.forget_clients();
    }

    /// Whether they can be read, by trying one.
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
        self.read_addresses(&mut image)?;
        self.tries.read(&mut image)?;
        image.clients = Arc::new(self.clients.read()?);
        self.replies.read(&mut image)?;
        self.snat.read(&mut image, self.capacity)?;
        self.read_host(&mut image)?;
        self.read_records(&mut image)?;
        Ok(image)
    }

    /// Listeners, and the virtual addresses that they are of.
    fn read_addresses(&self, image: &mut Image) -> Result<(), MapError> {
        for entry in self.listeners_v4.iter() {
            let (key, value) = entry.map_err(at(names::LISTENERS_V4))?;
            image.listeners.insert(key_of_v4(key.0), value.0);
        }
        for entry in self.listeners_v6.iter() {
            let (key, value) = entry.map_err(at(names::LISTENERS_V6))?;
            image.listeners.insert(key_of_v6(key.0), value.0);
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
        Ok(())
    }

    /// Interfaces and their Ethernet addresses.
    fn read_host(&self, image: &mut Image) -> Result<(), MapError> {
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
        Ok(())
    }

    /// Pools and backends, by their numbers.
    fn read_records(&self, image: &mut Image) -> Result<(), MapError> {
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
        Ok(())
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
}

/// The ids of a map with this many elements.
fn ids(elements: u32) -> impl Iterator<Item = u16> {
    (0..=u16::MAX).take_while(move |id| u32::from(*id) < elements)
}
