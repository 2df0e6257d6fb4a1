//! The maps of source addresses: which there are, whose their ports are, and what clients know listeners by.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aya::Ebpf;
use aya::maps::MapData;
use elb_common::listener::ListenerEndpoint;
use elb_common::names;
use elb_common::snat::Snat;

use super::{MapArray, MapError, Maps, array, at, ids, take};
use crate::control::plan::Image;
use crate::kernel::bpf::bindings::Bindings;
use crate::kernel::bpf::object::Capacity;
use crate::kernel::bpf::record::Record;

/// `SNAT`, `BINDINGS_V4` and `LISTENER_ENDPOINTS`.
pub(super) struct SnatMaps {
    snat: MapArray<Snat>,
    bindings: Arc<Bindings>,
    counted: Counted,
    endpoints: MapArray<ListenerEndpoint>,
}

impl SnatMaps {
    pub(super) fn take(ebpf: &mut Ebpf, capacity: Capacity) -> Result<Self, MapError> {
        let map: MapData = array(ebpf, names::BINDINGS_V4);
        let bindings = Bindings::new(map.fd(), capacity.bindings)
            .map_err(|error| at(names::BINDINGS_V4)(aya::maps::MapError::IoError(error)))?;
        Ok(Self {
            snat: take(ebpf, names::SNAT)?,
            bindings: Arc::new(bindings),
            counted: Counted::default(),
            endpoints: take(ebpf, names::LISTENER_ENDPOINTS)?,
        })
    }

    /// Adds what they hold to an image.
    pub(super) fn read(&self, image: &mut Image, capacity: Capacity) -> Result<(), MapError> {
        image.snat = self.snat.get(&0, 0).map_err(at(names::SNAT))?.0;
        for id in ids(capacity.listeners) {
            let endpoint = self.endpoints.get(&u32::from(id), 0);
            let endpoint = endpoint.map_err(at(names::LISTENER_ENDPOINTS))?.0;
            if endpoint != ListenerEndpoint::default() {
                image.endpoints.insert(id, endpoint);
            }
        }
        Ok(())
    }

    pub(super) fn put(&mut self, snat: &Snat) -> Result<(), MapError> {
        self.snat.set(0, Record(*snat), 0).map_err(at(names::SNAT))
    }

    pub(super) fn put_endpoint(
        &mut self,
        id: u16,
        endpoint: &ListenerEndpoint,
    ) -> Result<(), MapError> {
        self.endpoints
            .set(u32::from(id), Record(*endpoint), 0)
            .map_err(at(names::LISTENER_ENDPOINTS))
    }

    /// Forgets whose the ports are.
    pub(super) fn clear(&self) {
        self.bindings.clear();
        self.counted.0.store(0, Ordering::Relaxed);
    }
}

/// How many ports were in use when, since counting takes milliseconds for each address.
#[derive(Debug, Default)]
struct Counted(AtomicU64);

/// Seconds for which a count is good enough.
const GOOD: u64 = 5;

/// Numbers that bindings name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BoundNumbers {
    /// Ids of backends.
    pub backends: BTreeSet<u16>,
    /// Ids of listeners.
    pub listeners: BTreeSet<u16>,
}

impl Maps {
    /// How many ports of source addresses are in use, or were a few seconds ago.
    pub fn source_ports_in_use(&self, now: u32) -> u32 {
        let last = &self.snat.counted.0;
        let word = last.load(Ordering::Relaxed);
        if word != 0 && u64::from(now).wrapping_sub(word >> 32) < GOOD {
            return u32::try_from(word & u64::from(u32::MAX)).unwrap_or(u32::MAX);
        }
        let used = self.snat.bindings.in_use(now);
        last.store(u64::from(now) << 32 | u64::from(used), Ordering::Relaxed);
        used
    }

    /// The numbers that flows with a port of a source address name.
    pub fn bound_numbers(&self, now: u32) -> BoundNumbers {
        let mut numbers = BoundNumbers::default();
        self.snat.bindings.walk(|_, binding| {
            if !binding.course.is_over(now) {
                numbers.backends.insert(binding.course.backend());
                numbers.listeners.insert(binding.owner.listener());
            }
            ControlFlow::Continue(())
        });
        numbers
    }

    /// Whose the ports of source addresses are.
    pub fn bindings(&self) -> Arc<Bindings> {
        self.snat.bindings.clone()
    }
}
