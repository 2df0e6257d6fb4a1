//! Tables in memory: what the packet path would do, without a kernel.

mod sweeping;
mod translations;

use core::cell::RefCell;
use core::hash::Hash;
use std::collections::{HashMap, HashSet};

use super::Tables;
use crate::addr::{Be32, Be128, Mac};
use crate::admission::{BackendState, GroupKeyV4, GroupKeyV6, ListenerState, Opened, connections};
use crate::backend::Backend;
use crate::binding::Binding;
use crate::client::{Client, ClientKey};
use crate::client_hop::{CLIENT_DEFAULTS, ClientHop};
use crate::counter::{Answers, Counter, ListenerEvents};
use crate::error_limit::ErrorsSent;
use crate::exception::Exception;
use crate::flow::{Flow, FlowKeyV4, FlowKeyV6, Stage, Visit};
use crate::fragment::Fragment;
use crate::interface::{Interface, MacKey};
use crate::listener::{
    Listener, ListenerEndpoint, ListenerKeyV4, ListenerKeyV6, ListenerPool, RANGE_FIXED_BITS,
    RangeKey, Vip,
};
use crate::pool::Pool;
use crate::quic::ServerIdKey;
use crate::reason::Reason;
use crate::reply::Reply;
use crate::ring::Slot;
use crate::room::{Claim, FlowTable};
use crate::snat::Snat;
use crate::sweep::{BackendCensus, ListenerCensus};
use crate::vip_bits::VipBit;

/// The maps of the packet path as ordinary collections, plus a clock that stands still.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    /// `LISTENERS_V4`.
    pub listeners_v4: HashMap<ListenerKeyV4, Listener>,
    /// `LISTENERS_V6`.
    pub listeners_v6: HashMap<ListenerKeyV6, Listener>,
    /// `VIPS_V4`.
    pub vips_v4: HashMap<Be32, Vip>,
    /// `VIPS_V6`.
    pub vips_v6: HashMap<Be128, Vip>,
    /// `PORT_RANGES`: bits of the prefix, key, listener.
    pub ranges: std::vec::Vec<(u32, RangeKey, Listener)>,
    /// `GROUPS_V4`: bits of the prefix, key.
    pub groups_v4: std::vec::Vec<(u32, GroupKeyV4)>,
    /// `GROUPS_V6`: bits of the prefix, key.
    pub groups_v6: std::vec::Vec<(u32, GroupKeyV6)>,
    /// `SERVER_IDS`.
    pub servers: HashMap<ServerIdKey, u16>,
    /// `RINGS`.
    pub slots: std::vec::Vec<Slot>,
    /// `POOLS`.
    pub pools: HashMap<u16, Pool>,
    /// `LISTENER_POOLS`.
    pub listener_pools: HashMap<u16, ListenerPool>,
    /// `BACKENDS`.
    pub backends: HashMap<u16, Backend>,
    /// `REPLIES_V4`.
    pub replies_v4: HashMap<ListenerKeyV4, Reply>,
    /// `REPLIES_V6`.
    pub replies_v6: HashMap<ListenerKeyV6, Reply>,
    /// `SNAT`.
    pub snat: Option<Snat>,
    /// `LISTENER_ENDPOINTS`.
    pub endpoints: HashMap<u16, ListenerEndpoint>,
    /// `CLIENT_DEFAULTS`.
    pub client_defaults: [ClientHop; CLIENT_DEFAULTS as usize],
    /// `CLIENT_ROUTES_V4`: bits of the prefix, its address, the way.
    pub client_routes_v4: std::vec::Vec<(u32, Be32, ClientHop)>,
    /// `CLIENT_ROUTES_V6`: bits of the prefix, its address, the way.
    pub client_routes_v6: std::vec::Vec<(u32, Be128, ClientHop)>,
    /// `PROBES_V4`.
    pub probes_v4: HashMap<FlowKeyV4, u16>,
    /// `PROBES_V6`.
    pub probes_v6: HashMap<FlowKeyV6, u16>,
    /// `INTERFACES`.
    pub interfaces: HashMap<u32, Interface>,
    /// `MORE_MACS`.
    pub more_macs: HashSet<MacKey>,
    /// Connections of this host, as packets that it gets show them.
    pub connections_v4: HashSet<FlowKeyV4>,
    /// As for IPv4.
    pub connections_v6: HashSet<FlowKeyV6>,
    /// `DEVMAP`: interfaces that take redirected frames.
    pub devices: std::vec::Vec<u32>,
    /// Seconds of the coarse monotonic clock.
    pub now: u32,
    /// What the packet path writes.
    pub written: RefCell<Written>,
}

