//! Members that begin to rise to their share of the new connections, and that have all of it: an event each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::clock::now;
use super::core::Core;
use crate::api::shape::events::{AgentEvent, EventKind, MemberEvent};
use crate::api::shape::status::timestamp_millis;
use crate::control::assign::AssignedMember;
use crate::model::{Member, MemberRef, Pool, ResourceId};

/// A member, as other agents know it, too.
type Place = (ResourceId, SocketAddr);

impl Core {
    /// Compares who rises by the maps as they are now with who did before.
    pub(super) fn note_rises(&mut self) {
        let before = self.serving.rising.take().unwrap_or_else(|| {
            rising_after(self.journal.events.past().filter_map(AgentEvent::of_member))
        });
        let (mut rising, mut events) = (BTreeSet::new(), Vec::new());
        for pool in self.config.model.pools() {
            let rose = before.iter().any(|(of, _)| *of == pool.id);
            if pool.rise_seconds().is_none() && !rose {
                continue;
            }
            let shares: Vec<_> = self.serving.reconciler.share_in_full(pool).collect();
            if shares.iter().all(|(_, is_full)| *is_full) && !rose {
                continue;
            }
            let members = self.by_number(pool);
            for (number, is_full) in shares {
                let Some(member) = members.get(&number) else { continue };
                let place = (pool.id, member.socket());
                let kind = turned(before.contains(&place), is_full);
                events.extend(kind.and_then(|kind| self.rise_event(pool, member, kind)));
                rising.extend((!is_full).then_some(place));
            }
        }
        self.serving.rising = Some(rising);
        for event in events {
            self.happened(AgentEvent::Member(event), now().time);
        }
    }

    /// The members of a pool by the numbers that they have in its ring.
    fn by_number<'p>(&self, pool: &'p Pool) -> BTreeMap<u16, &'p Member> {
        let places: BTreeMap<SocketAddr, &Member> =
            pool.members.iter().map(|member| (member.socket(), member)).collect();
        let numbers = self.serving.reconciler.assignments.pools.get(&pool.id);
        let numbers = numbers.into_iter().flat_map(|pool| &pool.members);
        let of = |one: &AssignedMember| {
            let member = places.get(&SocketAddr::new(one.address, one.port))?;
            Some((one.id, *member))
        };
        numbers.filter(|one| !one.removed).filter_map(of).collect()
    }

    fn rise_event(&self, pool: &Pool, member: &Member, kind: EventKind) -> Option<MemberEvent> {
        let (health, now) = (self.probes.members.health(pool.id, member.socket())?, now());
        Some(MemberEvent {
            time: timestamp_millis(now.wall),
            event: kind,
            event_id: Some(kind.id().to_owned()),
            member: MemberRef::from((pool, member)),
            from: health.status(),
            lasted: health.lasted(now).as_secs(),
            reason: None,
        })
    }
}

/// What it is to people that a member rose, or not, and has all of its share, or not.
const fn turned(rose: bool, is_full: bool) -> Option<EventKind> {
    match (rose, is_full) {
        (false, false) => Some(EventKind::SlowStart),
        (true, true) => Some(EventKind::SlowStartOver),
        (true, false) | (false, true) => None,
    }
}

/// Those that rose when an earlier agent ended, by what it remembered.
fn rising_after<'e>(events: impl Iterator<Item = &'e MemberEvent>) -> BTreeSet<Place> {
    let mut rising = BTreeSet::new();
    for event in events {
        let Some(pool) = event.member.pool_id else { continue };
        let place = (pool, event.member.socket());
        match event.event {
            EventKind::SlowStart => rising.insert(place),
            EventKind::SlowStartOver | EventKind::Unhealthy => rising.remove(&place),
            EventKind::Recovered
            | EventKind::InService
            | EventKind::InReserve
            | EventKind::Fallback
            | EventKind::FallbackOver => continue,
        };
    }
    rising
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::OperatingStatus;

    fn event(event: EventKind, member: u8) -> MemberEvent {
        let pool = (Some(ResourceId::of_pool("web")), "web");
        MemberEvent {
            time: "2026-01-02T03:04:05.678Z".to_owned(),
            event,
            event_id: None,
            member: MemberRef::new(pool, None, None, ([10, 0, 0, member], 80).into()),
            from: OperatingStatus::Online,
            lasted: 0,
            reason: None,
        }
    }

    #[test]
    fn a_rise_begins_once_and_ends_once() {
        assert_eq!(turned(false, false), Some(EventKind::SlowStart));
        assert_eq!(turned(true, false), None);
        assert_eq!(turned(true, true), Some(EventKind::SlowStartOver));
        assert_eq!(turned(false, true), None);
    }

    #[test]
    fn what_is_remembered_says_who_rises() {
        use EventKind::{Recovered, SlowStart, SlowStartOver, Unhealthy};
        let kinds = [
            (SlowStart, 1),
            (SlowStart, 2),
            (SlowStartOver, 1),
            (SlowStart, 3),
            (Unhealthy, 3),
            (Recovered, 3),
            (Unhealthy, 4),
            (SlowStart, 4),
        ];
        let events = kinds.map(|(kind, member)| event(kind, member));
        let rising = rising_after(events.iter()).into_iter().map(|(_, member)| member);
        let expected = [2, 4].map(|member| ([10, 0, 0, member], 80).into());
        assert_eq!(rising.collect::<Vec<SocketAddr>>(), expected);
    }
}
