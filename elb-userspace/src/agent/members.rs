//! The members' health: who is probed when, what came of it, and what is kept of that.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::judging::{Judged, Judging};
use crate::agent::saved;
use crate::api::shape::events::{EventKind, MemberEvent};
use crate::api::shape::status::timestamp_millis;
use crate::control::assign::AssignedPool;
use crate::control::reconcile::Renamed;
use crate::diagnosis::instrument::Fault;
use crate::health::path::{PathResults, ProbeRoute};
use crate::health::probe::{ProbeOutcome, ProbeSource, ProbeSpec};
use crate::health::schedule::Schedule;
use crate::health::{Change, Failure, History, MemberHealth, OperatingStatus, Timing};
use crate::model::time::{Now, Time};
use crate::model::{Member, MemberRef, Model, Pool, ResourceId};

/// The health of all members, each under a number for the schedule and for probes under way.
#[derive(Default)]
pub(super) struct Members {
    sources: ProbeSource,
    numbers: HashMap<ResourceId, HashMap<SocketAddr, u32>>,
    watched: HashMap<u32, Watched>,
    schedule: Schedule<u32>,
    next: u32,
    random: RandomState,
    pub(super) judging: Judging,
}

/// What is known of a member.
pub(super) struct Watched {
    pub(super) id: ResourceId,
    name: String,
    pub(super) pool: ResourceId,
    pub(super) pool_name: String,
    pub(super) socket: SocketAddr,
    /// The id that packets know it by, if there was room for it.
    pub(super) backend: Option<u16>,
    pub(super) probe: Option<ProbeSpec>,
    /// What the last probe that is over came to by each path.
    pub(super) last: Option<PathResults>,
    /// What the last probe was in want of on this host.
    pub(super) local: Option<Failure>,
    pub(super) health: MemberHealth,
    /// The verdict at each virtual address by itself.
    pub(super) at: BTreeMap<IpAddr, MemberHealth>,
    /// Virtual addresses at which it fails, and that says nothing of it.
    pub(super) uncounted: BTreeMap<IpAddr, Uncounted>,
    /// Addresses at which its last probe was proved to be dropped on this host.
    pub(super) proved: BTreeMap<IpAddr, Fault>,
    /// Counts probes, so that virtual addresses are probed in turn where there are many.
    pub(super) turn: usize,
    pub(super) history: History,
}

/// Why a failure at a virtual address does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Uncounted {
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

/// A probe to start.
pub(super) struct DueProbe {
    /// The member's number.
    pub member: u32,
    /// When it was due.
    pub due: Time,
    pub spec: ProbeSpec,
    /// How its virtual addresses are probed, as many as now are.
    pub routes: Vec<ProbeRoute>,
}

/// What a result changed.
#[derive(Debug, Default)]
pub(super) struct Effect {
    /// Whether the member now serves and did not, or the other way round, or was undecided until now.
    pub standing_changed: bool,
    /// Whether more changed than what is remembered of probes.
    pub is_news: bool,
    /// What to report.
    pub event: Option<MemberEvent>,
}

impl Members {
    /// No members yet; probes are sent from these addresses.
    pub(super) fn probing_from(sources: ProbeSource) -> Self {
        Self { sources, ..Self::default() }
    }

    /// What is known of a member.
    pub(super) fn get(&self, pool: ResourceId, member: SocketAddr) -> Option<&Watched> {
        self.watched.get(self.numbers.get(&pool)?.get(&member)?)
    }

    /// What is known of the member with a number.
    pub(super) fn watched(&self, member: u32) -> Option<&Watched> {
        self.watched.get(&member)
    }

    /// All there are.
    pub(super) fn all(&self) -> impl Iterator<Item = &Watched> {
        self.watched.values()
    }

    /// The health of a member.
    pub(super) fn health(&self, pool: ResourceId, member: SocketAddr) -> Option<&MemberHealth> {
        self.get(pool, member).map(|watched| &watched.health)
    }

    /// When the next probe is due.
    pub(super) fn next_probe(&self) -> Option<Time> {
        self.schedule.next_deadline()
    }

    /// Follows a model: members that stay keep what is known of them, and go on with their probes
    /// unless what is probed changed. Of new ones, `saved` may know something.
    pub(super) fn follow(&mut self, model: &Model, saved: &mut saved::SavedHealth, now: Now) {
        let mut present = HashSet::new();
        for pool in model.pools() {
            let timing = Timing::of(pool.healthmonitor.as_ref());
            let known = saved.pools.remove(&pool.id).unwrap_or_default();
            let mut known: HashMap<_, _> = known.into_iter().map(|one| (one.member, one)).collect();
            for member in &pool.members {
                let probe = ProbeSpec::new(model, pool, member, self.sources);
                let number = self.number(pool.id, member.socket());
                present.insert(number);
                match self.watched.get_mut(&number) {
                    Some(watched) => watched.follow(pool, member, timing, probe, now),
                    None => {
                        let known = known.remove(&member.socket());
                        let random = self.random.hash_one((number, now.time));
                        let watched = Watched::new(pool, member, timing, probe, known, now, random);
                        self.watched.insert(number, watched);
                    }
                }
                self.schedule.set(number, self.watched[&number].health.next_probe());
            }
        }
        self.forget_all_but(&present);
        self.judging.follow(&self.watched);
    }

