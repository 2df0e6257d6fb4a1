//! How the members of a pool stand: who takes new flows, who serves the ones it has, and until when.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::net::SocketAddr;

use super::ReconcileInput;
use super::reserve::Reserve;
use crate::control::assign::{AssignedMember, AssignedPool};
use crate::control::ring::rise::Risen;
use crate::model::{DrainTimeout, FlowsOnUnhealthy, Member, Pool};

/// How one member stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    /// Its part of the new flows; 0 where it was removed.
    pub(super) weight: u32,
    /// Connections that it may have; 0: no limit.
    pub(super) max_connections: u32,
    /// Whether it is to take new flows.
    pub(super) takes_new: bool,
    /// Whether it is drained by command.
    pub(super) is_drained: bool,
    /// Whether its first probe is still to say whether it is to take new flows.
    pub(super) is_undecided: bool,
    /// Whether it stands in for others.
    pub(super) is_backup: bool,
    /// Whether it may take new flows: it does, or is in reserve.
    pub(super) may: bool,
    /// Whether it may although it fails, since none of its pool works.
    pub(super) is_last_resort: bool,
    /// How far it has risen to its share.
    pub(super) risen: Risen,
    /// Whether it no longer serves even the flows that it has.
    pub(super) is_gone: bool,
}

/// How the members of a pool stand `now`, in the order of their numbers; notes there when the flows
/// of those that leave are cut.
pub(super) fn of(
    pool: &Pool,
    reserve: Option<Reserve>,
    numbers: &mut [AssignedMember],
    seen: &impl ReconcileInput,
    now: u32,
) -> Vec<Standing> {
    let present = Present::new(pool, seen);
    let drain = pool.connection_drain.map(DrainTimeout::get);
    let is_called = reserve.is_some_and(|reserve| reserve.in_service);
    let standing = |(at, number): (usize, &mut AssignedMember)| {
        let member = present.get(number.socket(), at);
        let may = member.is_some_and(|member| member.is_willing && present.serves(member));
        let is_backup = member.is_some_and(|member| member.model.backup);
        let takes_new = may && (!is_backup || is_called);
        // One that goes back into reserve does not leave: it keeps what it has.
        number.cut_at = cut_at(number.cut_at, !may, drain, now);
        if let Some(member) = member {
            number.server_id = member.model.server_id;
            number.resource = Some(member.model.id);
        }
        let fails = member.is_some_and(|member| !member.works);
        let is_cut = number.cut_at.is_some_and(|at| at <= now);
        let is_rehashed = fails && pool.flows_on_unhealthy == FlowsOnUnhealthy::Rehash;
        Standing {
            weight: member.map_or(0, |member| member.model.weight.get()),
            max_connections: member.map_or(0, |member| member.model.max_connection.get()),
            takes_new,
            is_drained: member.is_some_and(|member| member.is_drained),
            is_undecided: member.is_some_and(|member| member.is_willing && member.is_undecided),
            is_backup,
            may,
            is_last_resort: may && fails,
            risen: Risen::FULL,
            is_gone: !may && (is_cut || is_rehashed),
        }
    };
    numbers.iter_mut().enumerate().map(standing).collect()
}

/// How the members of a pool stand that was removed.
pub(super) fn of_removed(pool: &mut AssignedPool, now: u32) -> Vec<Standing> {
    let drain = pool.drain;
    let standing = |number: &mut AssignedMember| {
        number.removed = true;
        number.cut_at = cut_at(number.cut_at, true, drain, now);
        let is_gone = number.cut_at.is_some_and(|at| at <= now);
        Standing { is_gone, ..Standing::default() }
    };
    pool.members.iter_mut().map(standing).collect()
}

/// When the flows of a member are cut that leaves or does not: the deadline stands once it is set,
/// but is never later than the present delay says. The second that it is `now` has begun already:
/// one more, and no flow is cut too early.
fn cut_at(before: Option<u32>, leaves: bool, delay: Option<u32>, now: u32) -> Option<u32> {
    let latest = now.saturating_add(delay.filter(|_| leaves)? + 1);
    Some(before.map_or(latest, |at| at.min(latest)))
}

/// The members that the model has.
struct Present<'a> {
    members: Vec<PresentMember<'a>>,
    /// Where each is among them; found out when a search needs it.
    places: OnceCell<HashMap<SocketAddr, usize>>,
    /// Whether all serve because none works, and the pool wants it so.
    all_serve: bool,
}

#[derive(Clone, Copy)]
struct PresentMember<'a> {
    model: &'a Member,
    /// By its health.
    works: bool,
    /// It does not, but only because nothing is known of its health yet.
    is_undecided: bool,
    is_drained: bool,
    /// It has a weight, and is not being drained.
    is_willing: bool,
}

impl<'a> Present<'a> {
    fn new(pool: &'a Pool, seen: &impl ReconcileInput) -> Self {
        let member = |model: &'a Member| {
            let works = seen.serves(pool, model);
            let is_undecided = !works && seen.is_undecided(pool, model);
            let is_drained = seen.is_drained(pool, model);
            let is_willing = model.weight.get() > 0 && !is_drained;
            PresentMember { model, works, is_undecided, is_drained, is_willing }
        };
        let members: Vec<_> = pool.members.iter().map(member).collect();
        let nobody_serves = !members.iter().any(|member| member.works && member.is_willing);
        let all_serve = nobody_serves && pool.minimum_healthy_member_count.get() > 0;
        Self { members, places: OnceCell::new(), all_serve }
    }

    /// The member with this address and port. Numbers come mostly in the order of the members, which
    /// saves the search.
    fn get(&self, address: SocketAddr, at: usize) -> Option<&PresentMember<'a>> {
        let expected = self.members.get(at).filter(|member| member.model.socket() == address);
        expected.or_else(|| self.members.get(*self.places().get(&address)?))
    }

    fn places(&self) -> &HashMap<SocketAddr, usize> {
        self.places.get_or_init(|| {
            let sockets = self.members.iter().map(|member| member.model.socket());
            sockets.zip(0..).collect()
        })
    }

    fn serves(&self, member: &PresentMember<'_>) -> bool {
        member.works || self.all_serve
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_stands_until_the_member_comes_back() {
        let delay = Some(30);
        assert_eq!(cut_at(None, false, delay, 100), None);
        assert_eq!(cut_at(None, true, None, 100), None);
        assert_eq!(cut_at(None, true, delay, 100), Some(131));
        assert_eq!(cut_at(Some(130), true, delay, 129), Some(130));
        assert_eq!(cut_at(Some(130), true, delay, 500), Some(130));
        assert_eq!(cut_at(Some(130), false, delay, 129), None, "it came back");
        assert_eq!(cut_at(Some(130), true, None, 129), None, "the pool cuts no more");
        assert_eq!(cut_at(Some(900), true, delay, 129), Some(160), "the pool cuts sooner");
    }
}
