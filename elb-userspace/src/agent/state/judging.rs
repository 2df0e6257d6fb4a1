//! What the result of a probe says of the member, and what of this host: only the former is a verdict.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;

use super::proving::Proving;
use super::watched::{Judged, Uncounted, Watched};
use crate::diagnosis::instrument::Fault;
use crate::health::answering::{Answering, Others};
use crate::health::brake::{Brake, Mass, Pace};
use crate::health::path::AtVip;
use crate::health::probe::ProbeOutcome;
use crate::health::witness::{Meaning, VipResult, WitnessProbe, Witnesses};
use crate::health::{Cause, Failure, MemberHealth, OperatingStatus};
use crate::model::monitor::ProbePath;
use crate::model::time::{Now, Time};

/// What is known of all members together, and so of the load balancer's own side.
#[derive(Default)]
pub(in crate::agent) struct Judging {
    witnesses: Witnesses,
    answering: Answering,
    brake: Brake,
    pub(in crate::agent) proving: Proving,
}

/// The results of probes at the virtual addresses, where they are the member's own.
#[derive(Default)]
struct AtVips {
    failure: Option<Failure>,
    is_open: bool,
}

impl Judging {
    /// Who is probed where from now on.
    pub(in crate::agent) fn follow(&mut self, watched: &HashMap<u32, Watched>) {
        let vips = |one: &Watched| -> HashSet<IpAddr> {
            one.probe.iter().flat_map(|probe| &probe.vips).map(|vip| vip.ip()).collect()
        };
        let wanted: HashMap<_, _> = watched.iter().map(|(n, one)| (*n, vips(one))).collect();
        for (number, one) in watched.iter().filter(|(_, one)| one.health.is_undecided()) {
            let addresses: Vec<_> = wanted[number].iter().copied().collect();
            self.witnesses.expect(*number, one.socket.ip(), &addresses);
            let places = addresses.into_iter().map(|vip| (vip, one.pool));
            places.for_each(|place| self.answering.expect(place, *number));
        }
        self.witnesses.retain(&wanted);
        self.answering.retain(|(vip, pool), number| {
            let is_of_pool = watched.get(&number).is_some_and(|one| one.pool == pool);
            is_of_pool && wanted[&number].contains(&vip)
        });
        self.brake.retain(&watched.keys().copied().collect());
        self.proving.retain(|number| watched.contains_key(&number));
        for (number, one) in watched {
            self.brake.is_online(*number, one.health.status() == OperatingStatus::Online);
        }
    }

    /// Judges a probe of a member that is over now.
    pub(in crate::agent) fn judge(
        &mut self,
        number: u32,
        watched: &mut Watched,
        outcome: &ProbeOutcome,
        now: Now,
    ) -> Judged {
        watched.local = local(outcome);
        watched.uncounted.remove(&watched.socket.ip());
        if is_silent(outcome) {
            self.proving.is_silent(number, now.time);
        } else {
            self.proving.is_answered(number);
        }
        let lasted = u64::try_from(outcome.duration.as_nanos()).unwrap_or(u64::MAX);
        let started = Time::from_nanos(now.time.as_nanos().saturating_sub(lasted));
        let judged = self.by_paths(number, watched, outcome, started, now);
        self.braked(number, watched, judged, started, now.time)
    }

    /// A member has this verdict now.
    pub(in crate::agent) fn stands(&mut self, number: u32, status: OperatingStatus) {
        self.brake.is_online(number, status == OperatingStatus::Online);
    }

    /// Whether results give reason to look at this host.
    pub(in crate::agent) fn is_suspected(&self) -> bool {
        self.witnesses.is_unanswered()
    }