    /// Pools have other ids, before they are followed: their members are the same, and so is all that is
    /// known of them.
    pub(super) fn rename(&mut self, pools: &[Renamed]) {
        let known: Vec<_> = pools.iter().map(|pool| self.numbers.remove(&pool.from)).collect();
        for (Renamed { to, .. }, numbers) in pools.iter().zip(known) {
            self.numbers.extend(numbers.map(|numbers| (*to, numbers)));
        }
    }

    /// Learns the ids that packets know members by.
    pub(super) fn assigned(&mut self, pools: &BTreeMap<ResourceId, AssignedPool>) {
        self.watched.values_mut().for_each(|watched| watched.backend = None);
        for (pool, assigned) in pools {
            let Some(numbers) = self.numbers.get(pool) else { continue };
            for member in assigned.members.iter().filter(|member| !member.removed) {
                let number = numbers.get(&member.socket());
                if let Some(watched) = number.and_then(|number| self.watched.get_mut(number)) {
                    watched.backend = Some(member.id);
                }
            }
        }
    }

    /// The number of a member, a new one if it has none.
    fn number(&mut self, pool: ResourceId, member: SocketAddr) -> u32 {
        let numbers = self.numbers.entry(pool).or_default();
        *numbers.entry(member).or_insert_with(|| {
            self.next += 1;
            self.next
        })
    }

    fn forget_all_but(&mut self, present: &HashSet<u32>) {
        for numbers in self.numbers.values_mut() {
            numbers.retain(|_, number| present.contains(number));
        }
        self.numbers.retain(|_, numbers| !numbers.is_empty());
        let schedule = &mut self.schedule;
        self.watched.retain(|number, _| {
            let stays = present.contains(number);
            if !stays {
                schedule.set(*number, None);
            }
            stays
        });
    }

    /// The probes to start now, `most` of them.
    pub(super) fn due(&mut self, now: Now, most: usize) -> Vec<DueProbe> {
        let mut probes = Vec::new();
        for (due, member) in self.schedule.due(now.time, most) {
            let Some(watched) = self.watched.get_mut(&member) else { continue };
            match &watched.probe {
                Some(spec) if watched.health.start(now) => {
                    watched.turn = watched.turn.wrapping_add(1);
                    probes.push(DueProbe { member, due, spec: spec.clone(), routes: Vec::new() });
                }
                _ => self.schedule.set(member, watched.health.next_probe()),
            }
        }
        probes
    }

    /// At these addresses a member's probe that is over is proved to be dropped on this host.
    pub(super) fn prove(&mut self, member: u32, proved: BTreeMap<IpAddr, Fault>) {
        if let Some(watched) = self.watched.get_mut(&member) {
            watched.proved = proved;
        }
    }

    /// Takes in what came of a probe; of a member that went meanwhile, nothing.
    pub(super) fn probed(&mut self, member: u32, outcome: ProbeOutcome, now: Now) -> Effect {
        let random = self.random.hash_one((member, now.time));
        let Some(watched) = self.watched.get_mut(&member) else { return Effect::default() };
        let judged = self.judging.judge(member, watched, &outcome, now);
        let effect = watched.probed(outcome, judged, now, random);
        self.judging.stands(member, watched.health.status());
        self.schedule.set(member, watched.health.next_probe());
        effect
    }

    /// A probe came to nothing that says anything of the member: it is probed again soon.
    pub(super) fn abandoned(&mut self, member: u32, now: Now) {
        let Some(watched) = self.watched.get_mut(&member) else { return };
        watched.health.pass_over(now);
        self.schedule.set(member, watched.health.next_probe());
    }

    /// All that is to be kept across a restart, by pool.
    pub(super) fn saved(&self) -> BTreeMap<ResourceId, Vec<saved::SavedMember>> {
        let member = |(socket, number): (&SocketAddr, &u32)| {
            let watched = &self.watched[number];
            let (verdict, history) = (watched.health.verdict(), watched.history.clone());
            saved::SavedMember { member: *socket, verdict, history }
        };
        let pool = |(pool, numbers): (&ResourceId, &HashMap<SocketAddr, u32>)| {
            (*pool, numbers.iter().map(member).collect())
        };
        self.numbers.iter().map(pool).collect()
    }
}

impl Watched {
    fn new(
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

    fn follow(
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
            self.probe = probe;
        }
        (self.id, self.pool) = (member.id, pool.id);
        member.name.as_str().clone_into(&mut self.name);
        pool.name.as_str().clone_into(&mut self.pool_name);
    }

    fn probed(&mut self, outcome: ProbeOutcome, judged: Judged, now: Now, random: u64) -> Effect {
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

#[cfg(test)]
mod tests;
