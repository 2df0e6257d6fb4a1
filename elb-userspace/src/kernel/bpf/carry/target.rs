//! Maps that take the place of others: what is written to them, and counted, while packets may do so too.

use std::io;
use std::mem::offset_of;
use std::path::Path;
use std::sync::atomic::Ordering;

use aya::maps::{HashMap, Map, MapData, MapError as AyaError};
use bytemuck::Pod;
use elb_common::admission::{BackendState, ListenerState};
use elb_common::flow::{Flow, FlowKeyV4, FlowKeyV6, Stage};
use elb_common::names;
use elb_common::room::{self, FlowTable};

use super::super::maps::{MapError, at};
use super::super::record::Record;
use super::super::shared::Shared;
use super::raw::RawMap;

type Flows<K> = HashMap<MapData, Record<K>, Record<Flow>>;

/// The flow tables of a folder of pins, and the counts of what is in them.
pub(super) struct Target {
    v4: Tables<FlowKeyV4>,
    v6: Tables<FlowKeyV6>,
    tables: Shared<FlowTable>,
    listeners: Shared<ListenerState>,
    backends: Shared<BackendState>,
}

/// The tables of an IP version.
pub(super) struct Tables<K: Pod> {
    openings: Flows<K>,
    live: Flows<K>,
    index: usize,
}

impl Target {
    pub(super) fn open(directory: &Path) -> Result<Self, MapError> {
        Ok(Self {
            v4: Tables::open(directory, [names::OPENINGS_V4, names::FLOWS_V4], room::V4)?,
            v6: Tables::open(directory, [names::OPENINGS_V6, names::FLOWS_V6], room::V6)?,
            tables: shared(directory, names::FLOW_TABLES)?,
            listeners: shared(directory, names::LISTENER_STATES)?,
            backends: shared(directory, names::BACKEND_STATES)?,
        })
    }

    /// Takes over a record that is not there; or, if an older connection's is, in its place. A
    /// connection that was closed meanwhile is closed here, too.
    pub(super) fn take_over<K: Pod>(
        &mut self,
        tables: impl Fn(&mut Self) -> &mut Tables<K>,
        stage: Stage,
        key: &K,
        flow: Flow,
    ) -> Result<(), MapError> {
        let own = tables(self);
        let (index, name) = (own.index, own.name(stage));
        let live = if stage == Stage::Opening { get(&own.live, key, name)? } else { None };
        if live.is_some_and(|live| live.since >= flow.since) {
            return Ok(());
        }
        if let Some(before) = live {
            // The client used the ports again since that was copied.
            own.live.remove(&Record(*key)).map_err(at(own.name(Stage::Live)))?;
            self.count(index, before, 1u64.wrapping_neg());
        }
        let own = tables(self);
        let table = own.stage(stage);
        let before = match table.insert(Record(*key), Record(flow), ONLY_NEW) {
            Ok(()) => None,
            Err(error) if is_there(&error) => {
                let Some(found) = get(table, key, name)? else { return Ok(()) };
                let is_newer = flow.since > found.since;
                let is_closed = flow.is_closed() && !found.is_closed() && flow.seen >= found.seen;
                if !is_newer && !is_closed {
                    return Ok(());
                }
                table.insert(Record(*key), Record(flow), 0).map_err(at(name))?;
                Some(found)
            }
            Err(error) => return Err(at(name)(error)),
        };
        if stage == Stage::Live {
            if let Some(before) = before {
                self.count(index, before, 1u64.wrapping_neg());
            }
            self.count(index, flow, 1);
        }
        Ok(())
    }

    pub(super) const fn v4(&mut self) -> &mut Tables<FlowKeyV4> {
        &mut self.v4
    }

    pub(super) const fn v6(&mut self) -> &mut Tables<FlowKeyV6> {
        &mut self.v6
    }

    /// Counts a record that comes (1) or goes (-1).
    fn count(&self, index: usize, flow: Flow, change: u64) {
        let listener = usize::from(flow.listener);
        add(&self.tables, index, offset_of!(FlowTable, records), change);
        add(&self.listeners, listener, offset_of!(ListenerState, records) + 8 * index, change);
        if flow.is_stray() {
            add(&self.listeners, listener, offset_of!(ListenerState, strays) + 8 * index, change);
        }
        if flow.is_counted() {
            add(&self.listeners, listener, offset_of!(ListenerState, connections), change);
            let backend = usize::from(flow.backend);
            add(&self.backends, backend, offset_of!(BackendState, connections), change);
        }
    }

