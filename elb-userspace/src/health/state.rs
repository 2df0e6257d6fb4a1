//! What the results of probes make of one member.
//!
//! - The first probe of a member without a verdict starts within a second ([`FIRST`]), and its result
//!   decides at once: the whole pool may be waiting for it. After that it takes `max_retries`
//!   successes in a row to make an OFFLINE member ONLINE and `max_retries_down` failures in a row to
//!   make an ONLINE one OFFLINE. The count begins with the second probe, which therefore may come at
//!   any time within `delay`: so members that came together are spread over the interval.
//! - A member whose verdict is known from before a restart is probed at a random point of the first
//!   interval.
//! - A probe starts at most `delay` after the end of the one before, so that a member has one at a
//!   time and the verdict on a member that stops answering takes at most
//!   `timeout * max_retries_down + delay * (max_retries_down - 1)` from the start of the first
//!   failing probe, as the ELB documents; `timeout * max_retries + delay * (max_retries - 1)` for one
//!   that answers again. The first probe may be a `delay` away:
//!   `(timeout + delay) * max_retries_down` in all.
//! - It starts up to a sixteenth of `delay` sooner, by chance, so that members which were probed
//!   together drift apart. There are nine such delays before a verdict at the most, so that it comes
//!   less than one `delay` sooner than that.
//! - A change of the monitor keeps the verdict and starts a new count with a probe at once. Since
//!   that is one for all members, the delay after it is up to half a `delay` shorter, by chance.

use std::fmt;
use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Failure;
use crate::model::HealthMonitor;
use crate::model::time::{Now, Time};

/// The V3 API's `operating_status` of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OperatingStatus {
    /// The pool has no health monitor, or it is disabled.
    NoMonitor,
    /// No probe has finished yet.
    Initial,
    /// Healthy.
    Online,
    /// Not healthy.
    Offline,
}

impl OperatingStatus {
    /// As the V3 API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoMonitor => "NO_MONITOR",
            Self::Initial => "INITIAL",
            Self::Online => "ONLINE",
            Self::Offline => "OFFLINE",
        }
    }
}

impl fmt::Display for OperatingStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// When members are probed, and how many results in a row count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// From the end of a probe to the start of the next, at most.
    pub delay: Duration,
    /// Successes in a row until an OFFLINE member is ONLINE; at least 1.
    pub max_retries: u32,
    /// Failures in a row until an ONLINE member is OFFLINE; at least 1.
    pub max_retries_down: u32,
}

impl Timing {
    /// That of a pool's monitor; `None` without one or with a disabled one.
    pub fn of(monitor: Option<&HealthMonitor>) -> Option<Self> {
        monitor.filter(|monitor| monitor.admin_state_up).map(|monitor| Self {
            delay: monitor.delay.duration(),
            max_retries: monitor.max_retries.get(),
            max_retries_down: monitor.max_retries_down.get(),
        })
    }
}

/// A change of status, as [`MemberHealth::finish`] reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Before.
    pub from: OperatingStatus,
    /// After.
    pub to: OperatingStatus,
}

/// What is known of a member's health, as it is kept across restarts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// ONLINE or OFFLINE; others say nothing.
    pub status: OperatingStatus,
    /// Since when.
    pub since: SystemTime,
    /// Why the latest probe failed, or for an OFFLINE member the latest that did.
    pub reason: Option<Failure>,
    /// Results in a row that speak against it.
    pub streak: u32,
    /// When it began, by the monotonic clock; not known of one from before a restart.
    #[serde(skip)]
    pub decided: Option<Time>,
}

/// The first probe of a member without a verdict starts within this time, by chance.
pub const FIRST: Duration = Duration::from_secs(1);

/// The part of `delay` that chance may shorten it by.
const JITTER: u32 = 16;
/// The same after a change of the monitor.
const JITTER_OF_ALL: u32 = 2;
/// The same after the probe that gave the first verdict.
const JITTER_OF_FIRST: u32 = 1;

/// One member's health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberHealth {
    status: OperatingStatus,
    since: SystemTime,
    decided: Option<Time>,
    serves: bool,
    streak: u32,
    reason: Option<Failure>,
    timing: Option<Timing>,
    phase: Phase,
    /// Divisor of the random reduction: the next delay is shortened by up to delay / jitter.
    jitter: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// There is nothing to probe.
    Idle,
    /// The next probe starts then.
    Waiting(Time),
    /// A probe is under way.
    Probing,
    /// A probe is under way that no longer says anything.
    ProbingObsolete,
}

