//! The maps as the packet path would meet them now: read when asked, one key at a time. What the
//! packet path writes stays here.

mod translations;

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::hash::Hash;

use aya::maps::MapError as AyaError;
use elb_common::addr::{Be32, Be128, Mac};
use elb_common::admission::{GroupKeyV4, GroupKeyV6};
use elb_common::backend::Backend;
use elb_common::client::{Client, ClientKey};
use elb_common::client_hop::ClientHop;
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6, Stage, Visit};
use elb_common::fragment::Fragment;
use elb_common::interface::{Interface, MacKey};
use elb_common::listener::{
    Listener, ListenerEndpoint, ListenerKeyV4, ListenerKeyV6, RangeKey, Vip,
};
use elb_common::names;
use elb_common::path::{Memory, Tables, Written};
use elb_common::pool::Pool;
use elb_common::quic::ServerIdKey;
use elb_common::reason::Reason;
use elb_common::reply::Reply;
use elb_common::ring::Slot;
use elb_common::room::Claim;
use elb_common::snat::Snat;
use elb_common::vip_bits::VipBit;

use super::super::clock::coarse_seconds;
use super::lookups::whole;
use super::sockets;
use super::{MapError, Maps, Record, at};

/// Tables over the maps in use that change nothing in them.
///
/// What packets only read comes from the maps. What they also write is brought into `scratch`
/// first, which then answers.
pub struct Live<'m> {
    maps: &'m Maps,
    scratch: Memory,
    listeners: Kept<Listener>,
    backends: Kept<Backend>,
    replies: Kept<Reply>,
    hops: Kept<ClientHop>,
    snat: Kept<Snat>,
    endpoints: Kept<ListenerEndpoint>,
    failed: RefCell<Option<MapError>>,
}

impl<'m> Live<'m> {
    /// The maps from now on.
    pub fn new(maps: &'m Maps) -> Self {
        Self {
            maps,
            scratch: Memory { now: coarse_seconds(), ..Memory::default() },
            listeners: Kept::default(),
            backends: Kept::default(),
            replies: Kept::default(),
            hops: Kept::default(),
            snat: Kept::default(),
            endpoints: Kept::default(),
            failed: RefCell::default(),
        }
    }

    /// Whether all maps could be read.
    ///
    /// # Errors
    /// The first that could not; what was decided is of no use then.
    pub fn finish(self) -> Result<(), MapError> {
        self.failed.into_inner().map_or(Ok(()), Err)
    }

    fn read<T>(&self, map: &'static str, read: Result<T, AyaError>) -> Option<T> {
        match read {
            Ok(found) => Some(found),
            Err(
                AyaError::KeyNotFound | AyaError::ElementNotFound | AyaError::OutOfBounds { .. },
            ) => None,
            Err(error) => {
                self.failed.borrow_mut().get_or_insert(at(map)(error));
                None
            }
        }
    }

    /// Brings what a map holds into the scratch, the first time that it is asked for.
    fn bring<K: Eq + Hash, V>(
        &self,
        place: impl FnOnce(&mut Written) -> &mut HashMap<K, V>,
        key: K,
        found: Option<V>,
    ) {
        let mut written = self.scratch.written.borrow_mut();
        if let Some(found) = found {
            place(&mut written).entry(key).or_insert(found);
        }
    }

    fn is_set(&self, bit: VipBit) -> bool {
        let word = self.read(names::VIP_BITS, self.maps.vip_bits.get(&bit.word(), 0));
        word.is_none_or(|word| bit.is_in(word))
    }

    fn is_member(&self, bit: VipBit) -> bool {
        let word = self.read(names::MEMBER_BITS, self.maps.lookups.member_bits.get(&bit.word(), 0));
        word.is_some_and(|word| bit.is_in(word))
    }

    /// The default way back to clients of an IP version.
    fn client_default(&self, version: u32) -> Option<&ClientHop> {
        let found = self.maps.lookups.client_defaults.get(&version, 0);
        self.read(names::CLIENT_DEFAULTS, found).map(|found| self.hops.keep(found.0))
    }

