//! Tracing in the kernel: which packets are reported, and what is reported about them.

use std::io;
use std::os::fd::{AsRawFd, RawFd};

use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use elb_common::names;
use elb_common::trace::{Trace, trace_counter};
use tokio::io::unix::AsyncFd;

use super::maps::{MapError, at, take};
use super::object::LoadedObject;
use super::record::Record;

/// The maps of the program `elb_traced` that no other program uses. Readable, as a descriptor, when
/// there are events.
pub struct Tracer {
    trace: Array<MapData, Record<Trace>>,
    events: RingBuf<MapData>,
    counters: PerCpuArray<MapData, u64>,
}

/// Packets that were asked for, since the maps were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// All of them.
    pub matched: u64,
    /// Those beyond the limit per second.
    pub limited: u64,
    /// Those that found the buffer full.
    pub full: u64,
}

impl Tracer {
    /// Takes the maps of a loaded object.
    ///
    /// # Errors
    /// The buffer cannot be mapped.
    pub fn new(object: &mut LoadedObject) -> Result<Self, MapError> {
        let ebpf = &mut object.ebpf;
        Ok(Self {
            trace: take(ebpf, names::TRACE)?,
            events: take(ebpf, names::EVENTS)?,
            counters: take(ebpf, names::TRACE_COUNTERS)?,
        })
    }

    /// Lets a task wait for events.
    ///
    /// # Errors
    /// The runtime cannot watch the buffer.
    pub fn watched(self) -> io::Result<AsyncFd<Self>> {
        // SAFETY: the tracer owns its buffer's descriptor and keeps it open for as long as it lives,
        // which is as long as the `AsyncFd` that owns it.
        Ok(unsafe { AsyncFd::register(self) }?)
    }

    /// Says which packets to report.
    ///
    /// # Errors
    /// The map cannot be written.
    pub fn set(&mut self, trace: Trace) -> Result<(), MapError> {
        self.trace.set(0, Record(trace), 0).map_err(at(names::TRACE))
    }

    /// Takes events, oldest first, at most `most`; true if there may be more.
    pub fn take(&mut self, most: usize, mut each: impl FnMut(&[u8])) -> bool {
        for _ in 0..most {
            match self.events.next() {
                Some(event) => each(&event),
                None => return false,
            }
        }
        true
    }

    /// How many packets were asked for, and how many of them were not reported.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn counted(&self) -> Result<Counted, MapError> {
        let sum = |index: u32| {
            let values = self.counters.get(&index, 0).map_err(at(names::TRACE_COUNTERS))?;
            Ok(values.iter().sum())
        };
        Ok(Counted {
            matched: sum(trace_counter::MATCHED)?,
            limited: sum(trace_counter::LIMITED)?,
            full: sum(trace_counter::FULL)?,
        })
    }
}

impl AsRawFd for Tracer {
    fn as_raw_fd(&self) -> RawFd {
        self.events.as_raw_fd()
    }
}
