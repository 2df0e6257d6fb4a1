//! The members' health: who is probed when, what came of it, and what is kept of that.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, SocketAddr};

use super::judging::Judging;
use super::watched::{Effect, Watched};
use crate::agent::saved;
use crate::api::v3::MemberHealths;
use crate::control::assign::AssignedPool;
use crate::control::reconcile::Renamed;
use crate::diagnosis::instrument::Fault;
use crate::health::path::ProbeRoute;
use crate::health::probe::{ProbeOutcome, ProbeSource, ProbeSpec};
use crate::health::schedule::Schedule;
use crate::health::{MemberHealth, Timing};
use crate::model::time::{Now, Time};
use crate::model::{Model, ResourceId};

/// The health of all members, each under a number for the schedule and for probes under way.
#[derive(Default)]
pub(in crate::agent) struct Members {
    sources: ProbeSource,
    numbers: HashMap<ResourceId, HashMap<SocketAddr, u32>>,
    watched: HashMap<u32, Watched>,
    schedule: Schedule<u32>,
    next: u32,
    random: RandomState,
    pub(in crate::agent) judging: Judging,
    /// The same for others, by the ids of members: what the maps have, too.
    pub(in crate::agent) known: MemberHealths,
    /// What others do not know yet.
    untold: Untold,
}

/// What is known of members and not in the maps yet.
#[derive(Default)]
enum Untold {
    /// Of these members, perhaps none.
    Some(BTreeSet<u32>),
    /// Of all there are.
    #[default]
    All,
}

/// A probe to start.
pub(in crate::agent) struct DueProbe {
    /// The member's number.
    pub member: u32,
    /// When it was due.
    pub due: Time,
    pub spec: ProbeSpec,
    /// How its virtual addresses are probed, as many as now are.
    pub routes: Vec<ProbeRoute>,
}

impl Members {
    /// No members yet; probes are sent from these addresses.
    pub(in crate::agent) fn probing_from(sources: ProbeSource) -> Self {
        Self { sources, ..Self::default() }
    }

    /// What is known of a member.
    pub(in crate::agent) fn get(&self, pool: ResourceId, member: SocketAddr) -> Option<&Watched> {
        self.watched.get(self.numbers.get(&pool)?.get(&member)?)
    }

    /// What is known of the member with a number.
    pub(in crate::agent) fn watched(&self, member: u32) -> Option<&Watched> {
        self.watched.get(&member)
    }

    /// All there are.
    pub(in crate::agent) fn all(&self) -> impl Iterator<Item = &Watched> {
        self.watched.values()
    }

    /// The health of a member.
    pub(in crate::agent) fn health(
        &self,
        pool: ResourceId,
        member: SocketAddr,
    ) -> Option<&MemberHealth> {
        self.get(pool, member).map(|watched| &watched.health)
    }

    /// When the next probe is due.
    pub(in crate::agent) fn next_probe(&self) -> Option<Time> {
        self.schedule.next_deadline()
    }

    /// Follows a model: members that stay keep what is known of them, and go on with their probes
    /// unless what is probed changed. Of new ones, `saved` may know something.
    pub(in crate::agent) fn follow(
        &mut self,
        model: &Model,
        saved: &mut saved::SavedHealth,
        now: Now,
    ) {
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
        self.untold = Untold::All;
    }

    /// The maps were written, or could not be, which is a problem of its own: now others know it, too.
    pub(in crate::agent) fn tell(&mut self) {
        match std::mem::replace(&mut self.untold, Untold::Some(BTreeSet::new())) {
            Untold::Some(members) => {
                let members = members.iter().filter_map(|number| self.watched.get(number));
                members.for_each(|one| self.known.note(one.id, one.known_health()));
            }
            Untold::All => {
                let all = self.watched.values().map(|one| (one.id, one.known_health()));
                self.known.replace(all);
            }
        }
    }

    /// Pools have other ids, before they are followed: their members are the same, and so is all that is
    /// known of them.
    pub(in crate::agent) fn rename(&mut self, pools: &[Renamed]) {
        let known: Vec<_> = pools.iter().map(|pool| self.numbers.remove(&pool.from)).collect();
        for (Renamed { to, .. }, numbers) in pools.iter().zip(known) {
            self.numbers.extend(numbers.map(|numbers| (*to, numbers)));
        }
    }

    /// Learns the ids that packets know members by.
    pub(in crate::agent) fn assigned(&mut self, pools: &BTreeMap<ResourceId, AssignedPool>) {
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
    pub(in crate::agent) fn due(&mut self, now: Now, most: usize) -> Vec<DueProbe> {
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
    pub(in crate::agent) fn prove(&mut self, member: u32, proved: BTreeMap<IpAddr, Fault>) {
        if let Some(watched) = self.watched.get_mut(&member) {
            watched.proved = proved;
        }
    }

    /// Takes in what came of a probe; of a member that went meanwhile, nothing.
    pub(in crate::agent) fn probed(
        &mut self,
        member: u32,
        outcome: ProbeOutcome,
        now: Now,
    ) -> Effect {
        let random = self.random.hash_one((member, now.time));
        let Some(watched) = self.watched.get_mut(&member) else { return Effect::default() };
        let judged = self.judging.judge(member, watched, &outcome, now);
        let effect = watched.probed(outcome, judged, now, random);
        self.judging.stands(member, watched.health.status());
        self.schedule.set(member, watched.health.next_probe());
        match &mut self.untold {
            Untold::All => {}
            Untold::Some(members) if effect.standing_changed || members.contains(&member) => {
                members.insert(member);
            }
            Untold::Some(_) => self.known.note(watched.id, watched.known_health()),
        }
        effect
    }

    /// A probe came to nothing that says anything of the member: it is probed again soon.
    pub(in crate::agent) fn abandoned(&mut self, member: u32, now: Now) {
        let Some(watched) = self.watched.get_mut(&member) else { return };
        watched.health.pass_over(now);
        self.schedule.set(member, watched.health.next_probe());
    }

    /// All that is to be kept across a restart, by pool.
    pub(in crate::agent) fn saved(&self) -> BTreeMap<ResourceId, Vec<saved::SavedMember>> {
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

#[cfg(test)]
mod tests;