/// What the packet path writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// `RINGS_SEEN`, as sweeps write it.
    pub seen: HashMap<u32, u32>,
    /// `POOL_STATES`: turns taken.
    pub turns: HashMap<u16, u32>,
    /// `POOL_STATES`: when a flow last found no room for a record.
    pub refused: HashMap<u16, u32>,
    /// `LISTENER_STATES`.
    pub listener_states: HashMap<u16, ListenerState>,
    /// `BACKEND_STATES`.
    pub backend_states: HashMap<u16, BackendState>,
    /// `BACKENDS_NAMED`.
    pub named: HashMap<u16, u32>,
    /// `OPENINGS_V4` and `FLOWS_V4`.
    pub flows_v4: Records<FlowKeyV4>,
    /// `OPENINGS_V6` and `FLOWS_V6`.
    pub flows_v6: Records<FlowKeyV6>,
    /// `CLIENT_OPENINGS` and `CLIENTS`.
    pub clients: Clients,
    /// `FLOW_TABLES`.
    pub tables: [FlowTable; 2],
    /// `BACKEND_CENSUS`.
    pub backend_census: HashMap<u16, BackendCensus>,
    /// `LISTENER_CENSUS`.
    pub listener_census: HashMap<u16, ListenerCensus>,
    /// `FRAGMENTS_V4`.
    pub fragments_v4: HashMap<FlowKeyV4, Fragment>,
    /// `FRAGMENTS_V6`.
    pub fragments_v6: HashMap<FlowKeyV6, Fragment>,
    /// `ERRORS_SENT` of the one CPU.
    pub errors_sent: [ErrorsSent; 2],
    /// `LISTENER_COUNTERS`.
    pub listeners: HashMap<u16, Counter>,
    /// `BACKEND_COUNTERS`.
    pub backends: HashMap<u16, Counter>,
    /// `LISTENER_EVENTS`.
    pub events: HashMap<u16, ListenerEvents>,
    /// `BACKEND_OPENED`.
    pub opened: HashMap<u16, u64>,
    /// `EXCEPTIONS_V4`.
    pub exceptions_v4: HashMap<FlowKeyV4, Exception>,
    /// `EXCEPTIONS_V6`.
    pub exceptions_v6: HashMap<FlowKeyV6, Exception>,
    /// `EXCEPTED`.
    pub excepted: HashMap<u16, u32>,
    /// `BINDINGS_V4`, by number.
    pub bindings: HashMap<u32, Binding>,
    /// `LISTENER_REPLIES`.
    pub listener_replies: HashMap<u16, Counter>,
    /// `LISTENER_ANSWERS`.
    pub listener_answers: HashMap<u16, Answers>,
    /// `BACKEND_ANSWERS`.
    pub backend_answers: HashMap<u16, Answers>,
    /// `BACKEND_REPLIES`.
    pub backend_replies: HashMap<u16, Counter>,
    /// `REASON_COUNTERS`.
    pub reasons: HashMap<Reason, Counter>,
}

/// Clients of pools with persistence, in both stages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clients {
    /// Those of which one packet came.
    pub openings: HashMap<ClientKey, Client>,
    /// Those that had a connection.
    pub live: HashMap<ClientKey, Client>,
}

impl Clients {
    /// The clients of a stage.
    pub const fn stage(&mut self, stage: Stage) -> &mut HashMap<ClientKey, Client> {
        match stage {
            Stage::Opening => &mut self.openings,
            Stage::Live => &mut self.live,
        }
    }
}

/// The records of one IP version, in both stages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Records<K: Eq + Hash> {
    /// Flows of which one packet came.
    pub openings: HashMap<K, Flow>,
    /// Flows that live.
    pub live: HashMap<K, Flow>,
}

