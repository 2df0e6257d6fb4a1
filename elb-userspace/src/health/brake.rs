//! Holds verdicts where many hosts seem to fail together: more likely the load balancer's own side is
//! broken. The hold is short: who fails still when it ends, and where nothing wrong was found on this
//! host, is OFFLINE. Where something was, the hold is longer, but not for ever either.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::model::time::Time;

/// A look at this host begins within a second of the one before, and a hold is long enough for one.
const LOOK: Duration = Duration::from_secs(1);
/// While something of this host's explains the failures, the hold goes on.
const AGAIN: Duration = Duration::from_secs(5);
/// So long what is wrong on this host stands against the silence of members: dead ones are not in service
/// for ever.
pub const TRUST: Duration = Duration::from_secs(300);

/// Failures of many hosts at a time.
#[derive(Debug, Default)]
pub struct Brake {
    online: HashSet<u32>,
    failing: HashMap<u32, Failing>,
    state: State,
}

#[derive(Clone, Copy, Debug)]
struct Failing {
    host: IpAddr,
    /// When the first probe of those started that failed since the last success.
    since: Time,
    /// Nothing came back.
    is_silent: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// No member turns OFFLINE until then.
    Held { since: Time, until: Time, group: JointFailure },
    /// It was a failure of many, which is over when few of them fail.
    Decided { group: JointFailure },
}

/// Members that began to fail together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JointFailure {
    /// How many they are.
    pub members: usize,
    /// Of so many that worked.
    pub of: usize,
    /// On so many hosts.
    pub hosts: usize,
    /// Whether most of them are silent, rather than answer wrongly.
    pub is_silent: bool,
}

/// What [`Brake`] holds or decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mass<'a> {
    /// Verdicts wait.
    Held(&'a JointFailure),
    /// They were given.
    Decided(&'a JointFailure),
}

/// How long is together, and how long is a hold.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Members whose failures began within this time failed together.
    pub together: Duration,
    /// How long verdicts wait.
    pub hold: Duration,
}

impl Pace {
    /// For probes of this interval and timeout: those of members that fail at one moment start within
    /// an interval, and each takes its timeout. Probes that are faster than that may be late by more
    /// than both, where this host is what is slow.
    pub fn of(delay: Duration, timeout: Duration) -> Self {
        const LEAST: Duration = Duration::from_secs(1);
        const MOST: Duration = Duration::from_secs(5);
        Self { together: (delay + timeout).max(LEAST), hold: timeout.min(MOST) + LOOK }
    }
}

impl Brake {
    /// A member works, or none of its probes counts.
    pub fn works(&mut self, member: u32) {
        self.failing.remove(&member);
        self.settle();
    }

    /// A probe of a member failed, which started then.
    pub fn fails(&mut self, member: u32, host: IpAddr, started: Time, is_silent: bool) {
        let since = self.failing.get(&member).map_or(started, |before| before.since);
        self.failing.insert(member, Failing { host, since, is_silent });
    }

    /// Whether a member is ONLINE now.
    pub fn is_online(&mut self, member: u32, online: bool) {
        if online {
            self.online.insert(member);
        } else {
            self.online.remove(&member);
        }
    }

    /// Forgets members that went.
    pub fn retain(&mut self, present: &HashSet<u32>) {
        self.failing.retain(|member, _| present.contains(member));
        self.online.retain(|member| present.contains(member));
        self.settle();
    }

    /// Whether an ONLINE member whose failure was just noted may turn OFFLINE.
    pub fn lets_go(&mut self, member: u32, pace: Pace, now: Time) -> bool {
        match &self.state {
            State::Decided { .. } => true,
            State::Held { until, .. } if now < *until => false,
            State::Held { group, .. } => {
                self.state = State::Decided { group: group.clone() };
                true
            }
            State::Open => match self.group(member, pace.together) {
                None => true,
                // Answers came back: what carries probes works.
                Some(group) if !group.is_silent => {
                    self.state = State::Decided { group };
                    true
                }
                Some(group) => {
                    self.state = State::Held { since: now, until: now + pace.hold, group };
                    false
                }
            },
        }
    }

    /// Something of this host's explains the failures: the hold goes on, for as long as that is trusted.
    pub fn explained(&mut self, now: Time) {
        if let State::Held { since, until, .. } = &mut self.state {
            *until = (*until).max((now + AGAIN).min(*since + TRUST));
        }
    }

    /// What is held or was decided.
    pub const fn mass(&self) -> Option<Mass<'_>> {
        match &self.state {
            State::Open => None,
            State::Held { group, .. } => Some(Mass::Held(group)),
            State::Decided { group } => Some(Mass::Decided(group)),
        }
    }

    /// Those that began to fail together with a member, if they are more than half of all that worked,
    /// on two hosts or more.
    fn group(&self, member: u32, together: Duration) -> Option<JointFailure> {
        let since = self.failing.get(&member)?.since;
        let is_near = |other: Time| other.max(since).since(other.min(since)) <= together;
        let near = self.failing.iter().filter(|(_, one)| is_near(one.since));
        let near: Vec<_> = near.collect();
        let fallen = near.iter().filter(|(member, _)| !self.online.contains(member)).count();
        let of = self.online.len() + fallen;
        let hosts: HashSet<_> = near.iter().map(|(_, one)| one.host).collect();
        let silent = near.iter().filter(|(_, one)| one.is_silent).count();
        let is_mass = near.len() * 2 > of && hosts.len() > 1;
        is_mass.then(|| JointFailure {
            members: near.len(),
            of,
            hosts: hosts.len(),
            is_silent: silent * 2 > near.len(),
        })
    }

    /// A failure of many is over when most of them work.
    fn settle(&mut self) {
        if let Some(Mass::Held(group) | Mass::Decided(group)) = self.mass()
            && self.failing.len() * 2 <= group.members
        {
            self.state = State::Open;
        }
    }
}

#[cfg(test)]
mod tests;
