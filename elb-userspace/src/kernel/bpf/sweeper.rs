//! Sweeps of the flow tables, inside the kernel: the agent says when, and reads what they found.

use std::io;
use std::mem::offset_of;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aya::maps::{Array, MapData};
use elb_common::admission::{BackendState, ListenerState, connections};
use elb_common::names;
use elb_common::room::FlowTable;
use elb_common::sweep::{BackendCensus, ListenerCensus, Sweep, table};

use super::clock::coarse_seconds;
use super::maps::{MapError, at, take};
use super::object::{Capacity, LoadedObject, sweep_program};
use super::record::Record;
use super::shared::Shared;
use super::syscall;
use crate::control::census::{Census, Drift, Fill};

/// One sweeper of all tables.
pub struct Sweeper {
    program: OwnedFd,
    terms: Array<MapData, Record<Sweep>>,
    tables: Shared<FlowTable>,
    listeners: Shared<ListenerState>,
    backends: Shared<BackendState>,
    found_backends: Shared<BackendCensus>,
    found_listeners: Shared<ListenerCensus>,
    drifts: Drifts,
}

/// How far the counts of packets are off.
#[derive(Debug, Default)]
struct Drifts {
    backends: Drift,
    listeners: Drift,
    records: [Drift; 2],
    strays: [Drift; 2],
    tables: Drift,
}

impl Sweeper {
    /// Takes the program and the maps of a loaded object, whose pinned maps have these sizes.
    ///
    /// # Errors
    /// A map cannot be mapped.
    pub fn new(object: &mut LoadedObject, capacity: Capacity) -> io::Result<Self> {
        let program = sweep_program(&mut object.ebpf).fd().map_err(io::Error::other)?;
        let program = program.as_fd().try_clone_to_owned()?;
        let directory = object.directory.clone();
        let ebpf = &mut object.ebpf;
        let terms = take(ebpf, names::SWEEP).map_err(io::Error::other)?;
        let [found_backends, found_listeners] = [names::BACKEND_CENSUS, names::LISTENER_CENSUS]
            .map(|name| super::maps::array(ebpf, name));
        let sweeper = Self {
            program,
            terms,
            tables: pinned(&directory, names::FLOW_TABLES, 2)?,
            listeners: pinned(&directory, names::LISTENER_STATES, capacity.listeners)?,
            backends: pinned(&directory, names::BACKEND_STATES, capacity.backends)?,
            found_backends: Shared::new(found_backends.fd(), capacity.backends)?,
            found_listeners: Shared::new(found_listeners.fd(), capacity.listeners)?,
            drifts: Drifts::default(),
        };
        for index in 0..2 {
            if let Some(room) = sweeper.tables.half(index, offset_of!(FlowTable, room)) {
                room.store(room_of(capacity.flows), Ordering::Relaxed);
            }
            // Counts in new maps are right without a sweep: limits hold from the first connection on.
            if let Some(swept) = sweeper.tables.half(index, offset_of!(FlowTable, swept)) {
                let _ = swept.compare_exchange(
                    0,
                    coarse_seconds(),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                );
            }
        }
        Ok(sweeper)
    }

    /// How full the fuller of the tables is.
    pub fn fill(&self) -> Fill {
        let fill = |index| {
            let FlowTable { records, room, .. } = self.tables.read(index);
            Fill { records: connections(records), room }
        };
        fill(0).max(fill(1))
    }

    /// When a table was last swept, in coarse monotonic seconds; 0: never.
    pub fn swept(&self) -> u32 {
        self.tables.read(0).swept
    }

    /// Removes what is over from all tables, and counts what lives.
    ///
    /// # Errors
    /// The kernel refuses to run the program.
    pub fn sweep(&mut self) -> Result<Census, MapError> {
        let begun = worked();
        let now = coarse_seconds();
        self.found_backends.clear();
        self.found_listeners.clear();
        [table::OPENINGS_V4, table::OPENINGS_V6]
            .into_iter()
            .try_for_each(|table| self.sweep_table(table, now))?;
        // Counts are of the other tables: what comes and goes before their turn makes nothing inexact.
        let before = (self.backends.all(), self.listeners.all(), self.records());
        [table::FLOWS_V4, table::FLOWS_V6]
            .into_iter()
            .try_for_each(|table| self.sweep_table(table, now))?;
        // Last: whom a client is remembered with has a record if it comes from now on.
        [table::CLIENT_OPENINGS, table::CLIENTS]
            .into_iter()
            .try_for_each(|table| self.sweep_table(table, now))?;
        let (backends, listeners) = (self.found_backends.all(), self.found_listeners.all());
        self.correct(&before, &backends, &listeners);
        for index in 0..2 {
            if let Some(swept) = self.tables.half(index, offset_of!(FlowTable, swept)) {
                swept.store(now, Ordering::Relaxed);
            }
        }
        let open = self.backends.all().iter().any(|state| state.connections != 0);
        let took = worked().saturating_sub(begun);
        Ok(Census { swept: now, backends, listeners, is_counting: open, fill: self.fill(), took })
    }

