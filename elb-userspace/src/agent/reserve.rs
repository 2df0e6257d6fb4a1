//! Backup members that come into service, and go back into reserve: an event each.

use std::collections::BTreeMap;

use super::clock::now;
use super::core::Core;
use super::state::ReserveSince;
use crate::api::shape::events::{AgentEvent, EventKind, MemberEvent};
use crate::api::shape::status::timestamp_millis;
use crate::control::reconcile::Reserve;
use crate::model::{Member, MemberRef, Pool, ResourceId};

impl Core {
    /// Compares how the backup members stand that the maps have now with what was so before.
    pub(super) fn note_reserves(&mut self, reserves: BTreeMap<ResourceId, Reserve>) {
        let mut before = std::mem::take(&mut self.serving.reserves);
        let now = now();
        for (pool, reserve) in reserves {
            let was = before.remove(&pool);
            let is_same = was.is_some_and(|was| was.reserve.in_service == reserve.in_service);
            let since = was.filter(|_| is_same).map_or(now, |was| was.since);
            self.serving.reserves.insert(pool, ReserveSince { reserve, since });
            if !is_same {
                let lasted = was.map_or(0, |was| now.time.since(was.since.time).as_secs());
                self.backup_members_turned(pool, reserve.in_service, lasted);
            }
        }
    }

    /// How a backup member stands.
    pub(super) fn backup(&self, pool: &Pool, member: &Member) -> Option<Reserve> {
        let known = self.serving.reserves.get(&pool.id).filter(|_| member.backup);
        known.map(|one| one.reserve)
    }

    fn backup_members_turned(&mut self, pool: ResourceId, in_service: bool, lasted: u64) {
        let Some(pool) = self.config.model.pool_with(pool) else { return };
        let kind = if in_service { EventKind::InService } else { EventKind::InReserve };
        let events = self.events_of(pool, kind, lasted);
        for event in events {
            self.happened(AgentEvent::Member(event), now().time);
        }
    }

    /// Of each backup member that works, if the last event of it was another: an earlier agent may have said it.
    fn events_of(&self, pool: &Pool, kind: EventKind, lasted: u64) -> Vec<MemberEvent> {
        let backup = pool.members.iter().filter(|member| member.backup && member.weight.get() > 0);
        let event = backup.filter_map(|member| {
            let health = self.probes.members.health(pool.id, member.socket())?;
            let of_members = self.journal.events.past().filter_map(AgentEvent::of_member);
            let past = of_members.filter(|event| {
                let (known, is_of) = (&event.member, (Some(pool.id), member.socket()));
                (known.pool_id, known.socket()) == is_of
            });
            let is_of_reserve =
                |kind: &EventKind| matches!(kind, EventKind::InService | EventKind::InReserve);
            let last = past.map(|event| event.event).filter(is_of_reserve).last();
            // What is so from the beginning is no news.
            let is_news = last.unwrap_or(EventKind::InReserve) != kind;
            (is_news && health.serves()).then(|| MemberEvent {
                time: timestamp_millis(now().wall),
                event: kind,
                event_id: Some(kind.id().to_owned()),
                member: MemberRef::from((pool, member)),
                from: health.status(),
                lasted,
                reason: None,
            })
        });
        event.collect()
    }
}
