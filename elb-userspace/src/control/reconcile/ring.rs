//! The ring of a pool: what it becomes, and how much of it moves.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Desired, Owners, Reconciler};
use crate::control::assign::{AssignedPool, AssignedRing};
use crate::control::plan::RingWrite;
use crate::control::ring::rise::{self, RingEntry, Risen};
use crate::control::ring::slots::{self, Diff, RingKind};
use crate::model::Pool;

/// A ring as it was last published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Published {
    ring: AssignedRing,
    /// `None`: an earlier agent left it.
    wanted: Option<Wanted>,
    owners: Owners,
}

/// What a ring is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Who takes new flows.
    pub(super) members: Vec<RingEntry>,
    /// Whether any of them may have only so many connections.
    pub(super) has_limits: bool,
    /// Who no longer serves even established flows.
    pub(super) gone: BTreeSet<u16>,
}

impl Wanted {
    /// Whether only how far members have risen makes a difference.
    fn has_the_same(&self, other: &Self) -> bool {
        let ids =
            |one: &Self| one.members.iter().map(|one| (one.member, one.id)).collect::<Vec<_>>();
        ids(self) == ids(other) && self.gone == other.gone
    }
}

impl Published {
    /// A ring as an earlier agent left it.
    pub(super) fn found(ring: AssignedRing, owners: Owners) -> Self {
        Self { ring, wanted: None, owners }
    }

    /// Whether any member takes new flows.
    pub(super) fn has_owners(&self) -> bool {
        self.owners.iter().any(|owner| *owner != 0)
    }

    /// Who does.
    pub(super) fn owners(&self) -> BTreeSet<u16> {
        self.owners.iter().copied().filter(|owner| *owner != 0).collect()
    }

    /// How far each has risen against the others.
    pub(super) fn risen(&self) -> impl Iterator<Item = (u16, Risen)> {
        let members = self.wanted.as_ref().map(|wanted| &wanted.members[..]).unwrap_or_default();
        members.iter().map(|one| one.id).zip(rise::against_furthest(members))
    }
}

impl Reconciler {
    /// Adds the ring to what changes, if it does; then UDP flows are held.
    pub(super) fn ring(&mut self, pool: &Pool, wanted: Wanted, now: u32, desired: &mut Desired) {
        let assigned = self.assignments.pools.get_mut(&pool.id).expect("a ring is that of a pool");
        let ring = assigned.ring;
        let before =
            self.published.get(&pool.id).map(Arc::as_ref).filter(|before| before.ring == ring);
        if before.is_some_and(|before| before.wanted.as_ref() == Some(&wanted)) {
            return;
        }
        let owners = ring.shape.owners(&wanted.members, wanted.has_limits);
        let diff = diff(before, assigned.former.is_some(), &owners);
        let known = before.and_then(|before| before.wanted.as_ref());
        let same_gone = known.map_or(wanted.gone.is_empty(), |known| known.gone == wanted.gone);
        let kind =
            RingKind { scheduled: ring.shape.is_scheduled(), succeeds: assigned.former.is_some() };
        let is_new = before.is_none();
        let is_first = assigned.is_fresh && !wanted.members.is_empty();
        let is_step = known.is_some_and(|known| known.has_the_same(&wanted));
        let gone = wanted.gone.clone();
        let published = Published { ring, wanted: Some(wanted), owners: owners.clone() };
        self.published.insert(pool.id, Arc::new(published));
        if diff.moved == 0 && same_gone {
            return;
        }
        desired.rings.push(RingWrite { base: ring.base, owners, gone, kind });
        let is_moving = kind.succeeds && is_new || !kind.scheduled;
        if diff.moved > 0 && is_moving && !is_first {
            desired.moved.insert(pool.id, diff);
            desired.steps.extend(is_step.then_some(pool.id));
            hold_udp(assigned, pool, kind.succeeds && is_new, now);
        }
    }
}

/// What moves. A ring that replaces another moves as a whole, although nothing was in its place.
fn diff(before: Option<&Published>, succeeds: bool, owners: &[u16]) -> Diff {
    match before {
        Some(before) => slots::diff(&before.owners, owners),
        None if succeeds => Diff::whole(u32::try_from(owners.len()).unwrap_or(u32::MAX)),
        None => slots::diff(&vec![0; owners.len()], owners),
    }
}

/// From now on UDP flows without a record are held where they are, for a while. Not when a pool is
/// as young as that: its first member to be healthy had all flows for a moment, and would keep them.
fn hold_udp(assigned: &mut AssignedPool, pool: &Pool, replaced: bool, now: u32) {
    let hold = pool.udp_hold.get();
    if replaced || now.saturating_sub(assigned.since) >= hold {
        assigned.udp_hold_until = now.saturating_add(hold);
    }
}
