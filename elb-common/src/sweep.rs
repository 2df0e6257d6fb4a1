//! A sweep of the flow tables: removes records that are over, counts those that live, and notes which
//! slots they need. It runs inside the kernel, one record at a time, when the agent asks for it.

use bytemuck::{Pod, Zeroable};

use crate::client::Client;
use crate::flow::{Flow, Stage};
use crate::hash;
use crate::limits::HALF_OPEN_TIMEOUT;
use crate::listener::ListenerPool;
use crate::path::Family;
use crate::pool::{Pool, Ring};
use crate::ring::{self, Slot};

/// Value of `SWEEP`, one element: what a sweep goes by. Written by the agent.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct Sweep {
    /// The present second.
    pub now: u32,
    /// Seconds after its last packet for which a closed connection's record is kept.
    pub closed_for: u32,
    /// Which table to sweep, one of [`table`].
    pub table: u32,
    /// Zero.
    pub reserved: u32,
}

/// Values of [`Sweep::table`].
pub mod table {
    /// `OPENINGS_V4`.
    pub const OPENINGS_V4: u32 = 0;
    /// `OPENINGS_V6`.
    pub const OPENINGS_V6: u32 = 1;
    /// `FLOWS_V4`.
    pub const FLOWS_V4: u32 = 2;
    /// `FLOWS_V6`.
    pub const FLOWS_V6: u32 = 3;
    /// `CLIENT_OPENINGS`.
    pub const CLIENT_OPENINGS: u32 = 4;
    /// `CLIENTS`.
    pub const CLIENTS: u32 = 5;
    /// All of them.
    pub const ALL: [u32; 6] =
        [OPENINGS_V4, OPENINGS_V6, FLOWS_V4, FLOWS_V6, CLIENT_OPENINGS, CLIENTS];
}

/// Value of `BACKEND_CENSUS`, by backend id: what a sweep found.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct BackendCensus {
    /// Records that name it, those of which one packet came included.
    pub flows: u32,
    /// Those of them that count as open connections.
    pub open: u32,
    /// Records that counted as open connections and are over.
    pub ended: u32,
    /// Zero.
    pub reserved: u32,
}

/// Value of `LISTENER_CENSUS`, by listener id: what a sweep found.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Pod, Zeroable)]
pub struct ListenerCensus {
    /// Its records in `FLOWS_V4` and in `FLOWS_V6`.
    pub records: [u32; 2],
    /// Strays among them.
    pub strays: [u32; 2],
    /// Those that count as open connections.
    pub open: u32,
    /// Records that its packets may look for only as long as it is one that moved: those of pools that it served before,
    /// and those that were cut, since they may be on settled slots.
    pub moved: u32,
    /// Records in `FLOWS_V4` and in `FLOWS_V6` that are over.
    pub over: [u32; 2],
    /// Strays among them.
    pub over_strays: [u32; 2],
    /// Those that counted as open connections.
    pub ended: u32,
    /// Zero.
    pub reserved: u32,
}

/// What becomes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It counts.
    Lives,
    /// It counts no more, and never will.
    Over,
}

/// What a sweep asks and writes.
pub trait Swept {
    /// What is known of a listener.
    fn listener(&self, id: u16) -> ListenerPool;
    /// The pool with this id.
    fn pool(&self, id: u16) -> Option<Pool>;
    /// Whether a backend serves flows that it has.
    fn serves(&self, backend: u16) -> bool;
    /// Whether a backend takes new flows.
    fn takes_new(&self, backend: u16) -> bool;
    /// The slot at an index into all rings.
    fn slot(&self, index: u32) -> Option<Slot>;
    /// Notes that the slot needs its records.
    fn needs_records(&self, index: u32, now: u32);
    /// Counts for a backend.
    fn count_backend(&self, id: u16, count: impl FnOnce(&mut BackendCensus));
    /// Counts for a listener.
    fn count_listener(&self, id: u16, count: impl FnOnce(&mut ListenerCensus));
}

