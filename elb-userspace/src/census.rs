//! What the flow tables say: how many flows and open connections each member and each listener has,
//! which records are over, and how far the counts of packets have gone astray.
//!
//! Packets count connections up and down as they come and go. They cannot see a record that makes
//! room for another one, or a connection that just falls silent; a census of the tables, from time
//! to time, can.

use std::collections::HashMap;
use std::net::IpAddr;

use elb_common::backend::backend_flags;
use elb_common::flow::Flow;
use elb_common::listener::listener_flags;

use crate::assign::Assignments;
use crate::flows::Key;
use crate::model::port_range::PortPrefix;
use crate::publish::{Image, ListenerKey, RangeEntry};

/// No listener keeps flows for longer, in seconds: the greatest idle timeout.
const LONGEST: u32 = 4000;

/// What a census needs to know of everything else.
#[derive(Clone, Debug, Default)]
pub struct Register {
    now: u32,
    /// By id: the second since when a record counts. None: no such backend, or it serves nothing.
    backends: Vec<Option<Member>>,
    listeners: HashMap<ListenerKey, u16>,
    ranges: HashMap<RangeEntry, u16>,
    /// Numbers of virtual addresses.
    vips: HashMap<IpAddr, u32>,
    /// Ids of listeners whose connections are counted.
    counted: Vec<bool>,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    /// The second before which a record was seen for the last time that counts no more.
    oldest: u32,
    serves: bool,
}

impl Register {
    /// Who is who in the maps at second `now`.
    pub fn new(assignments: &Assignments, image: &Image, now: u32) -> Self {
        let mut register = Self { now, ..Self::default() };
        for pool in assignments.pools.values() {
            let Some(record) = image.pools.get(&pool.id) else { continue };
            let oldest = record.oldest(now);
            for member in &pool.members {
                let backend = image.backends.get(&member.id);
                let serves = backend.is_some_and(|b| b.flags & backend_flags::ESTABLISHED != 0);
                put(&mut register.backends, member.id, Some(Member { oldest, serves }));
            }
        }
        register.listeners = image.listeners.iter().map(|(key, l)| (*key, l.id)).collect();
        register.ranges = image.ranges.iter().map(|(entry, l)| (*entry, l.id)).collect();
        register.vips = image.vips.iter().map(|(address, vip)| (*address, vip.number)).collect();
        for listener in image.listeners.values().chain(image.ranges.values()) {
            let counts = listener.flags & listener_flags::TRACKED != 0;
            put(&mut register.counted, listener.id, counts);
        }
        register
    }

    /// Whether any listener counts its connections.
    pub fn counts(&self) -> bool {
        self.counted.contains(&true)
    }

    fn backend(&self, id: u16) -> Option<Member> {
        self.backends.get(usize::from(id)).copied().flatten()
    }

    /// The listener that an open connection counts for.
    fn counted(&self, key: &Key) -> Option<u16> {
        let listener = match key.connection() {
            Some((_, listener)) => listener,
            None => self.listener(key)?,
        };
        let is_counted = self.counted.get(usize::from(listener)).copied().unwrap_or(false);
        is_counted.then_some(listener)
    }

    /// The listener that a flow goes to: that of its port, or of the narrowest range with it.
    fn listener(&self, key: &Key) -> Option<u16> {
        let (_, destination, protocol) = key.five_tuple();
        let (address, port) = (destination.ip(), destination.port());
        let exact = self.listeners.get(&ListenerKey { address, port, protocol });
        if exact.is_some() || self.ranges.is_empty() {
            return exact.copied();
        }
        let vip = *self.vips.get(&address)?;
        let around = |bits: u8| {
            let rest = u16::MAX.checked_shr(bits.into()).unwrap_or(0);
            let ports = PortPrefix { port: port & !rest, bits };
            self.ranges.get(&RangeEntry { vip, protocol, ports }).copied()
        };
        (0..=16).rev().find_map(around)
    }

    /// What becomes of a record as it is now.
    pub fn fate(&self, flow: Flow) -> Fate {
        match self.backend(flow.backend) {
            Some(member) if member.serves && flow.seen >= member.oldest => Fate::Lives,
            Some(_) => Fate::Over,
            // Perhaps a backend that came after the register was made.
            None if flow.seen >= self.now.saturating_sub(LONGEST) => Fate::Unknown,
            None => Fate::Over,
        }
    }
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It counts.
    Lives,
    /// It counts no more, and never will.
    Over,
    /// It names nobody that is known.
    Unknown,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Records that count, by backend id.
    flows: Vec<u32>,
    /// Open connections by backend id.
    open_by_backend: Vec<u32>,
    /// Open connections by listener id.
    open_by_listener: Vec<u32>,
}

impl Census {
    /// Counts a record that lives.
    pub fn count(&mut self, register: &Register, key: &Key, flow: Flow) {
        add_one(&mut self.flows, flow.backend);
        if !flow.is_open() {
            return;
        }
        if let Some(listener) = register.counted(key) {
            add_one(&mut self.open_by_backend, flow.backend);
            add_one(&mut self.open_by_listener, listener);
        }
    }

    /// How many records a backend has that count.
    pub fn flows(&self, backend: u16) -> u32 {
        at(&self.flows, backend)
    }

    /// How many open connections a backend has.
    pub fn open_by_backend(&self, backend: u16) -> u32 {
        at(&self.open_by_backend, backend)
    }

    /// How many open connections a listener has.
    pub fn open_by_listener(&self, listener: u16) -> u32 {
        at(&self.open_by_listener, listener)
    }
}

/// How far the counts of packets are off, by id, as far as it was not mended yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift(Vec<i64>);

impl Drift {
    /// What to add to a count that was `before` and `after` the census, which found `open`.
    ///
    /// Connections that come and go during a census make it inexact by as many. What two of them in
    /// a row agree on is wrong with the count.
    pub fn mend(&mut self, id: u16, before: u64, after: u64, open: u32) -> i64 {
        let change = after.wrapping_sub(before).cast_signed();
        let expected = before.cast_signed().wrapping_add(change / 2);
        let off = i64::from(open).wrapping_sub(expected);
        let was_off = self.0.get(usize::from(id)).copied().unwrap_or(0);
        let agreed = match (off > 0, was_off > 0) {
            (true, true) => off.min(was_off),
            (false, false) => off.max(was_off),
            (true, false) | (false, true) => 0,
        };
        put(&mut self.0, id, off - agreed);
        agreed
    }
}

fn add_one(counts: &mut Vec<u32>, id: u16) {
    let count = at(counts, id);
    put(counts, id, count.saturating_add(1));
}

fn at(counts: &[u32], id: u16) -> u32 {
    counts.get(usize::from(id)).copied().unwrap_or(0)
}

fn put<T: Clone + Default>(values: &mut Vec<T>, id: u16, value: T) {
    let id = usize::from(id);
    if values.len() <= id {
        values.resize(id + 1, T::default());
    }
    values[id] = value;
}

#[cfg(test)]
mod tests;
