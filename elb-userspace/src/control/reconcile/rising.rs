//! Slow start: which members of a pool rise to their share, since when, and when they rise further.
//!
//! A member rises if it can take new flows, could not before, and others of its pool do. One that the maps
//! show to take them has its share: it is so after a start without a saved state, and where a pool gets
//! `slow_start` while it serves. So has each member of a pool in which none takes new flows, and each one that
//! serves only because none works: no other could take what they would not get.
//!
//! A backup rises while it is in reserve, where that costs nothing, and not again when it is called.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::standing::Standing;
use super::{Desired, ReconcileInput, Reconciler};
use crate::control::assign::{Ascent, AssignedMember};
use crate::control::ring::rise::{Rise, Risen};
use crate::model::Pool;

/// A member that rises to its share of the new flows.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rising {
    /// The part of its share that it gets, above 0 and below 1.
    pub part: f64,
    /// Seconds until it gets all of it.
    pub full_in: u32,
}

impl fmt::Display for Rising {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { part, full_in } = self;
        write!(f, "rises: {:.0} % of its share, all of it in {full_in} s", part * 100.0)
    }
}

impl Reconciler {
    /// Notes who begins to rise, or ends to, and how far those have risen that rise.
    pub(super) fn rise(
        &mut self,
        pool: &Pool,
        standings: &mut [Standing],
        seen: &impl ReconcileInput,
        desired: &mut Desired,
    ) {
        let published = self.published.get(&pool.id).map(Arc::clone);
        let Some(assigned) = self.assignments.pools.get_mut(&pool.id) else { return };
        let Some(duration) = pool.rise_seconds() else {
            assigned.members.iter_mut().for_each(|member| member.ascent = None);
            return;
        };
        let now = seen.now();
        // Whether a member takes new flows already, or none does; asked only when one comes.
        let mut owners = None;
        let mut has_all = |number: &AssignedMember| {
            let owners = owners.get_or_insert_with(|| {
                published.as_ref().map(|one| one.owners()).unwrap_or_default()
            });
            owners.is_empty() || owners.contains(&number.id)
        };
        for (number, standing) in assigned.members.iter_mut().zip(standings) {
            let may = standing.may && seen.next_hop(number.address).is_some();
            number.ascent = may.then(|| match number.ascent {
                _ if standing.is_last_resort => Ascent::Over,
                None if has_all(number) => Ascent::Over,
                None => Ascent::Since(now),
                Some(Ascent::Since(since)) if Rise { since, duration }.at(now) == Risen::FULL => {
                    Ascent::Over
                }
                Some(ascent) => ascent,
            });
            if let Some(Ascent::Since(since)) = number.ascent.filter(|_| standing.takes_new) {
                let rise = Rise { since, duration };
                standing.risen = rise.at(now);
                desired.next_step = desired.next_step.into_iter().chain(rise.next(now)).min();
            }
        }
    }

    /// The members of a pool that are in its ring, by their numbers, and whether they have all of their share.
    pub fn share_in_full(&self, pool: &Pool) -> impl Iterator<Item = (u16, bool)> {
        let published = self.published.get(&pool.id).into_iter();
        published.flat_map(|ring| ring.risen()).map(|(id, risen)| (id, risen == Risen::FULL))
    }

    /// The members of a pool that rise, by their numbers, as its ring has it `now`.
    pub fn rising(&self, pool: &Pool, now: u32) -> BTreeMap<u16, Rising> {
        let since = |member: &AssignedMember| match member.ascent {
            Some(Ascent::Since(since)) => Some((member.id, since)),
            _ => None,
        };
        let members = self.assignments.pools.get(&pool.id).map(|pool| &pool.members[..]);
        let since: BTreeMap<u16, u32> = members.into_iter().flatten().filter_map(since).collect();
        let (Some(published), Some(duration)) = (self.published.get(&pool.id), pool.rise_seconds())
        else {
            return BTreeMap::new();
        };
        let rising = |(id, risen): (u16, Risen)| {
            let end = Rise { since: *since.get(&id)?, duration }.end();
            let full_in = end.saturating_sub(now);
            (risen < Risen::FULL).then(|| (id, Rising { part: risen.ratio(), full_in }))
        };
        published.risen().filter_map(rising).collect()
    }
}
