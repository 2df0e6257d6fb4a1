//! Tables in memory: what the packet path would do, without a kernel.

use core::cell::RefCell;
use std::collections::HashMap;

use super::Tables;
use crate::addr::{Be32, Be128};
use crate::backend::Backend;
use crate::counter::Counter;
use crate::flow::{Flow, FlowKeyV4, FlowKeyV6};
use crate::fragment::Fragment;
use crate::interface::Interface;
use crate::listener::{Listener, ListenerKeyV4, ListenerKeyV6, Pool, Vip};
use crate::reason::Reason;
use crate::ring::Slot;
use crate::told::Told;

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
    /// `RINGS`.
    pub slots: std::vec::Vec<Slot>,
    /// `POOLS`.
    pub pools: HashMap<u16, Pool>,
    /// `BACKENDS`.
    pub backends: HashMap<u16, Backend>,
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

impl Tables for Memory {
    fn listener_v4(&self, key: &ListenerKeyV4) -> Option<&Listener> {
        self.listeners_v4.get(key)
    }
    fn listener_v6(&self, key: &ListenerKeyV6) -> Option<&Listener> {
        self.listeners_v6.get(key)
    }
    fn vip_v4(&self, address: Be32) -> Option<Vip> {
        self.vips_v4.get(&address).copied()
    }
    fn vip_v6(&self, address: Be128) -> Option<Vip> {
        self.vips_v6.get(&address).copied()
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
    fn backend(&self, id: u16) -> Option<&Backend> {
        self.backends.get(&id)
    }
    fn flow_v4(&self, key: &FlowKeyV4, now: u32) -> Option<u16> {
        let mut written = self.written.borrow_mut();
        let flow = written.flows_v4.get_mut(key)?;
        flow.seen = now;
        Some(flow.backend as u16)
    }
    fn flow_v6(&self, key: &FlowKeyV6, now: u32) -> Option<u16> {
        let mut written = self.written.borrow_mut();
        let flow = written.flows_v6.get_mut(key)?;
        flow.seen = now;
        Some(flow.backend as u16)
    }
    fn record_v4(&self, key: &FlowKeyV4, flow: Flow) {
        self.written.borrow_mut().flows_v4.insert(*key, flow);
    }
    fn record_v6(&self, key: &FlowKeyV6, flow: Flow) {
        self.written.borrow_mut().flows_v6.insert(*key, flow);
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
