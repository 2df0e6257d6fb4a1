//! A sweep of the flow tables: counts what lives, removes what is over, and mends the counts of open
//! connections. It takes as long as the tables are large, so it runs on a thread of its own.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use elb_common::admission::connections;
use elb_common::flow::Flow;
use elb_common::names;

use crate::census::{Census, Drift, Fate, Register};
use crate::flows::Key;
use crate::kernel::{Capacity, Connections, Counts, FlowTables, MapError, unreadable};

/// Records that a sweep removes at most; the next one goes on.
const MOST_REMOVED: usize = 65_536;

/// How far the counts are off.
#[derive(Debug, Default)]
pub(super) struct Drifts {
    backends: Drift,
    listeners: Drift,
}

/// What a sweep found.
#[derive(Debug)]
pub(super) struct Swept {
    /// What lives.
    pub(super) census: Census,
    /// What the next sweep goes on with.
    pub(super) drifts: Drifts,
    /// Records that were removed.
    pub(super) removed: usize,
    /// Whether any count is other than none.
    pub(super) counts_left: bool,
    /// How long it took.
    pub(super) took: Duration,
}

/// What packets note of flows: the records, and how many connections are open.
#[derive(Debug)]
pub(super) struct Tracking {
    tables: FlowTables,
    connections: Connections,
}

impl Tracking {
    /// Opens the maps that are pinned in `directory`.
    ///
    /// # Errors
    /// They are not there, or cannot be opened.
    pub(super) fn new(directory: &Path, capacity: Capacity) -> Result<Self, MapError> {
        Ok(Self {
            tables: FlowTables::new(directory, capacity.flows)?,
            connections: Connections::new(directory, capacity)?,
        })
    }

    /// Connections that a member has open, as packets count them.
    pub(super) fn connections(&self, backend: u16) -> u32 {
        let count = self.connections.backends.of(backend);
        count.map_or(0, |count| connections(count.load(Ordering::Relaxed)))
    }

    /// Sweeps both tables.
    ///
    /// # Errors
    /// The kernel refuses to read or write them.
    pub(super) fn sweep(&self, register: &Register, mut drifts: Drifts) -> Result<Swept, MapError> {
        let begun = Instant::now();
        let Connections { backends, listeners } = &self.connections;
        let before = (backends.read(), listeners.read());
        let mut census = Census::default();
        let over = self.walk(register, &mut census)?;
        mend(backends, &before.0, &mut drifts.backends, |id| census.open_by_backend(id));
        mend(listeners, &before.1, &mut drifts.listeners, |id| census.open_by_listener(id));
        let removed = self.remove(register, &over)?;
        let counts_left = [backends, listeners].into_iter().any(Counts::any);
        Ok(Swept { census, drifts, removed, counts_left, took: begun.elapsed() })
    }

    /// Counts both tables, and changes nothing.
    ///
    /// # Errors
    /// The kernel refuses to read them.
    pub(super) fn count(&self, register: &Register) -> Result<Census, MapError> {
        let mut census = Census::default();
        self.walk(register, &mut census)?;
        Ok(census)
    }

    /// Counts what lives; returns keys of what is over.
    fn walk(&self, register: &Register, census: &mut Census) -> Result<Vec<Key>, MapError> {
        let mut over = Vec::new();
        self.tables.each(|key, flow| {
            match register.fate(flow) {
                Fate::Lives => census.count(register, &key, flow),
                Fate::Over if over.len() < MOST_REMOVED => over.push(key),
                Fate::Over | Fate::Unknown => {}
            }
            ControlFlow::Continue(())
        })?;
        Ok(over)
    }

    fn remove(&self, register: &Register, over: &[Key]) -> Result<usize, MapError> {
        let lives = |flow: Flow| register.fate(flow) != Fate::Over;
        let mut removed = 0;
        for key in over {
            removed += usize::from(match key {
                Key::V4(key) => {
                    self.tables.v4.remove(key, lives).map_err(unreadable(names::FLOWS_V4))?
                }
                Key::V6(key) => {
                    self.tables.v6.remove(key, lives).map_err(unreadable(names::FLOWS_V6))?
                }
            });
        }
        Ok(removed)
    }
}

fn mend(counts: &Counts, before: &[u64], drift: &mut Drift, open: impl Fn(u16) -> u32) {
    let after = counts.read();
    for (id, (before, after)) in (0..=u16::MAX).zip(before.iter().zip(after)) {
        let off = drift.mend(id, *before, after, open(id));
        if off != 0 {
            counts.add(id, off);
        }
    }
}
