//! When faults of this host that drop probes are looked for, and which verdicts wait for that.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use crate::health::brake::TRUST;
use crate::model::time::Time;

/// A verdict waits so long for a look at this host.
const WAIT: Duration = Duration::from_secs(5);

/// Members whose probes nothing answers, and when this host was looked at.
#[derive(Debug, Default)]
pub(in crate::agent) struct Proving {
    silent: HashMap<u32, Time>,
    /// When the last of them became silent.
    newest: Option<Time>,
    /// When the last look began that is over.
    looked: Option<Time>,
}

impl Proving {
    /// Nothing answered a probe of a member, which is over now.
    pub(in crate::agent) fn is_silent(&mut self, member: u32, now: Time) {
        if let Entry::Vacant(place) = self.silent.entry(member) {
            place.insert(now);
            self.newest = self.newest.max(Some(now));
        }
    }

    /// Something answers a member's probes.
    pub(in crate::agent) fn is_answered(&mut self, member: u32) {
        self.silent.remove(&member);
    }

    /// Forgets members that went.
    pub(in crate::agent) fn retain(&mut self, is_present: impl Fn(u32) -> bool) {
        self.silent.retain(|member, _| is_present(*member));
    }

    /// A look that began then is over.
    pub(in crate::agent) fn looked(&mut self, begun: Option<Time>) {
        self.looked = self.looked.max(begun);
    }

    /// Whether a member became silent after the last look.
    pub(in crate::agent) fn wants_look(&self) -> bool {
        !self.silent.is_empty() && self.newest > self.looked
    }

    /// Whether there is any silent member.
    pub(in crate::agent) fn is_any_silent(&self) -> bool {
        !self.silent.is_empty()
    }

    /// Whether the verdict on a silent member waits for a look.
    pub(in crate::agent) fn waits(&self, member: u32, now: Time) -> bool {
        let since = self.silent.get(&member);
        since.is_some_and(|since| self.looked < Some(*since) && now.since(*since) < WAIT)
    }

    /// Whether a member became silent so lately that a proof that concerns its own address, too, stands
    /// against its silence there.
    pub(in crate::agent) fn trusts(&self, member: u32, now: Time) -> bool {
        self.silent.get(&member).is_none_or(|since| now.since(*since) < TRUST)
    }

    /// Some of the silent members.
    pub(in crate::agent) fn some(&self, most: usize) -> impl Iterator<Item = u32> + '_ {
        self.silent.keys().copied().take(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn a_verdict_waits_for_a_look_that_began_after_the_silence() {
        let mut proving = Proving::default();
        assert!(!proving.waits(1, at(10)) && !proving.wants_look());
        proving.looked(Some(at(9)));
        proving.is_silent(1, at(10));
        proving.is_silent(1, at(12));
        assert!(proving.waits(1, at(12)) && proving.wants_look());
        assert!(!proving.waits(1, at(15)), "not for ever");
        proving.looked(Some(at(11)));
        assert!(!proving.waits(1, at(12)) && !proving.wants_look());
        proving.is_silent(2, at(13));
        assert!(proving.wants_look() && !proving.waits(1, at(13)));
        assert!(proving.trusts(2, at(312)) && !proving.trusts(2, at(313)));
        proving.is_answered(2);
        proving.retain(|member| member == 2);
        assert!(!proving.is_any_silent());
    }
}
