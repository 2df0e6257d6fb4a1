//! What flows need no longer: former owners, members that leave, numbers of what went.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use elb_common::backend::backend_flags;
use elb_common::listener::{Listener, listener_flags};
use elb_common::room::BELIEVED;

use super::clock::now;
use super::core::Core;
use crate::control::assign::{AssignedMember, AssignedPool};
use crate::control::census::Census;
use crate::control::reconcile::SweepFindings;
use crate::control::ring::slots::is_quiet;
use crate::kernel::bpf::{BoundNumbers, coarse_seconds, coarse_until};

/// From one look at how full the flow tables are to the next.
pub(super) const LOOK: Duration = Duration::from_millis(200);

/// Flows that name a number: those with records, and those with a port of a source address.
struct FoundFlows<'a> {
    census: &'a Census,
    bound: BoundNumbers,
}

impl SweepFindings for FoundFlows<'_> {
    fn flows(&self, backend: u16) -> u32 {
        self.census.flows(backend) + u32::from(self.bound.backends.contains(&backend))
    }

    fn moved(&self, listener: u16) -> u32 {
        self.census.moved(listener)
    }

    fn is_bound(&self, listener: u16) -> bool {
        self.bound.listeners.contains(&listener)
    }
}

impl Core {
    /// In how much time the flow tables are to be swept: while slots are not settled, flows are recorded,
    /// or connections are counted. At once if they were not for long, since limits are not enforced then.
    /// `rested` is the time since the last sweep ended. To be asked again after [`LOOK`]: the tables may
    /// fill meanwhile.
    pub(super) fn sweep_in(&self, rested: Duration) -> Option<Duration> {
        let counts = |listener: &Listener| listener.flags & listener_flags::TRACKED != 0;
        let mut all =
            self.serving.observed.listeners.values().chain(self.serving.observed.ranges.values());
        let census = self.serving.census.as_ref();
        let is_needed = !self.serving.moving.is_empty()
            || self.serving.reconciler.is_lasting()
            || census.is_none_or(|census| census.has_records() || census.is_counting)
            || all.any(counts);
        if !is_needed {
            return None;
        }
        // A drain query is sweeping the tables now: look again soon.
        let Some((swept, fill)) = self.serving.tracking.swept() else { return Some(LOOK) };
        let is_late = coarse_seconds().saturating_sub(swept) > BELIEVED / 2;
        let rest = census.filter(|_| !is_late).map_or(Duration::ZERO, |census| census.rest(fill));
        Some(rest.saturating_sub(rested))
    }

    /// Takes in what a sweep of a revision found: slots convert and settle, and what no flow needs any
    /// more is forgotten.
    pub(super) fn swept(&mut self, census: Census, revision: u64) {
        tracing::debug!(took = ?census.took, fill = ?census.fill, "the flow tables were swept");
        self.settle(census.swept);
        let now = coarse_seconds();
        let refused = self.refused();
        let refused = |pool: u16| refused.get(&pool).copied().unwrap_or(0);
        let mut changed = self.serving.reconciler.convert(now, refused);
        // What came since may have got flows that the sweep did not see.
        if revision == self.serving.revision {
            let named = self.named_members();
            let found = FoundFlows { census: &census, bound: self.bound_numbers(now) };
            changed |= self.serving.reconciler.swept(&found, now, |pool, id| {
                named.get(&pool.id).is_some_and(|named| named.contains(&id))
            });
        }
        self.serving.census = Some(census);
        if changed {
            self.publish();
            self.save();
        }
    }

    /// Numbers that flows with a port of a source address name, while numbers wait to be forgotten.
    fn bound_numbers(&self, now: u32) -> BoundNumbers {
        let has_some = self.serving.observed.snat.addresses != 0;
        match has_some && self.serving.reconciler.is_lasting() {
            true => self.serving.maps.bound_numbers(now),
            false => BoundNumbers::default(),
        }
    }

    /// Converts and settles slots of the pools that have some to.
    fn settle(&mut self, swept: u32) {
        for pool in self.serving.moving.keys().copied().collect::<Vec<_>>() {
            let Some(assigned) = self.serving.reconciler.assignments.pools.get(&pool) else {
                self.serving.moving.remove(&pool);
                continue;
            };
            let region = assigned.region();
            let refused = self.last_refused(assigned.id);
            self.serving.maps.settle(region, swept);
            self.serving.maps.convert(region, refused, assigned.idle_timeout);
            let states = self.serving.maps.states(region);
            if states.are_settled() {
                tracing::debug!(pool = assigned.name, "all slots are settled");
                self.serving.moving.remove(&pool);
            } else {
                self.serving.moving.insert(pool, states.moving + states.exceptions);
            }
        }
    }

    /// When a flow of a pool last found no room for its record; 0: never.
    fn last_refused(&self, pool: u16) -> u32 {
        self.serving.maps.last_refused(pool).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read whether flows found room");
            coarse_seconds()
        })
    }

    /// The same of the pools that have or serve as something former.
    fn refused(&self) -> BTreeMap<u16, u32> {
        let assignments = &self.serving.reconciler.assignments;
        let pools = assignments.pools.values().filter(|pool| pool.former.is_some());
        let moved = assignments.listeners.values().filter(|listener| listener.former.is_some());
        let ids = pools.map(|pool| pool.id).chain(moved.map(|listener| listener.pool));
        ids.map(|id| (id, self.last_refused(id))).collect()
    }

    /// Members that slots or connection ids of QUIC name, by pool, of the pools with removed members.
    fn named_members(&self) -> BTreeMap<u16, BTreeSet<u16>> {
        let pools = self.serving.reconciler.assignments.pools.values();
        let leaving = pools.filter(|pool| pool.members.iter().any(|member| member.removed));
        let named = |pool: &AssignedPool| {
            let mut named: BTreeSet<u16> =
                pool.regions().flat_map(|region| self.serving.maps.named(region)).collect();
            let by_id = pool.members.iter().filter(|one| self.named_ago(pool, one).is_some());
            named.extend(by_id.map(|member| member.id));
            (pool.id, named)
        };
        leaving.map(named).collect()
    }

    /// Seconds since a connection id named a member that takes no new flows; none where flows of then
    /// count no more.
    pub(super) fn named_ago(&self, pool: &AssignedPool, member: &AssignedMember) -> Option<u32> {
        member.server_id?;
        let now = coarse_seconds();
        let seen = match self.serving.maps.last_named(member.id) {
            Ok(seen) => seen?,
            Err(error) => {
                tracing::warn!(%error, "cannot read whether a member has flows");
                now
            }
        };
        (!is_quiet(seen, now, pool.idle_timeout)).then(|| now.saturating_sub(seen))
    }

    /// How long it is until there is something to publish although nothing else happens.
    pub(super) fn publish_in(&self) -> Option<Duration> {
        let retry = self.faults.trouble.retry_in(now().time);
        self.serving.next_publish.map(coarse_until).into_iter().chain(retry).min()
    }

    /// Whether a member serves nothing any more, not even the flows it had.
    pub(super) fn is_cut(&self, id: u16) -> bool {
        let backend = self.serving.observed.backends.get(&id);
        backend.is_none_or(|backend| backend.flags & backend_flags::ESTABLISHED == 0)
    }
}
