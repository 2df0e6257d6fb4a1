//! The maps of source addresses: which there are, whose their ports are, and what clients know listeners by.

use std::sync::Arc;

use aya::Ebpf;
use aya::maps::MapData;
use elb_common::binding::Bucket;
use elb_common::listener::ListenerEndpoint;
use elb_common::names;
use elb_common::snat::Snat;

use super::{MapArray, MapError, array, at, ids, take};
use crate::control::plan::Image;
use crate::kernel::bpf::object::Capacity;
use crate::kernel::bpf::record::Record;
use crate::kernel::bpf::shared::Shared;

/// `SNAT`, `BINDINGS_V4` and `LISTENER_ENDPOINTS`.
pub(super) struct SnatMaps {
    snat: MapArray<Snat>,
    bindings: Arc<Shared<Bucket>>,
    endpoints: MapArray<ListenerEndpoint>,
}

impl SnatMaps {
    pub(super) fn take(ebpf: &mut Ebpf, capacity: Capacity) -> Result<Self, MapError> {
        let map: MapData = array(ebpf, names::BINDINGS_V4);
        let bindings = Shared::new(map.fd(), capacity.bindings)
            .map_err(|error| at(names::BINDINGS_V4)(aya::maps::MapError::IoError(error)))?;
        Ok(Self {
            snat: take(ebpf, names::SNAT)?,
            bindings: Arc::new(bindings),
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
    }
}