    /// Many members that fail together.
    pub(in crate::agent) const fn mass(&self) -> Option<Mass<'_>> {
        self.brake.mass()
    }

    /// Something of this host's explains that many fail.
    pub(in crate::agent) fn explained(&mut self, now: Time) {
        self.brake.explained(now);
    }

    fn by_paths(
        &mut self,
        number: u32,
        watched: &mut Watched,
        outcome: &ProbeOutcome,
        started: Time,
        now: Now,
    ) -> Judged {
        let direct = match outcome.path {
            ProbePath::Direct => Some(&outcome.result),
            ProbePath::Vip => outcome.other.as_ref(),
        };
        let at = self.at_vips(number, watched, outcome, started, now);
        let is_open = at.is_open;
        if let Some(failure) = at.failure.or_else(|| failing_elsewhere(watched, &outcome.vips)) {
            return Judged::Counts(Err(failure));
        }
        match direct {
            // A member that never worked cannot be reached, whatever the cause.
            Some(Err(failure)) if failure.cause.is_local() && !is_first(watched, failure) => {
                Judged::Open
            }
            Some(Err(failure)) => Judged::Counts(Err(failure.clone())),
            Some(Ok(())) | None if is_open => Judged::Open,
            Some(Ok(())) | None => Judged::Counts(Ok(())),
        }
    }

    fn at_vips(
        &mut self,
        number: u32,
        watched: &mut Watched,
        outcome: &ProbeOutcome,
        started: Time,
        now: Now,
    ) -> AtVips {
        let mut all = AtVips::default();
        let (host, ended) = (watched.socket.ip(), now.time);
        for (address, result) in &outcome.vips {
            self.answering.note((*address, watched.pool), number, result.is_ok());
            let Some(seen) = seen(result, outcome.other.as_ref()) else { continue };
            let probe = WitnessProbe { address: *address, member: number, host, started, ended };
            self.witnesses.note(probe, seen);
            let meaning = match (result, outcome.other.as_ref()) {
                (Err(failure), Some(Ok(()))) => self.meaning(probe, watched, failure, outcome),
                _ => Meaning::Own,
            };
            watched.uncounted.remove(address);
            match (meaning, result) {
                (Meaning::Instrument, result) => {
                    let is_silence = seen == VipResult::Silence;
                    let is_answered = self.witnesses.is_answered(*address);
                    let dropped = watched.proved.get(address).filter(|_| is_silence && is_answered);
                    let why = match result {
                        _ if let Some(fault) = dropped => Uncounted::Dropped(fault.clone()),
                        Err(failure) if !is_silence || is_answered => {
                            Uncounted::Service(failure.clone())
                        }
                        Err(_) | Ok(()) => Uncounted::Way,
                    };
                    watched.uncounted.insert(*address, why);
                }
                (Meaning::Open, _) => all.is_open = true,
                (Meaning::Own, result) => {
                    let is_proved = |at| watched.proved.contains_key(at);
                    let is_dropped = seen == VipResult::Dead
                        && is_proved(address)
                        && is_proved(&host)
                        && self.proving.trusts(number, ended);
                    if !is_dropped {
                        watched.take_at(*address, result.clone(), now);
                    }
                    all.failure = all.failure.or_else(|| result.clone().err());
                }
            }
        }
        all
    }

    /// What a failure at a virtual address, just noted, means of a member that works at its own.
    fn meaning(
        &self,
        probe: WitnessProbe,
        watched: &Watched,
        failure: &Failure,
        outcome: &ProbeOutcome,
    ) -> Meaning {
        let (health, is_silence) = (&watched.health, failure.cause.is_silence());
        let first = watched.probe.as_ref().and_then(|probe| probe.vips.first()).map(|vip| vip.ip());
        let works_elsewhere = works_elsewhere(watched, probe.address, is_silence, outcome);
        let by_way = if is_silence {
            let is_only = first == Some(probe.address) && !works_elsewhere;
            let is_offline = health.status() == OperatingStatus::Offline;
            self.witnesses.meaning(probe, is_only, is_offline, health.is_undecided())
        } else {
            Meaning::Own
        };
        let others = self.answering.others((probe.address, watched.pool), probe.member);
        let decides = health.is_about_to_fail() || health.is_undecided();
        let is_offline = health.status() == OperatingStatus::Offline;
        match (by_way, others) {
            // One that failed before stays as it is: nothing shows that it works now.
            (Meaning::Own, _) if is_silence && watched.proved.contains_key(&probe.address) => {
                if is_offline {
                    Meaning::Open
                } else {
                    Meaning::Instrument
                }
            }
            // Perhaps something on this host drops the probes.
            (Meaning::Own, _)
                if is_silence && decides && self.proving.waits(probe.member, probe.ended) =>
            {
                Meaning::Open
            }
            (Meaning::Own, Others::Unknown) if works_elsewhere && health.is_undecided() => {
                Meaning::Open
            }
            // No member of the pool serves there, for whatever reason.
            (Meaning::Own, Others::Unknown | Others::Fail) if works_elsewhere => {
                Meaning::Instrument
            }
            (by_way, _) => by_way,
        }
    }

    /// Whether this host is proved to drop all probes of a member that is about to turn OFFLINE.
    fn is_dropped(&self, number: u32, watched: &mut Watched, now: Time) -> bool {
        let is_dropped = watched.health.is_about_to_fail()
            && watched.proved.contains_key(&watched.socket.ip())
            && self.proving.trusts(number, now);
        if is_dropped {
            let dropped = |(at, fault): (&IpAddr, &Fault)| (*at, Uncounted::Dropped(fault.clone()));
            watched.uncounted.extend(watched.proved.iter().map(dropped));
        }
        is_dropped
    }

    /// Holds what makes a member OFFLINE where many fail together.
    fn braked(
        &mut self,
        number: u32,
        watched: &mut Watched,
        judged: Judged,
        started: Time,
        now: Time,
    ) -> Judged {
        match &judged {
            Judged::Open => return judged,
            Judged::Counts(Ok(())) => self.brake.works(number),
            Judged::Counts(Err(failure)) => {
                let is_silent = failure.cause.is_silence();
                self.brake.fails(number, watched.socket.ip(), started, is_silent);
                if let (true, Some(pace)) = (watched.health.is_about_to_fail(), pace(watched))
                    && !self.brake.lets_go(number, pace, now)
                {
                    return Judged::Open;
                }
                if is_silent && self.is_dropped(number, watched, now) {
                    return Judged::Open;
                }
            }
        }
        judged
    }
}