impl<K: Eq + Hash> Default for Records<K> {
    fn default() -> Self {
        Self { openings: HashMap::new(), live: HashMap::new() }
    }
}

impl<K: Eq + Hash + Copy> Records<K> {
    /// The records of a stage.
    pub fn stage(&mut self, stage: Stage) -> &mut HashMap<K, Flow> {
        match stage {
            Stage::Opening => &mut self.openings,
            Stage::Live => &mut self.live,
        }
    }

    fn find(&mut self, stage: Stage, key: &K, visit: &Visit) -> Option<Flow> {
        let flow = self.stage(stage).get_mut(key).filter(|flow| visit.meets(flow))?;
        let found = *flow;
        if visit.finds(flow) {
            *flow = visit.after(found);
        }
        Some(found)
    }
}

impl Memory {
    /// Tables whose flow tables are believed and have room for so many records each.
    pub fn with_room(room: u32, now: u32) -> Self {
        let mut memory = Self { now, ..Self::default() };
        memory.written.get_mut().tables =
            [FlowTable { room, swept: now, ..FlowTable::default() }; 2];
        memory
    }

    /// `VIP_BITS`: the bits of all addresses that listeners and virtual addresses name.
    pub fn vip_bits(&self) -> impl Iterator<Item = VipBit> + '_ {
        let listeners_v4 = self.listeners_v4.keys().map(|key| key.address());
        let listeners_v6 = self.listeners_v6.keys().map(|key| key.address());
        let v4 = self.vips_v4.keys().copied().chain(listeners_v4).map(VipBit::v4);
        let v6 = self.vips_v6.keys().copied().chain(listeners_v6).map(VipBit::v6);
        v4.chain(v6)
    }
}

