//! What outlasts a change as long as flows need it: former rings and pools, members and pools that were
//! removed, and numbers that records may name.

use std::collections::{BTreeSet, HashMap};
use std::mem::take;

use super::{Desired, ReconcileInput, Reconciler};
use crate::control::assign::{AssignedListener, AssignedPool, Leaving};
use crate::control::ring::slots::may_convert;
use crate::model::{Model, ResourceId};

/// What a sweep found of each number.
pub trait SweepFindings {
    /// Records that name a backend.
    fn flows(&self, backend: u16) -> u32;
    /// Records of a listener that only one finds that moved, see [`elb_common::sweep::ListenerCensus::moved`].
    fn moved(&self, listener: u16) -> u32;
    /// Whether flows with a port of a source address came by a listener.
    fn is_bound(&self, listener: u16) -> bool;
}

impl Reconciler {
    /// Former rings and former pools of listeners are forgotten once all older flows have records `now`;
    /// `refused` returns when a flow of a pool last found no room for its record (0: never). True if there
    /// was something to forget, which the next picture then lacks.
    pub fn convert(&mut self, now: u32, refused: impl Fn(u16) -> u32) -> bool {
        let mut freed = Vec::new();
        let assignments = &mut self.assignments;
        for pool in assignments.pools.values_mut() {
            let may = may_convert(pool.former_since, refused(pool.id), now, pool.idle_timeout);
            freed.extend(pool.former.take_if(|_| may).map(|ring| ring.region()));
        }
        let mut changed = !freed.is_empty();
        self.freed.extend(freed);
        let idle: HashMap<u16, u32> =
            assignments.pools.values().map(|pool| (pool.id, pool.idle_timeout)).collect();
        for listener in assignments.listeners.values_mut().filter(|l| l.former.is_some()) {
            let idle = idle.get(&listener.pool).copied().unwrap_or(0);
            let may = |since| may_convert(since, refused(listener.pool), now, idle);
            changed |= listener.former.take_if(|former| may(former.since)).is_some();
        }
        changed
    }

    /// Whether something of before waits to be forgotten.
    pub fn is_lasting(&self) -> bool {
        let waits = |pool: &AssignedPool| {
            pool.removed
                || pool.former.is_some()
                || pool.members.iter().any(|member| member.removed)
        };
        !self.assignments.leaving.is_empty()
            || self.assignments.pools.values().any(waits)
            || self.assignments.listeners.values().any(|listener| listener.moved)
    }

    /// What no record names any more `now` is forgotten, after a sweep that began when all numbers were as they
    /// are; `is_named` says for a pool and the id of its member whether slots, or connection ids of
    /// QUIC, name it. True if there was something to forget.
    pub fn swept(
        &mut self,
        found: &impl SweepFindings,
        now: u32,
        is_named: impl Fn(&AssignedPool, u16) -> bool,
    ) -> bool {
        let before = self.assignments.clone();
        let Leaving { mut listeners, mut embedding, .. } = take(&mut self.assignments.leaving);
        // Answers on such flows would get the address of the listener that has the number then.
        listeners.retain(|listener| found.is_bound(*listener));
        embedding.retain(|_, left| now < left.until);
        self.assignments.leaving = Leaving { listeners, embedding, ..Leaving::default() };
        for listener in self.assignments.listeners.values_mut() {
            if listener.former.is_none() && found.moved(listener.id) == 0 {
                listener.settled();
            }
        }
        let former = self.former_pools();
        for pool in self.assignments.pools.values_mut() {
            // The ring of a pool that was removed goes on to name its members.
            let names = |id| {
                if pool.removed { former.contains(&pool.id) } else { is_named(pool, id) }
            };
            let members = pool.members.iter();
            let stays: Vec<bool> = members
                .map(|one| !one.removed || found.flows(one.id) > 0 || names(one.id))
                .collect();
            let mut stays = stays.into_iter();
            pool.members.retain(|_| stays.next().unwrap_or(true));
        }
        self.forget_served_out(|pool| !pool.members.is_empty());
        self.assignments != before
    }

    /// Forgets removed pools that no listener served before, and that have nothing left that `lasts`.
    fn forget_served_out(&mut self, lasts: impl Fn(&AssignedPool) -> bool) {
        let former = self.former_pools();
        let removed = self.assignments.pools.iter().filter(|(_, pool)| pool.removed);
        let over = removed.filter(|(_, pool)| !former.contains(&pool.id) && !lasts(pool));
        for pool in over.map(|(pool, _)| *pool).collect::<Vec<_>>() {
            let regions = self.assignments.remove_pool(pool);
            self.freed.extend(regions);
            self.published.remove(&pool);
        }
    }

    /// Ids of pools that flows without a record may live in, though their listener serves another.
    fn former_pools(&self) -> BTreeSet<u16> {
        let listeners = self.assignments.listeners.values();
        listeners.filter_map(|listener| Some(listener.former?.pool)).collect()
    }

    /// Removes the pools that go. Those whose flows listeners go on to have stay until they are over;
    /// the maps still name the ids of the members of the others.
    pub(super) fn forget_pools(&mut self, model: &Model, desired: &mut Desired) {
        let wanted: BTreeSet<ResourceId> = model.pools().iter().map(|pool| pool.id).collect();
        let needed = self.pools_with_flows(model);
        let mut gone = Vec::new();
        for (resource, pool) in &mut self.assignments.pools {
            pool.removed = !wanted.contains(resource);
            if pool.removed && !needed.contains(&pool.id) {
                gone.push(*resource);
            }
        }
        for pool in gone {
            desired.freed.extend(self.assignments.remove_pool(pool));
            self.published.remove(&pool);
        }
        self.waits.retain(|pool, _| wanted.contains(pool));
    }

    /// Ids of pools that listeners of the model served so far, or before and flows of which may live.
    fn pools_with_flows(&self, model: &Model) -> BTreeSet<u16> {
        let listeners = model.listeners();
        let listeners = listeners.filter_map(|(_, one)| self.assignments.listeners.get(&one.id));
        let listeners: Vec<&AssignedListener> = listeners.collect();
        if listeners.iter().any(|listener| listener.moved) {
            // Records do not say beforehand which pools they name.
            return self.assignments.pools.values().map(|pool| pool.id).collect();
        }
        listeners.iter().map(|listener| listener.pool).collect()
    }

    /// Adds the pools that were removed and have flows: their members serve those, as members that were
    /// removed do.
    pub(super) fn removed_pools(
        &mut self,
        idle: impl Fn(ResourceId) -> u32,
        seen: &impl ReconcileInput,
        desired: &mut Desired,
    ) {
        let removed = self.assignments.pools.iter().filter(|(_, pool)| pool.removed);
        for pool in removed.map(|(pool, _)| *pool).collect::<Vec<_>>() {
            self.removed_pool(pool, idle(pool), seen, desired);
        }
    }
}