impl MemberHealth {
    /// A member that nothing is known about. `random` is 64 random bits: they spread the first
    /// probes of many members over [`FIRST`].
    pub fn new(timing: Option<Timing>, now: Now, random: u64) -> Self {
        let status =
            if timing.is_some() { OperatingStatus::Initial } else { OperatingStatus::NoMonitor };
        Self {
            status,
            since: now.wall,
            decided: Some(now.time),
            serves: timing.is_none(),
            streak: 0,
            reason: None,
            timing,
            phase: within(timing.map(|timing| timing.delay.min(FIRST)), now, random),
            jitter: JITTER_OF_FIRST,
        }
    }

    /// A member whose verdict is known from before a restart: it takes as many results in a row to
    /// change it as ever. A verdict other than ONLINE or OFFLINE, or one on a member that is not
    /// monitored any more, is [`Self::new`].
    pub fn restore(known: Verdict, timing: Option<Timing>, now: Now, random: u64) -> Self {
        let fresh = Self::new(timing, now, random);
        let Verdict { status, since, reason, streak, decided } = known;
        if !matches!(status, OperatingStatus::Online | OperatingStatus::Offline) || timing.is_none()
        {
            return fresh;
        }
        let phase = within(timing.map(|timing| timing.delay), now, random);
        let (serves, jitter) = (status == OperatingStatus::Online, JITTER);
        Self { status, since, decided, reason, streak, serves, phase, jitter, ..fresh }
    }

    /// What is to be kept across a restart; nothing before there is a verdict.
    pub fn verdict(&self) -> Option<Verdict> {
        let Self { status, since, streak, decided, .. } = *self;
        let is_one = matches!(status, OperatingStatus::Online | OperatingStatus::Offline);
        is_one.then(|| Verdict { status, since, reason: self.reason.clone(), streak, decided })
    }

    /// The present verdict.
    pub const fn status(&self) -> OperatingStatus {
        self.status
    }

    /// Since when the verdict is this one.
    pub const fn since(&self) -> SystemTime {
        self.since
    }

    /// For how long it has been this one: by the wall clock only where no other knows.
    pub fn lasted(&self, now: Now) -> Duration {
        let shown = || now.wall.duration_since(self.since).unwrap_or_default();
        self.decided.map_or_else(shown, |decided| now.time.since(decided))
    }

    /// Why the latest probe failed, or for an OFFLINE member the latest that did.
    pub const fn reason(&self) -> Option<&Failure> {
        self.reason.as_ref()
    }

    /// When it is probed, and how many results count.
    pub const fn timing(&self) -> Option<Timing> {
        self.timing
    }

    /// Results in a row that speak against the verdict.
    pub const fn streak(&self) -> u32 {
        self.streak
    }

    /// Whether its first probe is still to say whether the member is to take new connections.
    pub const fn is_undecided(&self) -> bool {
        matches!(self.status, OperatingStatus::Initial) && !self.serves
    }

    /// Whether the member is to take new connections: it is ONLINE or not monitored, or it became
    /// monitored while it took them and no result says otherwise yet.
    pub const fn serves(&self) -> bool {
        self.serves
    }

    /// When to start the next probe; `None` while one is under way or if there is none to start.
    pub const fn next_probe(&self) -> Option<Time> {
        match self.phase {
            Phase::Waiting(at) => Some(at),
            Phase::Idle | Phase::Probing | Phase::ProbingObsolete => None,
        }
    }

    /// Starts a probe if one is due. `true` obliges the caller to run it and call [`Self::finish`].
    pub fn start(&mut self, now: Now) -> bool {
        let due = self.next_probe().is_some_and(|at| at <= now.time);
        if due {
            self.phase = Phase::Probing;
        }
        due
    }

    /// Ends the probe that [`Self::start`] began. Without one, nothing happens. `random` is 64 random
    /// bits: they shorten the delay until the next one.
    pub fn finish(&mut self, now: Now, result: Result<(), Failure>, random: u64) -> Option<Change> {
        let timing = self.timing;
        match (self.phase, timing) {
            (Phase::Idle | Phase::Waiting(_), _) => None,
            (Phase::Probing, Some(timing)) => {
                let jitter = std::mem::replace(&mut self.jitter, JITTER);
                let sooner = part(timing.delay / jitter, random);
                self.phase = Phase::Waiting(now.time + (timing.delay - sooner));
                self.count(now, timing, result)
            }
            (Phase::ProbingObsolete | Phase::Probing, timing) => {
                self.phase = timing.map_or(Phase::Idle, |_| Phase::Waiting(now.time));
                None
            }
        }
    }

