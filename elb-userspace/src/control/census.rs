//! What a sweep of the flow tables found, and how far the counts of packets have gone astray.
//!
//! Packets count connections and records up and down as they come and go. They cannot see a record that
//! makes room for another one, or a connection that just falls silent; a sweep, from time to time, can.

use std::time::Duration;

use elb_common::sweep::{BackendCensus, ListenerCensus};

/// Time from one sweep to the next.
const USUAL: Duration = Duration::from_secs(3);
/// The same while new records fill a table.
const URGENT: Duration = Duration::from_millis(200);

/// What a sweep found.
#[derive(Clone, Debug)]
pub struct Census {
    /// When it began, in coarse monotonic seconds.
    pub swept: u32,
    /// By backend id.
    pub backends: Vec<BackendCensus>,
    /// By listener id.
    pub listeners: Vec<ListenerCensus>,
    /// Whether open connections are counted of any backend.
    pub is_counting: bool,
    /// How full the fuller of the flow tables is.
    pub fill: Fill,
    /// Processor time that it took.
    pub took: Duration,
}

impl Census {
    /// What was found of a backend.
    pub fn backend(&self, id: u16) -> BackendCensus {
        self.backends.get(usize::from(id)).copied().unwrap_or_default()
    }

    /// What was found of a listener.
    pub fn listener(&self, id: u16) -> ListenerCensus {
        self.listeners.get(usize::from(id)).copied().unwrap_or_default()
    }

    /// How long to rest after the sweep, when the table is as full as this now. Sweeps take an eighth of a
    /// processor at most, and half of one while new records fill the table.
    pub fn rest(&self, now: Fill) -> Duration {
        if now.has_grown_since(self.fill) {
            URGENT.max(self.took)
        } else {
            USUAL.max(8 * self.took)
        }
    }

    /// Whether there is any record.
    pub fn has_records(&self) -> bool {
        self.backends.iter().any(|backend| backend.flows > 0)
    }
}

impl Census {
    /// Records that name a backend.
    pub fn flows(&self, backend: u16) -> u32 {
        self.backend(backend).flows
    }

    /// See [`ListenerCensus::moved`].
    pub fn moved(&self, listener: u16) -> u32 {
        self.listener(listener).moved
    }
}

/// How full a flow table is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// Records in it.
    pub records: u32,
    /// Records that it has room for.
    pub room: u32,
}

impl Fill {
    /// The fuller one.
    #[must_use]
    pub const fn max(self, other: Self) -> Self {
        if self.is_beyond_other(other) { self } else { other }
    }

    const fn is_beyond_other(self, other: Self) -> bool {
        self.records as u64 * other.room as u64 >= other.records as u64 * self.room as u64
    }

    /// Whether more than one part of so many is used.
    const fn is_beyond(self, parts: u32) -> bool {
        self.records as u64 * parts as u64 > self.room as u64
    }

    /// Seconds for which records of closed connections are kept: the fuller the table, the fewer, so that
    /// those that end leave room for those that begin.
    pub const fn closed_for(self) -> u32 {
        if self.is_beyond(3) {
            0
        } else if self.is_beyond(4) {
            1
        } else if self.is_beyond(8) {
            3
        } else {
            10
        }
    }

    /// Whether records take the place that a sweep left so fast that the next one is urgent.
    const fn has_grown_since(self, left: Self) -> bool {
        let free = left.room.saturating_sub(left.records);
        self.records.saturating_sub(left.records) > free / 8
    }
}

/// How far counts are off, by id: what the last two sweeps found and that was not corrected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Drift(Vec<[i64; 2]>);

impl Drift {
    /// What to add to a count that was `before` and `after` the sweep, which found so many.
    ///
    /// A sweep that finds as many as there were at some time while it ran says nothing against the count.
    /// What comes and goes at once makes it inexact by as many: on a busy machine, by one or two of a
    /// hundred connections of which one ends in a second, twice in a row. What three sweeps agree on is
    /// wrong with the count.
    pub fn correct(&mut self, id: usize, before: u64, after: u64, found: u32) -> i64 {
        let (before, after) = (before.cast_signed(), after.cast_signed());
        let found = i64::from(found);
        let off = found.wrapping_sub(found.clamp(before.min(after), before.max(after)));
        if self.0.len() <= id {
            self.0.resize(id + 1, [0; 2]);
        }
        let [earlier, last] = self.0[id];
        let agreed = agreed(off, agreed(earlier, last));
        self.0[id] = [last - agreed, off - agreed];
        agreed
    }
}

/// As much as both say.
fn agreed(one: i64, other: i64) -> i64 {
    match (one > 0, other > 0) {
        (true, true) => one.min(other),
        (false, false) => one.max(other),
        (true, false) | (false, true) => 0,
    }
}

#[cfg(test)]
mod tests;
