//! The flow log in the kernel, and what is for sFlow: how much is written down, and what.

use std::io;
use std::ops::Add;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::sync::Arc;

use aya::maps::{Array, MapData, PerCpuArray, RingBuf};
use elb_common::flow_log::{FlowEvent, FlowLog, flow_counter};
use elb_common::names;

use super::clock::coarse_seconds;
use super::maps::{MapError, at, take};
use super::object::LoadedObject;
use super::record::Record;

/// Seconds for which the kernel goes on without an agent.
const LEASE: u32 = 120;

/// How much the kernel writes down, and its counters. The events are [`FlowRing`]'s.
pub struct FlowLogMaps {
    log: Array<MapData, Record<FlowLog>>,
    counters: FlowCounters,
}

/// The counters.
#[derive(Clone)]
pub struct FlowCounters(Arc<PerCpuArray<MapData, u64>>);

/// The events, for who reads them.
pub struct FlowRing {
    events: RingBuf<MapData>,
    readable: OwnedFd,
}

/// What packets met, since the maps were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoggedCounts {
    /// Opens, ends and refusals, those that were lost included.
    pub kinds: [u64; 3],
    /// Beyond the budget.
    pub rate: u64,
    /// The ring was full.
    pub ring: u64,
    /// Refusals and samples for sFlow that were lost.
    pub unsampled: [u64; 2],
}

/// What the kernel writes down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlowsAsked {
    /// Opens, ends and refusals.
    pub log: bool,
    /// Refusals with the first bytes of their frames.
    pub discards: bool,
    /// One of so many packets; 0: none.
    pub sampling: u32,
    /// So many a second at most, and as many samples, on all CPUs together.
    pub events_per_second: u32,
}

impl FlowLogMaps {
    /// Takes the maps of a loaded object.
    ///
    /// # Errors
    /// The ring cannot be mapped, or there are no descriptors.
    pub fn new(object: &mut LoadedObject) -> Result<(Self, FlowRing), MapError> {
        let ebpf = &mut object.ebpf;
        let events: RingBuf<MapData> = take(ebpf, names::FLOW_EVENTS)?;
        let readable = duplicate(&events).map_err(aya::maps::MapError::IoError);
        let readable = readable.map_err(at(names::FLOW_EVENTS))?;
        let counters = FlowCounters(Arc::new(take(ebpf, names::FLOW_COUNTERS)?));
        let maps = Self { log: take(ebpf, names::FLOW_LOG)?, counters };
        Ok((maps, FlowRing { events, readable }))
    }

    /// Lets the kernel write this down, for the time of a lease.
    ///
    /// # Errors
    /// The map cannot be written.
    pub fn allow(&mut self, asked: FlowsAsked) -> Result<(), MapError> {
        let cpus = aya::util::online_cpus().map_or(1, |cpus| cpus.len()).max(1);
        let budget = asked.events_per_second.div_ceil(u32::try_from(cpus).unwrap_or(1)).max(2);
        let log = FlowLog {
            budget,
            until: coarse_seconds().saturating_add(LEASE),
            logged: asked.log.into(),
            discards: asked.discards.into(),
            sampling: asked.sampling,
        };
        self.log.set(0, Record(log), 0).map_err(at(names::FLOW_LOG))
    }

    /// Lets the kernel write down nothing.
    ///
    /// # Errors
    /// The map cannot be written.
    pub fn forbid(&mut self) -> Result<(), MapError> {
        self.log.set(0, Record(FlowLog::default()), 0).map_err(at(names::FLOW_LOG))
    }

    /// The counters, for another reader.
    pub fn counters(&self) -> FlowCounters {
        self.counters.clone()
    }
}

impl FlowCounters {
    /// What packets met.
    ///
    /// # Errors
    /// The map cannot be read.
    pub fn counted(&self) -> Result<LoggedCounts, MapError> {
        let sum = |index: u32| -> Result<u64, MapError> {
            let values = self.0.get(&index, 0).map_err(at(names::FLOW_COUNTERS))?;
            Ok(values.iter().sum())
        };
        let kinds = [flow_counter::OPENS, flow_counter::ENDS, flow_counter::REFUSALS];
        let [opens, ends, refusals] = kinds.map(sum);
        Ok(LoggedCounts {
            kinds: [opens?, ends?, refusals?],
            rate: sum(flow_counter::RATE)?,
            ring: sum(flow_counter::RING)?,
            unsampled: [sum(flow_counter::DISCARDS_LOST)?, sum(flow_counter::SAMPLES_LOST)?],
        })
    }
}

impl Add for LoggedCounts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        let kinds = std::array::from_fn(|kind| self.kinds[kind] + other.kinds[kind]);
        let unsampled = std::array::from_fn(|kind| self.unsampled[kind] + other.unsampled[kind]);
        Self { kinds, rate: self.rate + other.rate, ring: self.ring + other.ring, unsampled }
    }
}

impl FlowRing {
    /// Takes events, oldest first, at most `most`, each with the first bytes of its frame; true if there may be
    /// more.
    pub fn take(&mut self, most: usize, mut each: impl FnMut(&FlowEvent, &[u8])) -> bool {
        for _ in 0..most {
            let Some(event) = self.events.next() else { return false };
            if let Some((event, header)) = event.split_at_checked(size_of::<FlowEvent>()) {
                each(&bytemuck::pod_read_unaligned(event), header);
            }
        }
        true
    }
}

/// Readable while there are events.
impl AsFd for FlowRing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.readable.as_fd()
    }
}

fn duplicate(events: &RingBuf<MapData>) -> io::Result<OwnedFd> {
    // SAFETY: the buffer owns this descriptor and keeps it open meanwhile.
    let events = unsafe { BorrowedFd::borrow_raw(events.as_raw_fd()) };
    events.try_clone_to_owned()
}
