//! What flows need no longer: former owners, members that leave, records in the flow tables.

use std::collections::BTreeSet;
use std::time::Duration;

use elb_common::backend::backend_flags;
use elb_common::listener::{Listener, listener_flags};

use super::core::Core;
use super::sweep::{Drifts, Swept};
use crate::assign::{AssignedMember, AssignedPool};
use crate::census::Register;
use crate::kernel::{MapError, coarse_seconds, coarse_until};
use crate::ring::slots::is_quiet;

impl Core {
    /// Whether some slots have former owners.
    pub(super) fn is_moving(&self) -> bool {
        !self.moving.is_empty()
    }

    /// Settles slots that nobody needs to be moving, and forgets what is over then.
    pub(super) fn settle(&mut self) {
        let mut forgotten = false;
        for name in self.moving.keys().cloned().collect::<Vec<_>>() {
            let Some(assigned) = self.reconciler.assignments.pools.get(&name) else {
                self.moving.remove(&name);
                continue;
            };
            let replaces = assigned.former.is_some();
            let moving = self.maps.settle(assigned.region(), assigned.idle_timeout, replaces);
            if moving > 0 {
                self.moving.insert(name, moving);
                continue;
            }
            tracing::debug!(pool = name, "all slots are settled");
            let is_scheduled = assigned.ring.shape.is_scheduled();
            let removed = assigned.members.iter().filter(|member| member.removed);
            let named = removed.filter(|member| self.named_ago(assigned, member).is_some());
            let named: BTreeSet<u16> = named.map(|member| member.id).collect();
            forgotten |= self.reconciler.settled(&name, |id| is_scheduled || named.contains(&id));
            if named.is_empty() {
                self.moving.remove(&name);
            } else {
                // What connection ids name stays until they name it no more.
                self.moving.insert(name, 0);
            }
        }
        if forgotten {
            self.publish();
            self.save();
        }
    }

    /// Seconds since a connection id named a member that takes no new flows; none where flows of then
    /// count no more.
    pub(super) fn named_ago(&self, pool: &AssignedPool, member: &AssignedMember) -> Option<u32> {
        member.server_id?;
        let now = coarse_seconds();
        let seen = match self.maps.last_named(member.id) {
            Ok(seen) => seen?,
            Err(error) => {
                tracing::warn!(%error, "cannot tell whether a member has flows");
                now
            }
        };
        (!is_quiet(seen, now, pool.idle_timeout)).then(|| now.saturating_sub(seen))
    }

    /// How long it is until there is something to publish although nothing else happens.
    pub(super) fn publish_in(&self) -> Option<Duration> {
        self.next_publish.map(coarse_until)
    }

    /// Whether a member serves nothing any more, not even the flows it had.
    pub(super) fn is_cut(&self, id: u16) -> bool {
        let backend = self.observed.backends.get(&id);
        backend.is_none_or(|backend| backend.flags & backend_flags::ESTABLISHED == 0)
    }

    /// Who is who in the flow tables.
    pub(super) fn register(&self) -> Register {
        Register::new(&self.reconciler.assignments, &self.observed, coarse_seconds())
    }

    /// Whether the flow tables are to be swept: connections are counted, or were until now.
    pub(super) fn needs_sweep(&self) -> bool {
        let counts = |listener: &Listener| listener.flags & listener_flags::TRACKED != 0;
        let mut all = self.observed.listeners.values().chain(self.observed.ranges.values());
        self.counts_left || all.any(counts)
    }

    /// What a sweep needs, and the revision that it is of; none while another one is under way.
    pub(super) fn begin_sweep(&mut self) -> Option<(Register, Drifts, u64)> {
        Some((self.register(), self.drifts.take()?, self.revision))
    }

    /// Takes in what a sweep of a revision found: removed members without flows are forgotten.
    pub(super) fn swept(&mut self, swept: Swept, revision: u64) {
        let Swept { census, removed, counts_left, took, .. } = &swept;
        tracing::debug!(removed, ?took, "the flow tables are swept");
        self.counts_left = *counts_left;
        let scheduled = self.reconciler.assignments.pools.iter().filter(|(name, pool)| {
            pool.ring.shape.is_scheduled() && !self.moving.contains_key(*name)
        });
        let mut forgotten = false;
        // A member that was removed since may have got a flow that the sweep did not see.
        if revision == self.revision {
            for name in scheduled.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
                forgotten |= self.reconciler.settled(&name, |id| census.flows(id) > 0);
            }
        }
        self.drifts = Some(swept.drifts);
        if forgotten {
            self.publish();
            self.save();
        }
    }

    /// Goes on after a sweep that failed.
    pub(super) fn sweep_failed(&mut self, error: &MapError) {
        tracing::warn!(%error, "cannot sweep the flow tables");
        self.drifts = Some(Drifts::default());
    }
}
