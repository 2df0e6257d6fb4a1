//! The maps as the packet path would meet them now: read when asked, one key at a time. What the
//! packet path writes stays here.

use std::cell::{OnceCell, RefCell};

use aya::maps::MapError as AyaError;
use elb_common::addr::{Be32, Be128};
use elb_common::backend::Backend;
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6};
use elb_common::interface::Interface;
use elb_common::listener::{Listener, ListenerKeyV4, ListenerKeyV6, Pool, Vip};
use elb_common::names;
use elb_common::path::{Memory, Tables};
use elb_common::reason::Reason;
use elb_common::ring::Slot;

use super::{MapError, Maps, Record, at, coarse_seconds};

/// Tables over the maps in use that change nothing in them.
pub struct Live<'m> {
    maps: &'m Maps,
    /// Takes what is written.
    scratch: Memory,
    listeners: Kept<Listener>,
    backends: Kept<Backend>,
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

    fn read<T>(&self, map: &'static str, read: Result<Record<T>, AyaError>) -> Option<T> {
        match read {
            Ok(Record(found)) => Some(found),
            Err(
                AyaError::KeyNotFound | AyaError::ElementNotFound | AyaError::OutOfBounds { .. },
            ) => None,
            Err(error) => {
                self.failed.borrow_mut().get_or_insert(at(map)(error));
                None
            }
        }
    }
}

impl Tables for Live<'_> {
    fn listener_v4(&self, key: &ListenerKeyV4) -> Option<&Listener> {
        let found = self.maps.listeners_v4.get(&Record(*key), 0);
        self.read(names::LISTENERS_V4, found).map(|found| self.listeners.keep(found))
    }
    fn listener_v6(&self, key: &ListenerKeyV6) -> Option<&Listener> {
        let found = self.maps.listeners_v6.get(&Record(*key), 0);
        self.read(names::LISTENERS_V6, found).map(|found| self.listeners.keep(found))
    }
    fn vip_v4(&self, address: Be32) -> Option<Vip> {
        self.read(names::VIPS_V4, self.maps.vips_v4.get(&Record(address.raw()), 0))
    }
    fn vip_v6(&self, address: Be128) -> Option<Vip> {
        self.read(names::VIPS_V6, self.maps.vips_v6.get(&Record(address.raw()), 0))
    }
    fn slot(&self, index: u32) -> Option<Slot> {
        self.maps.rings.slot(index)
    }
    fn note_moving(&self, index: u32, now: u32) {
        self.scratch.note_moving(index, now);
    }
    fn pool(&self, id: u16) -> Option<Pool> {
        self.read(names::POOLS, self.maps.pools.get(&u32::from(id), 0))
    }
    fn backend(&self, id: u16) -> Option<&Backend> {
        let found = self.maps.backends.get(&u32::from(id), 0);
        self.read(names::BACKENDS, found).map(|found| self.backends.keep(found))
    }
    fn flow_v4(&self, key: &FlowKeyV4, now: u32) -> Option<u16> {
        let found = self.read(names::FLOWS_V4, self.maps.flows_v4.get(&Record(*key), 0));
        self.scratch.flow_v4(key, now).or_else(|| u16::try_from(found?.backend).ok())
    }
    fn flow_v6(&self, key: &FlowKeyV6, now: u32) -> Option<u16> {
        let found = self.read(names::FLOWS_V6, self.maps.flows_v6.get(&Record(*key), 0));
        self.scratch.flow_v6(key, now).or_else(|| u16::try_from(found?.backend).ok())
    }
    fn record_v4(&self, key: &FlowKeyV4, flow: Flow) {
        self.scratch.record_v4(key, flow);
    }
    fn record_v6(&self, key: &FlowKeyV6, flow: Flow) {
        self.scratch.record_v6(key, flow);
    }
    fn now(&self) -> u32 {
        self.scratch.now
    }
    fn interface(&self, index: u32) -> Option<Interface> {
        self.read(names::INTERFACES, self.maps.interfaces.get(&Record(index), 0))
    }
    fn redirect(&self, ifindex: u32) -> bool {
        self.read(names::DEVMAP, self.maps.devices.get(ifindex, 0).map(Record)).is_some()
    }
    fn count_listener(&self, id: u16, bytes: u64) {
        self.scratch.count_listener(id, bytes);
    }
    fn count_backend(&self, id: u16, bytes: u64) {
        self.scratch.count_backend(id, bytes);
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
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays() {
        let kept = Kept::default();
        let all: Vec<&u32> = (0..5).map(|n| kept.keep(n)).collect();
        assert_eq!(all, [&0, &1, &2, &3, &4]);
    }
}
