//! A flow table as the agent reads it: many records with one call.

use std::io;
use std::marker::PhantomData;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};

use bytemuck::Pod;
use elb_common::flow::Flow;

use super::syscall::{self, End};

/// Records that one call reads: with IPv6 keys 224 KiB.
const BATCH: usize = 4096;

/// `FLOWS_V4` or `FLOWS_V6`, or another map of many records.
#[derive(Debug)]
pub struct FlowTable<K, V = Flow> {
    map: OwnedFd,
    records: PhantomData<fn(K, V)>,
}

impl<K: Pod, V: Pod> FlowTable<K, V> {
    /// The map behind a descriptor, which must have keys and values of these types.
    ///
    /// # Errors
    /// There are no more file descriptors.
    pub fn new(map: impl AsFd) -> io::Result<Self> {
        Ok(Self { map: map.as_fd().try_clone_to_owned()?, records: PhantomData })
    }

    /// Shows every record to `visit`, until it breaks off. One that comes or goes meanwhile may be
    /// missed, none is shown twice. About 0.1 µs a record.
    ///
    /// # Errors
    /// The kernel refuses to read the map.
    pub fn walk(
        &self,
        mut visit: impl FnMut(&K, V) -> ControlFlow<()>,
    ) -> io::Result<ControlFlow<()>> {
        let mut keys = vec![K::zeroed(); BATCH];
        let mut flows = vec![V::zeroed(); BATCH];
        let mut next = None;
        loop {
            let mut after = 0u32;
            let (count, end) =
                syscall::read_batch(&self.map, next.as_ref(), &mut after, &mut keys, &mut flows)?;
            if end == End::NoRoom {
                // More records hash to one place than there is room for.
                keys.resize(keys.len() * 2, K::zeroed());
                flows.resize(keys.len(), V::zeroed());
                continue;
            }
            for (key, flow) in keys.iter().zip(&flows).take(count) {
                if visit(key, *flow).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            if end == End::Map {
                return Ok(ControlFlow::Continue(()));
            }
            next = Some(after);
        }
    }
}
