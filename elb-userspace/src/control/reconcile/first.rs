//! The first ring of a pool: it waits until its members' first verdicts and next hops are known, not
//! for long.
//!
//! If members came one by one, each would take slots from those before it, who then were former owners
//! that never had a flow: connections from before (maps were lost, or another node had the address)
//! would go to them, and new ones would all be with the first for a moment. A ring that is published
//! once, with all who serve, is the one that any other node has, and all of its slots are settled.

use super::reserve::Reserve;
use super::standing::Standing;
use super::{Desired, ReconcileInput, Reconciler};
use crate::control::assign::AssignedMember;
use crate::health::state::FIRST;
use crate::model::{Pool, ResourceId};

/// Seconds that next hops have to answer.
const RESOLVE: u32 = 1;
/// Seconds after which a ring that could serve waits no more, however long a probe may take: members of
/// a pool are probed within a second and answer alike, if they do, and a lost packet is sent again after
/// another.
const GRACE: u32 = 3;
/// The clock is read in whole seconds: one more, and no wait is too short.
const CLOCK: u32 = 1;

/// A first ring that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    since: u32,
    /// Since when at least one member could serve.
    ready: Option<u32>,
}

/// What is known of those that the first ring may consist of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Outlook {
    /// A member is to take new flows, and can be reached.
    is_ready: bool,
    /// Another member's verdict will be known soon.
    awaits: bool,
}

impl Wait {
    /// Until when the ring is worth waiting for, `longest` seconds at the most; `None`: no more.
    fn until(&mut self, outlook: Outlook, longest: u32, now: u32) -> Option<u32> {
        if outlook.is_ready {
            self.ready.get_or_insert(now);
        }
        let latest = self.since.saturating_add(longest + CLOCK);
        let grace = self.ready.map(|ready| ready.saturating_add(GRACE + CLOCK));
        let until = grace.map_or(latest, |grace| grace.min(latest));
        (outlook.awaits && now < until).then_some(until)
    }
}

impl Reconciler {
    /// Notes that a pool is not fresh any more whose ring was published: not before the maps have it, so
    /// that an agent that dies before finds a pool that is.
    pub(super) fn has_a_past(&mut self, pool: ResourceId) {
        let assigned = self.assignments.pools.get_mut(&pool);
        let Some(assigned) = assigned.filter(|one| one.is_fresh) else { return };
        if self.published.get(&pool).is_some_and(|ring| ring.has_owners()) {
            assigned.is_fresh = false;
            self.waits.remove(&pool);
        }
    }

    /// Whether a pool has no ring yet and is not to have one now; then returns when to look again.
    pub(super) fn first_ring_waits(
        &mut self,
        pool: &Pool,
        numbers: &[AssignedMember],
        standings: &[Standing],
        reserve: Option<Reserve>,
        seen: &impl ReconcileInput,
        desired: &mut Desired,
    ) -> bool {
        let now = seen.now();
        if !self.assignments.pools[&pool.id].is_fresh {
            return false;
        }
        let members: Vec<_> = numbers.iter().zip(standings).collect();
        let outlook = outlook(&members, reserve, seen);
        if !outlook.awaits {
            self.waits.remove(&pool.id);
            return false;
        }
        let begun = Wait { since: now, ready: None };
        let wait = self.waits.entry(pool.id).or_insert(begun);
        let until = wait.until(outlook, longest(pool), now);
        desired.next_first = desired.next_first.into_iter().chain(until).min();
        until.is_some()
    }
}

/// Those in reserve count, once the others are known and too few.
fn outlook(
    members: &[(&AssignedMember, &Standing)],
    reserve: Option<Reserve>,
    seen: &impl ReconcileInput,
) -> Outlook {
    let (backup, others): (Vec<_>, Vec<_>) =
        members.iter().copied().partition(|(_, standing)| standing.is_backup);
    let others = outlook_of(&others, seen);
    if others.awaits || !reserve.is_some_and(|reserve| reserve.in_service) {
        return others;
    }
    let backup = outlook_of(&backup, seen);
    Outlook { is_ready: others.is_ready || backup.is_ready, awaits: backup.awaits }
}

fn outlook_of(members: &[(&AssignedMember, &Standing)], seen: &impl ReconcileInput) -> Outlook {
    let mut outlook = Outlook::default();
    for (number, standing) in members {
        if standing.is_undecided {
            outlook.awaits = true;
        } else if standing.takes_new && seen.next_hop(number.address).is_some() {
            outlook.is_ready = true;
        } else if standing.takes_new {
            outlook.awaits |= seen.is_resolving(number.address);
        }
    }
    outlook
}

/// Seconds until everything is known of the members of a pool that answer at all: the first result of a
/// probe decides.
fn longest(pool: &Pool) -> u32 {
    let monitor = pool.healthmonitor.as_ref().filter(|monitor| monitor.admin_state_up);
    let first = u32::try_from(FIRST.as_secs()).unwrap_or(u32::MAX);
    monitor.map_or(RESOLVE, |monitor| first.saturating_add(monitor.timeout.ceil()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However things come: never longer than allowed, never once a member was ready for the grace,
        /// and never without a member.
        #[test]
        fn a_wait_has_an_end(
            steps in prop::collection::vec((0u32..3, any::<bool>(), any::<bool>()), 1..40),
            longest in 1u32..52,
            since in prop_oneof![0u32..10, Just(u32::MAX - 5)],
        ) {
            let mut wait = Wait { since, ready: None };
            let (mut now, mut ready) = (since, None);
            for (passed, is_ready, awaits) in steps {
                now = now.saturating_add(passed);
                ready = ready.or(is_ready.then_some(now));
                let until = wait.until(Outlook { is_ready, awaits }, longest, now);
                let over = now - since > longest || ready.is_some_and(|at| now - at > GRACE);
                if now < u32::MAX {
                    prop_assert_eq!(until.is_some(), awaits && !over);
                }
                prop_assert!(until.is_none_or(|until| until > now && until - now <= longest + CLOCK));
            }
        }
    }
}