/// Judges and counts one record.
#[inline(always)]
pub fn visit<F: Family>(
    swept: &impl Swept,
    sweep: &Sweep,
    stage: Stage,
    key: &F::FlowKey,
    flow: &Flow,
) -> Fate {
    let listener = swept.listener(flow.listener);
    let pool = swept.pool(listener.pool).filter(|_| listener.exists());
    let lives = pool.filter(|pool| {
        fate::<F>(sweep, stage, key, flow, listener, pool) == Fate::Lives
            && swept.serves(flow.backend)
    });
    let is_live = stage == Stage::Live;
    let open = u32::from(is_live && flow.is_counted());
    let stray = u32::from(flow.is_stray());
    let [v4, v6] = [F::TABLE == 0, F::TABLE == 1].map(|is| u32::from(is && is_live));
    if lives.is_none() {
        swept.count_backend(flow.backend, |census| census.ended += open);
        swept.count_listener(flow.listener, |census| {
            census.over[0] += v4;
            census.over[1] += v6;
            census.over_strays[0] += v4 * stray;
            census.over_strays[1] += v6 * stray;
            census.ended += open;
        });
        return Fate::Over;
    }
    let is_moved = flow.pool != listener.pool;
    // What was cut needs its backend no more.
    let is_served = u32::from(!flow.is_cut());
    swept.count_backend(flow.backend, |census| {
        census.flows += is_served;
        census.open += open;
    });
    swept.count_listener(flow.listener, |census| {
        census.records[0] += v4;
        census.records[1] += v6;
        census.strays[0] += v4 * stray;
        census.strays[1] += v6 * stray;
        census.open += open;
        census.moved += u32::from(is_moved || flow.is_cut());
    });
    // Its own pool's, also while the listener serves another: it may come back.
    if let Some(pool) = swept.pool(flow.pool) {
        need::<F>(swept, sweep, key, flow, &pool.ring);
    }
    Fate::Lives
}

/// What becomes of a client that a pool remembers. One whose backend takes no new connections is forgotten:
/// the backend's number may stand for another one day.
#[inline(always)]
pub fn client(swept: &impl Swept, sweep: &Sweep, client: &Client) -> Fate {
    let persistence = swept.pool(client.pool).unwrap_or_default().persistence;
    let is_known = persistence.is_on() && client.is_known(client.pool, persistence, sweep.now);
    if is_known && swept.takes_new(client.backend) { Fate::Lives } else { Fate::Over }
}

/// What becomes of a record, by itself and its pool.
#[inline(always)]
pub fn fate<F: Family>(
    sweep: &Sweep,
    stage: Stage,
    key: &F::FlowKey,
    flow: &Flow,
    listener: ListenerPool,
    pool: &Pool,
) -> Fate {
    let Sweep { now, closed_for, .. } = *sweep;
    let is_idle_for = |seconds: u32| now.saturating_sub(flow.seen) > seconds;
    let is_over = flow.pool != listener.pool && !listener.is_moved()
        || flow.seen < pool.oldest(now, listener.is_moved())
        // What was cut waits for its client's next packet, whenever that comes.
        || flow.is_closed() && !flow.is_cut() && is_idle_for(closed_for)
        || stage == Stage::Opening && F::is_tcp(key) && is_idle_for(HALF_OPEN_TIMEOUT);
    if is_over { Fate::Over } else { Fate::Lives }
}

/// Notes that the slot of a flow needs its records, if the flow is not the present owner's, or cut.
#[inline(always)]
fn need<F: Family>(
    swept: &impl Swept,
    sweep: &Sweep,
    key: &F::FlowKey,
    flow: &Flow,
    pools_ring: &Ring,
) {
    let index = place::<F>(key, pools_ring);
    let Some(slot) = swept.slot(index) else { return };
    if slot.has_exceptions() && (slot.cur() != flow.backend || flow.is_cut()) {
        swept.needs_records(index, sweep.now);
    }
}

/// Index of the slot that a recorded flow falls on.
#[inline(always)]
pub fn place<F: Family>(key: &F::FlowKey, ring: &Ring) -> u32 {
    let hash = match F::digest_in(key) {
        Some(digest) => hash::digest(digest),
        None => F::hash(key, ring.algorithm),
    };
    ring.base.wrapping_add(ring::index(hash, ring.size))
}

#[cfg(test)]
mod tests;