    fn bring_listener(&self, id: u16) {
        let found = self.maps.lookups.listener_states.get(&u32::from(id), 0);
        let found = self.read(names::LISTENER_STATES, found).map(|found| found.0);
        self.bring(|written| &mut written.listener_states, id, found);
    }

    fn bring_tables(&self) {
        for index in 0..2 {
            let found = self.maps.lookups.tables.get(&index, 0);
            if let Some(found) = self.read(names::FLOW_TABLES, found) {
                self.scratch.written.borrow_mut().tables[index as usize] = found.0;
            }
        }
    }

    fn bring_v4(&self, stage: Stage, key: &FlowKeyV4) {
        let lookups = &self.maps.lookups;
        let (map, name) = match stage {
            Stage::Opening => (&lookups.openings_v4, names::OPENINGS_V4),
            Stage::Live => (&lookups.flows_v4, names::FLOWS_V4),
        };
        let found = self.read(name, map.get(&Record(*key), 0)).map(|found| found.0);
        self.bring(|written| written.flows_v4.stage(stage), *key, found);
    }

    fn bring_v6(&self, stage: Stage, key: &FlowKeyV6) {
        let lookups = &self.maps.lookups;
        let (map, name) = match stage {
            Stage::Opening => (&lookups.openings_v6, names::OPENINGS_V6),
            Stage::Live => (&lookups.flows_v6, names::FLOWS_V6),
        };
        let found = self.read(name, map.get(&Record(*key), 0)).map(|found| found.0);
        self.bring(|written| written.flows_v6.stage(stage), *key, found);
    }
}