    /// Sets the counts of records to none, before any is taken over.
    pub(super) fn reset_counts(&self) {
        for (element, state) in self.listeners.all().iter().enumerate() {
            let none = ListenerState { opened: state.opened, refused: state.refused, ..EMPTY };
            for offset in (0..size_of::<ListenerState>()).step_by(8) {
                let at = offset..offset + 8;
                let word = u64::from_ne_bytes(
                    bytemuck::bytes_of(&none)[at].try_into().expect("eight bytes"),
                );
                if let Some(old) = self.listeners.word(element, offset)
                    && old.load(Ordering::Relaxed) != word
                {
                    old.store(word, Ordering::Relaxed);
                }
            }
        }
        for (element, state) in self.backends.all().iter().enumerate() {
            if state.connections != 0
                && let Some(count) =
                    self.backends.word(element, offset_of!(BackendState, connections))
            {
                count.store(0, Ordering::Relaxed);
            }
        }
    }

    /// Takes over when the tables were last swept.
    pub(super) fn set_swept(&self, swept: u32) {
        for index in [room::V4, room::V6] {
            if let Some(word) = self.tables.half(index, offset_of!(FlowTable, swept)) {
                word.store(swept, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn swept(&self) -> u32 {
        self.tables.read(room::V4).swept
    }

    /// Says until when records are being carried over; 0: they are no more.
    pub(super) fn set_carried_until(&self, until: u32) {
        for index in [room::V4, room::V6] {
            if let Some(word) = self.tables.half(index, offset_of!(FlowTable, carried_until)) {
                word.store(until, Ordering::SeqCst);
            }
        }
    }

    /// Takes over how many flows were refused a record.
    pub(super) fn add_refused(&self, listener: usize, refused: u64) {
        add(&self.listeners, listener, offset_of!(ListenerState, refused), refused);
    }

    /// How many flows of each listener were refused a record.
    pub(super) fn refused(&self) -> Vec<u64> {
        self.listeners.all().iter().map(|state| state.refused).collect()
    }
}

const EMPTY: ListenerState = ListenerState {
    opened: 0,
    connections: 0,
    records: [0; 2],
    strays: [0; 2],
    refused: 0,
    reserved: 0,
};

/// BPF_NOEXIST.
const ONLY_NEW: u64 = 1;

fn is_there(error: &AyaError) -> bool {
    matches!(error, AyaError::SyscallError(error)
        if error.io_error.raw_os_error() == Some(libc::EEXIST))
}

fn get<K: Pod>(table: &Flows<K>, key: &K, name: &'static str) -> Result<Option<Flow>, MapError> {
    match table.get(&Record(*key), 0) {
        Ok(flow) => Ok(Some(flow.0)),
        Err(AyaError::KeyNotFound) => Ok(None),
        Err(error) => Err(at(name)(error)),
    }
}

fn add<T: Pod>(counts: &Shared<T>, element: usize, offset: usize, change: u64) {
    if let Some(count) = counts.word(element, offset) {
        count.fetch_add(change, Ordering::Relaxed);
    }
}

impl<K: Pod> Tables<K> {
    fn open(directory: &Path, names: [&'static str; 2], index: usize) -> Result<Self, MapError> {
        let open = |name: &'static str| {
            let map = MapData::from_pin(directory.join(name)).map_err(at(name))?;
            Flows::try_from(Map::LruHashMap(map)).map_err(at(name))
        };
        Ok(Self { openings: open(names[0])?, live: open(names[1])?, index })
    }

    const fn name(&self, stage: Stage) -> &'static str {
        match (stage, self.index) {
            (Stage::Opening, room::V4) => names::OPENINGS_V4,
            (Stage::Opening, _) => names::OPENINGS_V6,
            (Stage::Live, room::V4) => names::FLOWS_V4,
            (Stage::Live, _) => names::FLOWS_V6,
        }
    }

    const fn stage(&mut self, stage: Stage) -> &mut Flows<K> {
        match stage {
            Stage::Opening => &mut self.openings,
            Stage::Live => &mut self.live,
        }
    }
}

fn shared<T: Pod>(directory: &Path, name: &'static str) -> Result<Shared<T>, MapError> {
    let io = |error: io::Error| at(name)(AyaError::IoError(error));
    let map = RawMap::open(&directory.join(name)).map_err(io)?;
    Shared::new(&map.fd, map.entries).map_err(io)
}
