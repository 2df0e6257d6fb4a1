//! Tables in memory: what the packet path would do, without a kernel.

use core::cell::RefCell;
use std::collections::HashMap;

use super::Tables;
use super::probe::Probes;
use crate::addr::{Be32, Be128};
use crate::admission::{FlowBudget, GroupKeyV4, GroupKeyV6, ListenerState, Opened, connections};
use crate::backend::Backend;
use crate::counter::Counter;
use crate::flow::{Flow, FlowKeyV4, FlowKeyV6, flow_flags};
use crate::fragment::Fragment;
use crate::interface::Interface;
use crate::listener::{Listener, ListenerKeyV4, ListenerKeyV6, RANGE_FIXED_BITS, RangeKey, Vip};
use crate::pool::Pool;
use crate::quic::ServerIdKey;
use crate::reason::Reason;
use crate::ring::Slot;
use crate::told::Told;
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
    /// `BACKENDS`.
    pub backends: HashMap<u16, Backend>,
    /// `PROBES_V4`.
    pub probes_v4: HashMap<FlowKeyV4, u16>,
    /// `PROBES_V6`.
    pub probes_v6: HashMap<FlowKeyV6, u16>,
    /// `INTERFACES`.
    pub interfaces: HashMap<u32, Interface>,
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
    /// `RINGS_SEEN`.
    pub seen: HashMap<u32, u32>,
    /// `POOL_STATES`: turns taken.
    pub turns: HashMap<u16, u32>,
    /// `LISTENER_STATES`.
    pub listener_states: HashMap<u16, ListenerState>,
    /// `BACKEND_STATES`: open connections.
    pub backend_connections: HashMap<u16, u64>,
    /// `BACKENDS_NAMED`.
    pub named: HashMap<u16, u32>,
    /// `FLOW_BUDGETS`.
    pub budgets: HashMap<u16, FlowBudget>,
    /// `FLOWS_V4`.
    pub flows_v4: HashMap<FlowKeyV4, Flow>,
    /// `FLOWS_V6`.
    pub flows_v6: HashMap<FlowKeyV6, Flow>,
    /// `FRAGMENTS_V4`.
    pub fragments_v4: HashMap<FlowKeyV4, Fragment>,
    /// `FRAGMENTS_V6`.
    pub fragments_v6: HashMap<FlowKeyV6, Fragment>,
    /// `ERRORS_TOLD` of the one CPU.
    pub told: Told,
    /// `LISTENER_COUNTERS`.
    pub listeners: HashMap<u16, Counter>,
    /// `BACKEND_COUNTERS`.
    pub backends: HashMap<u16, Counter>,
    /// `REASON_COUNTERS`.
    pub reasons: HashMap<Reason, Counter>,
}

impl Memory {
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
    fn note_moving(&self, index: u32, now: u32) {
        self.written.borrow_mut().seen.insert(index, now);
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
    fn backend_connections(&self, backend: u16) -> u32 {
        connections(self.written.borrow().backend_connections.get(&backend).copied().unwrap_or(0))
    }
    fn backend(&self, id: u16) -> Option<&Backend> {
        self.backends.get(&id)
    }
    fn flow_v4(&self, key: &FlowKeyV4, oldest: u32, now: u32) -> Option<Flow> {
        refresh(self.written.borrow_mut().flows_v4.get_mut(key)?, oldest, now)
    }
    fn flow_v6(&self, key: &FlowKeyV6, oldest: u32, now: u32) -> Option<Flow> {
        refresh(self.written.borrow_mut().flows_v6.get_mut(key)?, oldest, now)
    }
    fn may_record(&self, listener: u16, budget: u32, now: u32) -> bool {
        self.written.borrow_mut().budgets.entry(listener).or_default().take(budget, now)
    }
    fn record_v4(&self, key: &FlowKeyV4, flow: Flow) {
        self.written.borrow_mut().flows_v4.insert(*key, flow);
    }
    fn record_v6(&self, key: &FlowKeyV6, flow: Flow) {
        self.written.borrow_mut().flows_v6.insert(*key, flow);
    }
    fn close_v4(&self, key: &FlowKeyV4) -> bool {
        self.written.borrow_mut().flows_v4.get_mut(key).is_some_and(close)
    }
    fn close_v6(&self, key: &FlowKeyV6) -> bool {
        self.written.borrow_mut().flows_v6.get_mut(key).is_some_and(close)
    }
    fn opened(&self, listener: u16, backend: u16) {
        let mut written = self.written.borrow_mut();
        let state = written.listener_states.entry(listener).or_default();
        state.connections = state.connections.wrapping_add(1);
        let connections = written.backend_connections.entry(backend).or_default();
        *connections = connections.wrapping_add(1);
    }
    fn closed(&self, listener: u16, backend: u16) {
        let mut written = self.written.borrow_mut();
        let state = written.listener_states.entry(listener).or_default();
        state.connections = state.connections.wrapping_sub(1);
        let connections = written.backend_connections.entry(backend).or_default();
        *connections = connections.wrapping_sub(1);
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
    fn may_answer(&self, now: u32) -> bool {
        self.written.borrow_mut().told.one_more(now)
    }
    fn now(&self) -> u32 {
        self.now
    }
    fn interface(&self, index: u32) -> Option<Interface> {
        self.interfaces.get(&index).copied()
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
    fn count_reason(&self, reason: Reason, bytes: u64) {
        self.written.borrow_mut().reasons.entry(reason).or_default().add(bytes);
    }
}

impl Probes for Memory {
    fn probed_v4(&self, key: &FlowKeyV4) -> Option<u16> {
        self.probes_v4.get(key).copied()
    }
    fn probed_v6(&self, key: &FlowKeyV6) -> Option<u16> {
        self.probes_v6.get(key).copied()
    }
}

fn refresh(flow: &mut Flow, oldest: u32, now: u32) -> Option<Flow> {
    if flow.seen < oldest {
        return None;
    }
    flow.seen = now;
    Some(*flow)
}

fn close(flow: &mut Flow) -> bool {
    let was_open = flow.is_open();
    flow.flags &= !flow_flags::OPEN;
    was_open
}

/// Whether the first bits of two keys are the same.
fn covers<K: bytemuck::NoUninit>(bits: u32, prefix: &K, key: &K) -> bool {
    let bytes = bytemuck::bytes_of(prefix).iter().zip(bytemuck::bytes_of(key));
    let same = bytes
        .map(|(a, b)| (a ^ b).leading_zeros())
        .try_fold(0, |sum, zeros| if zeros == 8 { Ok(sum + 8) } else { Err(sum + zeros) });
    same.unwrap_or_else(|sum| sum) >= bits
}