impl Tables for Live<'_> {
    fn may_be_vip_v4(&self, address: Be32) -> bool {
        self.is_set(VipBit::v4(address))
    }
    fn may_be_vip_v6(&self, address: Be128) -> bool {
        self.is_set(VipBit::v6(address))
    }
    fn listener_v4(&self, key: &ListenerKeyV4) -> Option<&Listener> {
        let found = self.maps.listeners_v4.get(&Record(*key), 0);
        self.read(names::LISTENERS_V4, found).map(|found| self.listeners.keep(found.0))
    }
    fn listener_v6(&self, key: &ListenerKeyV6) -> Option<&Listener> {
        let found = self.maps.listeners_v6.get(&Record(*key), 0);
        self.read(names::LISTENERS_V6, found).map(|found| self.listeners.keep(found.0))
    }
    fn range(&self, key: &RangeKey) -> Option<&Listener> {
        let found = self.maps.lookups.ranges.get(&whole(*key), 0);
        self.read(names::PORT_RANGES, found).map(|found| self.listeners.keep(found.0))
    }
    fn vip_v4(&self, address: Be32) -> Option<Vip> {
        let found = self.maps.vips_v4.get(&Record(address.raw()), 0);
        self.read(names::VIPS_V4, found).map(|found| found.0)
    }
    fn vip_v6(&self, address: Be128) -> Option<Vip> {
        let found = self.maps.vips_v6.get(&Record(address.raw()), 0);
        self.read(names::VIPS_V6, found).map(|found| found.0)
    }
    fn group_v4(&self, key: &GroupKeyV4) -> bool {
        self.read(names::GROUPS_V4, self.maps.lookups.groups_v4.get(&whole(*key), 0)).is_some()
    }
    fn group_v6(&self, key: &GroupKeyV6) -> bool {
        self.read(names::GROUPS_V6, self.maps.lookups.groups_v6.get(&whole(*key), 0)).is_some()
    }
    fn may_open(&self, listener: u16, limit: u32, now: u32) -> bool {
        self.bring_listener(listener);
        self.scratch.may_open(listener, limit, now)
    }
    fn listener_connections(&self, listener: u16) -> u32 {
        self.bring_listener(listener);
        self.scratch.listener_connections(listener)
    }
    fn slot(&self, index: u32) -> Option<Slot> {
        self.maps.rings.slot(index)
    }
    fn pool(&self, id: u16) -> Option<Pool> {
        self.read(names::POOLS, self.maps.pools.get(&u32::from(id), 0)).map(|found| found.0)
    }
    #[expect(clippy::cast_possible_truncation, reason = "turns wrap around, as for packets")]
    fn turn(&self, pool: u16) -> u32 {
        let found = self.maps.lookups.pool_states.get(&u32::from(pool), 0);
        let found = self.read(names::POOL_STATES, found).map(|found| found.0.turn as u32);
        self.bring(|written| &mut written.turns, pool, found);
        self.scratch.turn(pool)
    }
    fn server(&self, key: &ServerIdKey) -> Option<u16> {
        let found = self.maps.lookups.servers.get(&Record(*key), 0);
        self.read(names::SERVER_IDS, found).and_then(|id| u16::try_from(id).ok())
    }
    fn note_named(&self, backend: u16, now: u32) {
        self.scratch.note_named(backend, now);
    }
    fn backend_connections(&self, backend: u16, now: u32) -> u32 {
        let found = self.maps.lookups.backend_states.get(&u32::from(backend), 0);
        let found = self.read(names::BACKEND_STATES, found).map(|found| found.0);
        self.bring(|written| &mut written.backend_states, backend, found);
        self.scratch.backend_connections(backend, now)
    }
    fn backend(&self, id: u16) -> Option<&Backend> {
        let found = self.maps.backends.get(&u32::from(id), 0);
        self.read(names::BACKENDS, found).map(|found| self.backends.keep(found.0))
    }
    fn find_v4(&self, stage: Stage, key: &FlowKeyV4, visit: &Visit) -> Option<Flow> {
        self.bring_v4(stage, key);
        self.scratch.find_v4(stage, key, visit)
    }
    fn record_v4(&self, stage: Stage, key: &FlowKeyV4, flow: Flow) {
        self.scratch.record_v4(stage, key, flow);
    }
    fn forget_v4(&self, stage: Stage, key: &FlowKeyV4) -> bool {
        self.bring_v4(stage, key);
        self.scratch.forget_v4(stage, key)
    }
    fn find_v6(&self, stage: Stage, key: &FlowKeyV6, visit: &Visit) -> Option<Flow> {
        self.bring_v6(stage, key);
        self.scratch.find_v6(stage, key, visit)
    }
    fn record_v6(&self, stage: Stage, key: &FlowKeyV6, flow: Flow) {
        self.scratch.record_v6(stage, key, flow);
    }
    fn forget_v6(&self, stage: Stage, key: &FlowKeyV6) -> bool {
        self.bring_v6(stage, key);
        self.scratch.forget_v6(stage, key)
    }
    fn client(&self, stage: Stage, key: &ClientKey) -> Option<Client> {
        let lookups = &self.maps.lookups;
        let (map, name) = match stage {
            Stage::Opening => (&lookups.client_openings, names::CLIENT_OPENINGS),
            Stage::Live => (&lookups.clients, names::CLIENTS),
        };
        let found = self.read(name, map.get(&Record(*key), 0)).map(|found| found.0);
        self.bring(|written| written.clients.stage(stage), *key, found);
        self.scratch.client(stage, key)
    }
    fn note_client(&self, stage: Stage, key: &ClientKey, client: Client) {
        self.scratch.note_client(stage, key, client);
    }
    fn has_room(&self, table: usize, listener: u16, claim: Claim, now: u32) -> bool {
        self.bring_listener(listener);
        self.bring_tables();
        self.scratch.has_room(table, listener, claim, now)
    }
    fn count_records(&self, table: usize, listener: u16, records: i64, strays: i64) {
        self.scratch.count_records(table, listener, records, strays);
    }
    fn refused(&self, listener: u16, pool: u16, now: u32) {
        self.scratch.refused(listener, pool, now);
    }
    fn counts_are_believed(&self) -> bool {
        self.bring_tables();
        self.scratch.counts_are_believed()
    }
    fn is_carried(&self, table: usize, now: u32) -> bool {
        self.bring_tables();
        self.scratch.is_carried(table, now)
    }
    fn opening(&self, backend: u16, now: u32) {
        self.scratch.opening(backend, now);
    }
    fn no_longer_opening(&self, backend: u16, now: u32) {
        self.scratch.no_longer_opening(backend, now);
    }
    fn opened(&self, listener: u16, backend: u16) {
        self.scratch.opened(listener, backend);
    }
    fn closed(&self, listener: u16, backend: u16) {
        self.scratch.closed(listener, backend);
    }
    // Nor are probes: what is explained is no probe of this agent.
    fn probed_v4(&self, key: &FlowKeyV4) -> Option<u16> {
        self.scratch.probed_v4(key)
    }
    fn probed_v6(&self, key: &FlowKeyV6) -> Option<u16> {
        self.scratch.probed_v6(key)
    }
    // Fragments are not asked about: those that packets left behind do not matter.
    fn fragment_v4(&self, key: &FlowKeyV4) -> Option<Fragment> {
        self.scratch.fragment_v4(key)
    }
    fn fragment_v6(&self, key: &FlowKeyV6) -> Option<Fragment> {
        self.scratch.fragment_v6(key)
    }
    fn record_fragment_v4(&self, key: &FlowKeyV4, fragment: Fragment) {
        self.scratch.record_fragment_v4(key, fragment);
    }
    fn record_fragment_v6(&self, key: &FlowKeyV6, fragment: Fragment) {
        self.scratch.record_fragment_v6(key, fragment);
    }
    fn may_answer(&self, kind: u32, now: u32) -> bool {
        self.scratch.may_answer(kind, now)
    }
    fn now(&self) -> u32 {
        self.scratch.now
    }
    fn interface(&self, index: u32) -> Option<Interface> {
        let found = self.maps.interfaces.get(&Record(index), 0);
        self.read(names::INTERFACES, found).map(|found| found.0)
    }
    fn is_mac_of(&self, index: u32, mac: Mac) -> bool {
        self.interface(index).is_some_and(|interface| interface.mac == mac)
    }
    fn takes_mac(&self, key: &MacKey) -> bool {
        let found = self.maps.more_macs.get(&Record(*key), 0);
        self.read(names::MORE_MACS, found).is_some()
    }
    fn is_connected_v4(&self, key: &FlowKeyV4) -> bool {
        sockets::is_connected(&bytemuck::bytes_of(key)[..12], key.protocol())
    }
    fn is_connected_v6(&self, key: &FlowKeyV6) -> bool {
        sockets::is_connected(&bytemuck::bytes_of(key)[..36], key.protocol())
    }
    fn redirect(&self, ifindex: u32) -> bool {
        self.read(names::DEVMAP, self.maps.devices.get(ifindex, 0)).is_some()
    }
    fn count_listener(&self, id: u16, bytes: u64) {
        self.scratch.count_listener(id, bytes);
    }
    fn count_backend(&self, id: u16, bytes: u64) {
        self.scratch.count_backend(id, bytes);
    }
    fn count_opening(&self, listener: u16, backend: u16) {
        self.scratch.count_opening(listener, backend);
    }
    fn count_reset(&self, listener: u16) {
        self.scratch.count_reset(listener);
    }
    fn count_dropped(&self, listener: u16, reason: Reason) {
        self.scratch.count_dropped(listener, reason);
    }
    fn count_reason(&self, reason: Reason, bytes: u64) {
        self.scratch.count_reason(reason, bytes);
    }
}

/// What was read, for as long as it may be referred to: a list of the few records that one packet
/// asks for.
struct Kept<T> {
    first: OnceCell<T>,
    rest: OnceCell<Box<Self>>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { first: OnceCell::new(), rest: OnceCell::new() }
    }
}

impl<T> Kept<T> {
    fn keep(&self, record: T) -> &T {
        match self.first.get() {
            None => self.first.get_or_init(|| record),
            Some(_) => self.rest.get_or_init(Box::default).keep(record),
        }
    }
}

#[cfg(test)]
mod tests;