    /// Ends the probe that [`Self::start`] began, without a verdict: what it came to says nothing of the
    /// member. The next one starts within a second.
    pub fn pass_over(&mut self, now: Now) {
        self.phase = match (self.phase, self.timing) {
            (Phase::Probing | Phase::ProbingObsolete, Some(timing)) => {
                Phase::Waiting(now.time + timing.delay.min(FIRST))
            }
            (Phase::Probing | Phase::ProbingObsolete, None) => Phase::Idle,
            (phase @ (Phase::Idle | Phase::Waiting(_)), _) => phase,
        };
    }

    /// Whether one more failure makes it OFFLINE.
    pub fn is_about_to_fail(&self) -> bool {
        let needed = self.timing.map_or(u32::MAX, |timing| timing.max_retries_down);
        self.status == OperatingStatus::Online && self.streak + 1 >= needed
    }

    /// Takes in a result by itself, of what is not probed on its own.
    pub fn take(&mut self, now: Now, result: Result<(), Failure>) -> Option<Change> {
        let timing = self.timing?;
        self.count(now, timing, result)
    }

    /// Follows a change of the pool's monitor, of its timing or of what it probes. A probe under
    /// way runs to its end, but its result does not count.
    pub fn reconfigure(&mut self, timing: Option<Timing>, now: Now) -> Option<Change> {
        self.timing = timing;
        self.streak = 0;
        self.jitter = JITTER_OF_ALL;
        self.phase = match (self.phase, timing) {
            (Phase::Probing | Phase::ProbingObsolete, _) => Phase::ProbingObsolete,
            (Phase::Idle | Phase::Waiting(_), Some(_)) => Phase::Waiting(now.time),
            (Phase::Idle | Phase::Waiting(_), None) => Phase::Idle,
        };
        match (self.status, timing) {
            (OperatingStatus::NoMonitor, Some(_)) => self.change_to(OperatingStatus::Initial, now),
            (
                OperatingStatus::Initial | OperatingStatus::Online | OperatingStatus::Offline,
                None,
            ) => {
                self.reason = None;
                self.serves = true;
                self.change_to(OperatingStatus::NoMonitor, now)
            }
            (OperatingStatus::NoMonitor, None)
            | (
                OperatingStatus::Initial | OperatingStatus::Online | OperatingStatus::Offline,
                Some(_),
            ) => None,
        }
    }

    fn count(&mut self, now: Now, timing: Timing, result: Result<(), Failure>) -> Option<Change> {
        let (verdict, needed) = match result {
            Ok(()) => (OperatingStatus::Online, timing.max_retries),
            Err(_) => (OperatingStatus::Offline, timing.max_retries_down),
        };
        if let Err(failure) = result {
            self.reason = Some(failure);
        }
        self.streak = if self.status == verdict { 0 } else { self.streak.saturating_add(1) };
        let decided = self.status == OperatingStatus::Initial || self.streak >= needed;
        let change = if decided && self.status != verdict {
            self.serves = verdict == OperatingStatus::Online;
            self.streak = 0;
            self.change_to(verdict, now)
        } else {
            None
        };
        if self.status == OperatingStatus::Online && verdict == OperatingStatus::Online {
            self.reason = None;
        }
        change
    }

    fn change_to(&mut self, status: OperatingStatus, now: Now) -> Option<Change> {
        let from = std::mem::replace(&mut self.status, status);
        (self.since, self.decided) = (now.wall, Some(now.time));
        Some(Change { from, to: status })
    }
}

/// Waiting for a random point of a time span.
fn within(span: Option<Duration>, now: Now, random: u64) -> Phase {
    span.map_or(Phase::Idle, |span| Phase::Waiting(now.time + part(span, random)))
}

/// The part `random / 2^64` of a time span; one of 2^64 ns or more is no delay of ours.
fn part(whole: Duration, random: u64) -> Duration {
    let nanos = (whole.as_nanos() * u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests;
