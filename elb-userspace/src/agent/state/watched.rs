//! What is known of one member, and what the result of a probe changes of that.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::agent::saved;
use crate::api::shape::events::{EventKind, MemberEvent};
use crate::api::shape::status::timestamp_millis;
use crate::diagnosis::instrument::Fault;
use crate::health::path::PathResults;
use crate::health::probe::{ProbeOutcome, ProbeSpec};
use crate::health::{Change, Failure, History, MemberHealth, OperatingStatus, Timing};
use crate::model::time::Now;
use crate::model::{Member, MemberRef, Pool, ResourceId};

/// What is known of a member.
pub(in crate::agent) struct Watched {
    pub(in crate::agent) id: ResourceId,
    pub(super) name: String,
    pub(in crate::agent) pool: ResourceId,
    pub(in crate::agent) pool_name: String,
    pub(in crate::agent) socket: SocketAddr,
    /// The id that packets know it by, if there was room for it.
    pub(in crate::agent) backend: Option<u16>,
    pub(in crate::agent) probe: Option<ProbeSpec>,
    /// What the last probe that is over came to by each path.
    pub(in crate::agent) last: Option<PathResults>,
    /// What the last probe lacked on this host.
    pub(in crate::agent) local: Option<Failure>,
    pub(in crate::agent) health: MemberHealth,
    /// The verdict at each virtual address by itself.
    pub(in crate::agent) at: BTreeMap<IpAddr, MemberHealth>,
    /// Virtual addresses at which it fails, and that says nothing of it.
    pub(in crate::agent) uncounted: BTreeMap<IpAddr, Uncounted>,
    /// Addresses at which its last probe was proved to be dropped on this host.
    pub(in crate::agent) proved: BTreeMap<IpAddr, Fault>,
    /// Counts probes, so that virtual addresses are probed in turn where there are many.
    pub(in crate::agent) turn: usize,
    pub(in crate::agent) history: History,
}

/// Why a failure at a virtual address does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::agent) enum Uncounted {
    /// The way of probes to the address may be broken.
    Way,
    /// No member of the pool serves there.
    Service(Failure),
    /// This on this host drops the probes.
    Dropped(Fault),
}

impl fmt::Display for Uncounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Way => f.write_str("no member answers there by the way of probes"),
            Self::Dropped(fault) => write!(f, "on this load balancer, {}", fault.what),
            Self::Service(failure) => write!(f, "no member of the pool answers there ({failure})"),
        }
    }
}

/// The result of a probe.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::agent) enum Judged {
    /// A result of the member's.
    Counts(Result<(), Failure>),
    /// None: neither success nor failure counts.
    Open,
}

/// What a result changed.
#[derive(Debug, Default)]
pub(in crate::agent) struct Effect {
    /// Whether the member now serves and did not, or the other way round, or was undecided until now.
    pub standing_changed: bool,
    /// Whether more changed than what is remembered of probes.
    pub is_news: bool,
    /// What to report.
    pub event: Option<MemberEvent>,
}

impl Watched {
    pub(super) fn new(
        pool: &Pool,
        member: &Member,
        timing: Option<Timing>,
        probe: Option<ProbeSpec>,
        known: Option<saved::SavedMember>,
        now: Now,
        random: u64,
    ) -> Self {
        let (verdict, history) = known.map(|known| (known.verdict, known.history)).unzip();
        let health = match verdict.flatten() {
            Some(verdict) => MemberHealth::restore(verdict, timing, now, random),
            None => MemberHealth::new(timing, now, random),
        };
        let (name, history) = (member.name.to_string(), history.unwrap_or_default());
        let (socket, backend, last, local) = (member.socket(), None, None, None);
        let (at, uncounted, turn) = (BTreeMap::new(), BTreeMap::new(), 0);
        Self {
            id: member.id,
            name,
            pool: pool.id,
            pool_name: pool.name.to_string(),
            socket,
            backend,
            probe,
            last,
            local,
            health,
            at,
            uncounted,
            proved: BTreeMap::new(),
            turn,
            history,
        }
    }

    /// How it is, and why.
    pub(super) fn known_health(&self) -> (OperatingStatus, Option<Failure>) {
        (self.health.status(), self.health.reason().cloned())
    }

    pub(super) fn follow(
        &mut self,
        pool: &Pool,
        member: &Member,
        timing: Option<Timing>,
        probe: Option<ProbeSpec>,
        now: Now,
    ) {
        if self.probe != probe || self.health.timing() != timing {
            self.health.reconfigure(timing, now);
            self.at.clear();
            self.uncounted.clear();
            self.local = None;
            self.probe = probe;
        }
        (self.id, self.pool) = (member.id, pool.id);
        member.name.as_str().clone_into(&mut self.name);
        pool.name.as_str().clone_into(&mut self.pool_name);
    }

    pub(super) fn probed(
        &mut self,
        outcome: ProbeOutcome,
        judged: Judged,
        now: Now,
        random: u64,
    ) -> Effect {
        self.last = Some(outcome.paths());
        let Judged::Counts(result) = judged else {
            self.health.pass_over(now);
            return Effect::default();
        };
        let duration = outcome.duration;
        let started = now.wall.checked_sub(duration).unwrap_or(now.wall);
        self.history.note(started, duration, result.as_ref().copied());
        let (stood, streak) = (self.standing(), self.health.streak());
        let (lasted, reason) = (self.health.lasted(now), self.health.reason().cloned());
        let change = self.health.finish(now, result, random);
        let event = change.and_then(|change| {
            let reason = self.health.reason().cloned().or(reason);
            self.event(change, lasted, reason, now)
        });
        Effect {
            standing_changed: self.standing() != stood,
            is_news: change.is_some() || self.health.streak() != streak,
            event,
        }
    }

    /// Probes of it that counted.
    pub(in crate::agent) const fn probes(&self) -> u64 {
        self.history.counts.probes_ok + self.history.counts.probes_failed
    }

    /// What its pool's ring depends on.
    fn standing(&self) -> (bool, bool) {
        (self.health.serves(), self.health.is_undecided())
    }

    /// What a change of the verdict is to people: nothing, if the first one is a good one.
    fn event(
        &mut self,
        change: Change,
        lasted: Duration,
        reason: Option<Failure>,
        now: Now,
    ) -> Option<MemberEvent> {
        let counts = &mut self.history.counts;
        let event = match (change.from, change.to) {
            (_, OperatingStatus::Offline) => {
                counts.turned_unhealthy += 1;
                EventKind::Unhealthy
            }
            (OperatingStatus::Offline, OperatingStatus::Online) => {
                counts.recovered += 1;
                EventKind::Recovered
            }
            (
                _,
                OperatingStatus::Initial | OperatingStatus::NoMonitor | OperatingStatus::Online,
            ) => return None,
        };
        Some(MemberEvent {
            time: timestamp_millis(now.wall),
            event,
            event_id: Some(event.id().to_owned()),
            member: MemberRef::new(
                (Some(self.pool), &self.pool_name),
                Some(self.id),
                Some(&self.name),
                self.socket,
            ),
            from: change.from,
            lasted: lasted.as_secs(),
            reason,
        })
    }
}