impl Tables for Memory {
    fn may_be_vip_v4(&self, address: Be32) -> bool {
        self.vip_bits().any(|bit| bit == VipBit::v4(address))
    }
    fn may_be_vip_v6(&self, address: Be128) -> bool {
        self.vip_bits().any(|bit| bit == VipBit::v6(address))
    }
    fn listener_v4(&self, key: &ListenerKeyV4) -> Option<&Listener> {
        self.listeners_v4.get(key)
    }
    fn listener_v6(&self, key: &ListenerKeyV6) -> Option<&Listener> {
        self.listeners_v6.get(key)
    }
    fn range(&self, key: &RangeKey) -> Option<&Listener> {
        let holds = |(bits, range, _): &&(u32, RangeKey, Listener)| {
            *bits >= RANGE_FIXED_BITS && covers(*bits, range, key)
        };
        self.ranges.iter().filter(holds).max_by_key(|(bits, ..)| *bits).map(|(.., l)| l)
    }
    fn vip_v4(&self, address: Be32) -> Option<Vip> {
        self.vips_v4.get(&address).copied()
    }
    fn vip_v6(&self, address: Be128) -> Option<Vip> {
        self.vips_v6.get(&address).copied()
    }
    fn group_v4(&self, key: &GroupKeyV4) -> bool {
        self.groups_v4.iter().any(|(bits, entry)| covers(*bits, entry, key))
    }
    fn group_v6(&self, key: &GroupKeyV6) -> bool {
        self.groups_v6.iter().any(|(bits, entry)| covers(*bits, entry, key))
    }
    fn may_open(&self, listener: u16, limit: u32, now: u32) -> bool {
        let mut written = self.written.borrow_mut();
        let state = written.listener_states.entry(listener).or_default();
        let opened = Opened(state.opened + 1);
        let opened = if opened.is_over(now) { Opened::first(now) } else { opened };
        state.opened = opened.0;
        opened.count() <= limit
    }
    fn listener_connections(&self, listener: u16) -> u32 {
        let written = self.written.borrow();
        written.listener_states.get(&listener).map_or(0, |state| connections(state.connections))
    }
    fn slot(&self, index: u32) -> Option<Slot> {
        self.slots.get(index as usize).copied()
    }
    fn pool(&self, id: u16) -> Option<Pool> {
        self.pools.get(&id).copied()
    }
    fn turn(&self, pool: u16) -> u32 {
        let mut written = self.written.borrow_mut();
        let turn = written.turns.entry(pool).or_default();
        *turn = turn.wrapping_add(1);
        turn.wrapping_sub(1)
    }
    fn server(&self, key: &ServerIdKey) -> Option<u16> {
        self.servers.get(key).copied()
    }
    fn note_named(&self, backend: u16, now: u32) {
        self.written.borrow_mut().named.insert(backend, now);
    }
    fn backend_connections(&self, backend: u16, now: u32) -> u32 {
        let written = self.written.borrow();
        written.backend_states.get(&backend).map_or(0, |state| state.load(now))
    }
    fn backend(&self, id: u16) -> Option<&Backend> {
        self.backends.get(&id)
    }
    fn find_v4(&self, stage: Stage, key: &FlowKeyV4, visit: &Visit) -> Option<Flow> {
        self.written.borrow_mut().flows_v4.find(stage, key, visit)
    }
    fn find_v6(&self, stage: Stage, key: &FlowKeyV6, visit: &Visit) -> Option<Flow> {
        self.written.borrow_mut().flows_v6.find(stage, key, visit)
    }
    fn record_v4(&self, stage: Stage, key: &FlowKeyV4, flow: Flow) {
        self.written.borrow_mut().flows_v4.stage(stage).insert(*key, flow);
    }
    fn record_v6(&self, stage: Stage, key: &FlowKeyV6, flow: Flow) {
        self.written.borrow_mut().flows_v6.stage(stage).insert(*key, flow);
    }
    fn forget_v4(&self, stage: Stage, key: &FlowKeyV4) -> bool {
        self.written.borrow_mut().flows_v4.stage(stage).remove(key).is_some()
    }
    fn forget_v6(&self, stage: Stage, key: &FlowKeyV6) -> bool {
        self.written.borrow_mut().flows_v6.stage(stage).remove(key).is_some()
    }
    fn client(&self, stage: Stage, key: &ClientKey) -> Option<Client> {
        self.written.borrow_mut().clients.stage(stage).get(key).copied()
    }
    fn note_client(&self, stage: Stage, key: &ClientKey, client: Client) {
        self.written.borrow_mut().clients.stage(stage).insert(*key, client);
    }
    fn has_room(&self, table: usize, listener: u16, claim: Claim, now: u32) -> bool {
        let written = self.written.borrow();
        let state = written.listener_states.get(&listener).copied().unwrap_or_default();
        written.tables[table].has_room(state.own(table), claim, now)
    }
    fn count_records(&self, table: usize, listener: u16, records: i64, strays: i64) {
        let mut written = self.written.borrow_mut();
        let state = written.listener_states.entry(listener).or_default();
        for (count, change) in
            [(&mut state.records[table], records), (&mut state.strays[table], strays)]
        {
            *count = count.wrapping_add_signed(change);
        }
        let all = &mut written.tables[table].records;
        *all = all.wrapping_add_signed(records);
    }
    fn refused(&self, listener: u16, pool: u16, now: u32) {
        let mut written = self.written.borrow_mut();
        written.listener_states.entry(listener).or_default().refused += 1;
        written.refused.insert(pool, now);
    }
    fn counts_are_believed(&self) -> bool {
        self.written.borrow().tables[0].is_believed(self.now)
    }
    fn is_carried(&self, table: usize, now: u32) -> bool {
        self.written.borrow().tables[table].is_carried(now)
    }
    fn opening(&self, backend: u16, now: u32) {
        let mut written = self.written.borrow_mut();
        let state = written.backend_states.entry(backend).or_default();
        let opened = Opened(state.opened + 1);
        state.opened = if opened.is_over(now) { Opened::first(now) } else { opened }.0;
    }
    fn no_longer_opening(&self, backend: u16, now: u32) {
        let mut written = self.written.borrow_mut();
        let state = written.backend_states.entry(backend).or_default();
        state.opened = Opened(state.opened).one_less(now).0;
    }
    fn opened(&self, listener: u16, backend: u16) {
        let mut written = self.written.borrow_mut();
        let state = written.listener_states.entry(listener).or_default();
        state.connections = state.connections.wrapping_add(1);
        let connections = &mut written.backend_states.entry(backend).or_default().connections;
        *connections = connections.wrapping_add(1);
    }
    fn closed(&self, listener: u16, backend: u16) {
        let mut written = self.written.borrow_mut();
        let state = written.listener_states.entry(listener).or_default();
        state.connections = state.connections.wrapping_sub(1);
        let connections = &mut written.backend_states.entry(backend).or_default().connections;
        *connections = connections.wrapping_sub(1);
    }
    fn probed_v4(&self, key: &FlowKeyV4) -> Option<u16> {
        self.probes_v4.get(key).copied()
    }
    fn probed_v6(&self, key: &FlowKeyV6) -> Option<u16> {
        self.probes_v6.get(key).copied()
    }
    fn fragment_v4(&self, key: &FlowKeyV4) -> Option<Fragment> {
        self.written.borrow().fragments_v4.get(key).copied()
    }
    fn fragment_v6(&self, key: &FlowKeyV6) -> Option<Fragment> {
        self.written.borrow().fragments_v6.get(key).copied()
    }
    fn record_fragment_v4(&self, key: &FlowKeyV4, fragment: Fragment) {
        self.written.borrow_mut().fragments_v4.insert(*key, fragment);
    }
    fn record_fragment_v6(&self, key: &FlowKeyV6, fragment: Fragment) {
        self.written.borrow_mut().fragments_v6.insert(*key, fragment);
    }
    fn may_answer(&self, kind: u32, now: u32) -> bool {
        self.written.borrow_mut().errors_sent[kind as usize & 1].one_more(kind, now)
    }
    fn now(&self) -> u32 {
        self.now
    }
    fn interface(&self, index: u32) -> Option<Interface> {
        self.interfaces.get(&index).copied()
    }
    fn is_mac_of(&self, index: u32, mac: Mac) -> bool {
        self.interfaces.get(&index).is_some_and(|interface| interface.mac == mac)
    }
    fn takes_mac(&self, key: &MacKey) -> bool {
        self.more_macs.contains(key)
    }
    fn is_connected_v4(&self, key: &FlowKeyV4) -> bool {
        self.connections_v4.contains(key)
    }
    fn is_connected_v6(&self, key: &FlowKeyV6) -> bool {
        self.connections_v6.contains(key)
    }
    fn redirect(&self, ifindex: u32) -> bool {
        self.devices.contains(&ifindex)
    }
    fn count_listener(&self, id: u16, bytes: u64) {
        self.written.borrow_mut().listeners.entry(id).or_default().add(bytes);
    }
    fn count_backend(&self, id: u16, bytes: u64) {
        self.written.borrow_mut().backends.entry(id).or_default().add(bytes);
    }
    fn count_opening(&self, listener: u16, backend: u16) {
        let mut written = self.written.borrow_mut();
        *written.opened.entry(backend).or_default() += 1;
        written.events.entry(listener).or_default().opened += 1;
    }
    fn count_reset(&self, listener: u16) {
        self.written.borrow_mut().events.entry(listener).or_default().resets += 1;
    }
    fn count_dropped(&self, listener: u16, reason: Reason) {
        self.written.borrow_mut().events.entry(listener).or_default().add_dropped(reason);
    }
    fn count_reason(&self, reason: Reason, bytes: u64) {
        self.written.borrow_mut().reasons.entry(reason).or_default().add(bytes);
    }
}

/// The way of the longest prefix that covers an address.
fn longest<'a, A: bytemuck::NoUninit>(
    routes: &'a [(u32, A, ClientHop)],
    address: &A,
) -> Option<&'a ClientHop> {
    let covers = |(bits, prefix, _): &&(u32, A, ClientHop)| covers(*bits, prefix, address);
    routes.iter().filter(covers).max_by_key(|(bits, ..)| *bits).map(|(.., hop)| hop)
}

/// Whether the first bits of two keys are the same.
fn covers<K: bytemuck::NoUninit>(bits: u32, prefix: &K, key: &K) -> bool {
    let bytes = bytemuck::bytes_of(prefix).iter().zip(bytemuck::bytes_of(key));
    let same = bytes
        .map(|(a, b)| (a ^ b).leading_zeros())
        .try_fold(0, |sum, zeros| if zeros == 8 { Ok(sum + 8) } else { Err(sum + zeros) });
    same.unwrap_or_else(|sum| sum) >= bits
}