    fn sweep_table(&mut self, table: u32, now: u32) -> Result<(), MapError> {
        let terms = Sweep { now, closed_for: self.fill().closed_for(), table, reserved: 0 };
        self.terms.set(0, Record(terms), 0).map_err(at(names::SWEEP))?;
        syscall::run(&self.program)
            .map_err(|error| at(names::FLOWS_V4)(aya::maps::MapError::IoError(error)))
    }

    fn records(&self) -> [u64; 2] {
        [0, 1].map(|index| self.tables.read(index).records)
    }

    /// Corrects the counts that packets keep by what the sweep found.
    fn correct(
        &mut self,
        (backends, listeners, records): &(Vec<BackendState>, Vec<ListenerState>, [u64; 2]),
        found_backends: &[BackendCensus],
        found_listeners: &[ListenerCensus],
    ) {
        for (id, (before, found)) in backends.iter().zip(found_backends).enumerate() {
            let place = (id, offset_of!(BackendState, connections));
            let count = Counted::new(before.connections, found.open, found.ended);
            count.correct(&self.backends, place, &mut self.drifts.backends);
        }
        let mut all = [Counted::default(), Counted::default()];
        for (id, (before, found)) in listeners.iter().zip(found_listeners).enumerate() {
            let place = (id, offset_of!(ListenerState, connections));
            let count = Counted::new(before.connections, found.open, found.ended);
            count.correct(&self.listeners, place, &mut self.drifts.listeners);
            for (index, all) in all.iter_mut().enumerate() {
                let place = (id, offset_of!(ListenerState, records) + 8 * index);
                let (records, over) = (found.records[index], found.over[index]);
                let count = Counted::new(before.records[index], records, over);
                count.correct(&self.listeners, place, &mut self.drifts.records[index]);
                all.found = all.found.saturating_add(records);
                all.over = all.over.saturating_add(over);
                let place = (id, offset_of!(ListenerState, strays) + 8 * index);
                let (strays, over) = (found.strays[index], found.over_strays[index]);
                let count = Counted::new(before.strays[index], strays, over);
                count.correct(&self.listeners, place, &mut self.drifts.strays[index]);
            }
        }
        for (index, (all, before)) in all.into_iter().zip(*records).enumerate() {
            let place = (index, offset_of!(FlowTable, records));
            let count = Counted { before, ..all };
            count.correct(&self.tables, place, &mut self.drifts.tables);
        }
    }
}

/// What packets counted before a sweep, and what it found.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    before: u64,
    /// What lives.
    found: u32,
    /// What the sweep removed.
    over: u32,
}

impl Counted {
    const fn new(before: u64, found: u32, over: u32) -> Self {
        Self { before, found, over }
    }

    /// Corrects the count at an offset of an element.
    fn correct<T: bytemuck::Pod>(
        self,
        counts: &Shared<T>,
        (element, offset): (usize, usize),
        drift: &mut Drift,
    ) {
        let Some(count) = counts.word(element, offset) else { return };
        let after = count.load(Ordering::Relaxed);
        let before = self.before.wrapping_sub(self.over.into());
        let off = drift.correct(element, before, after, self.found);
        if off != 0 {
            count.fetch_add(off.cast_unsigned(), Ordering::Relaxed);
        }
    }
}

/// Records that a table is filled with: some remain free, so that the kernel, which hands free elements
/// to CPUs in advance (at most 128 to each, `kernel/bpf/bpf_lru_list.c`), does not evict one that lives.
/// One listener finds room for half of them: 507,904 connections, if nothing else is set.
fn room_of(flows: u32) -> u32 {
    flows - flows / 32
}

/// Time that this thread has had on processors. What it waited for one says nothing of what a sweep costs.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

fn pinned<T: bytemuck::Pod>(
    directory: &Path,
    name: &'static str,
    elements: u32,
) -> io::Result<Shared<T>> {
    let map = MapData::from_pin(directory.join(name))
        .map_err(|error| io::Error::other(at(name)(error)))?;
    Shared::new(map.fd(), elements)
}