impl Watched {
    /// Takes in what a probe came to at a virtual address.
    fn take_at(&mut self, address: IpAddr, result: Result<(), Failure>, now: Now) {
        let timing = self.health.timing();
        let health = self.at.entry(address).or_insert_with(|| MemberHealth::new(timing, now, 0));
        health.take(now, result);
    }
}

/// Whether there is no route to a member that has no verdict yet.
fn is_first(watched: &Watched, failure: &Failure) -> bool {
    watched.health.is_undecided() && matches!(failure.cause, Cause::NoRoute { .. })
}

/// Addresses that this probe did not ask, and that failed when they were.
fn failing_elsewhere(watched: &Watched, asked: &[AtVip]) -> Option<Failure> {
    let is_asked = |address: &IpAddr| asked.iter().any(|(asked, _)| asked == address);
    // Where no virtual address was asked, there is no way to any.
    let at: &BTreeMap<_, _> = &watched.at;
    let counts = |address: &IpAddr| !is_asked(address) && !watched.uncounted.contains_key(address);
    let others = at.iter().filter(|(address, _)| !asked.is_empty() && counts(address));
    let mut failing = others.filter(|(_, health)| health.status() == OperatingStatus::Offline);
    failing.find_map(|(_, health)| health.reason().cloned())
}

/// Whether a member that fails at a virtual address works at another. Where an answer came that is no
/// success, silence at the others is no reason to doubt that: only the way there may be broken.
fn works_elsewhere(
    watched: &Watched,
    address: IpAddr,
    is_silence: bool,
    outcome: &ProbeOutcome,
) -> bool {
    let vips = watched.probe.iter().flat_map(|probe| &probe.vips).map(|vip| vip.ip());
    let works = |vip: IpAddr| match outcome.vips.iter().find(|(asked, _)| *asked == vip) {
        Some((_, Ok(()))) => true,
        Some((_, Err(failure))) => !is_silence && failure.cause.is_silence(),
        None => watched.at.get(&vip).is_some_and(|at| at.status() == OperatingStatus::Online),
    };
    vips.filter(|vip| *vip != address).any(works)
}

/// What a result at a virtual address shows; nothing if it is of this host's making.
fn seen(at_vip: &Result<(), Failure>, direct: Option<&Result<(), Failure>>) -> Option<VipResult> {
    match (at_vip, direct) {
        (Ok(()), _) => Some(VipResult::Answer),
        (Err(failure), _) if failure.cause.is_local() => None,
        (Err(failure), _) if !failure.cause.is_silence() => Some(VipResult::Answer),
        (Err(_), Some(Ok(()))) => Some(VipResult::Silence),
        (Err(_), Some(Err(direct))) => (!direct.cause.is_local()).then_some(VipResult::Dead),
        (Err(_), None) => None,
    }
}

/// Whether nothing came back of a probe, at any of its addresses.
fn is_silent(outcome: &ProbeOutcome) -> bool {
    let vips = outcome.vips.iter().map(|(_, result)| result);
    let mut results = [&outcome.result].into_iter().chain(vips);
    results.any(|result| result.as_ref().is_err_and(|one| one.cause.is_silence()))
}

/// What a probe lacked on this host.
fn local(outcome: &ProbeOutcome) -> Option<Failure> {
    let vips = outcome.vips.iter().map(|(_, result)| result);
    let results = [&outcome.result].into_iter().chain(&outcome.other).chain(vips);
    results.filter_map(|result| result.as_ref().err()).find(|one| one.cause.is_local()).cloned()
}

fn pace(watched: &Watched) -> Option<Pace> {
    let (timing, probe) = (watched.health.timing()?, watched.probe.as_ref()?);
    Some(Pace::of(timing.delay, probe.timeout))
}

#[cfg(test)]
mod tests;
