//! Faults of this host's that are proved to drop a member's probes: when they are looked for, which verdicts
//! wait for that, and what they are for one member.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::time::Duration;

use super::core::Core;
use crate::diagnosis::instrument::{self, Fault};
use crate::health::probe::{ProbeOutcome, ProbeSource};
use crate::model::time::Time;

/// A verdict waits so long for a look at this host.
const WAIT: Duration = Duration::from_secs(5);
/// A proof that concerns a member's own address, too, stands so long for its silence there: if the proof
/// is wrong, a dead member is not in service for ever.
const TRUST: Duration = Duration::from_secs(300);

/// Members whose probes nothing answers, and when this host was looked at.
#[derive(Debug, Default)]
pub(super) struct Proving {
    silent: HashMap<u32, Time>,
    /// When the last of them became silent.
    newest: Option<Time>,
    /// When the last look began that is over.
    looked: Option<Time>,
}

impl Proving {
    /// Nothing answered a probe of a member, which is over now.
    pub(super) fn is_silent(&mut self, member: u32, now: Time) {
        if let Entry::Vacant(place) = self.silent.entry(member) {
            place.insert(now);
            self.newest = self.newest.max(Some(now));
        }
    }

    /// Something answers a member's probes.
    pub(super) fn is_answered(&mut self, member: u32) {
        self.silent.remove(&member);
    }

    /// Forgets members that went.
    pub(super) fn retain(&mut self, is_present: impl Fn(u32) -> bool) {
        self.silent.retain(|member, _| is_present(*member));
    }

    /// A look that began then is over.
    pub(super) fn looked(&mut self, begun: Option<Time>) {
        self.looked = self.looked.max(begun);
    }

    /// Whether a member became silent after the last look.
    pub(super) fn wants_look(&self) -> bool {
        !self.silent.is_empty() && self.newest > self.looked
    }

    /// Whether there is any silent member.
    pub(super) fn is_any_silent(&self) -> bool {
        !self.silent.is_empty()
    }

    /// Whether the verdict on a silent member waits for a look.
    pub(super) fn waits(&self, member: u32, now: Time) -> bool {
        let since = self.silent.get(&member);
        since.is_some_and(|since| self.looked < Some(*since) && now.since(*since) < WAIT)
    }

    /// Whether a member became silent so lately that a proof stands against its own address.
    pub(super) fn trusts(&self, member: u32, now: Time) -> bool {
        self.silent.get(&member).is_none_or(|since| now.since(*since) < TRUST)
    }

    /// Some of the silent members.
    fn some(&self, most: usize) -> impl Iterator<Item = u32> + '_ {
        self.silent.keys().copied().take(most)
    }
}

impl Core {
    /// Where probes of this member are proved to be dropped on this host, and by what.
    pub(super) fn proved(&self, member: u32, outcome: &ProbeOutcome) -> BTreeMap<IpAddr, Fault> {
        let failed = outcome.result.is_err() || outcome.vips.iter().any(|(_, one)| one.is_err());
        let spec = self.probes.members.watched(member).and_then(|one| one.probe.as_ref());
        let Some(spec) = spec.filter(|_| failed) else { return BTreeMap::new() };
        let faults = self.probes.looked.drops();
        if faults.is_empty() {
            return BTreeMap::new();
        }
        let dialogs = instrument::dialogs_of(spec, &self.network);
        let by = |dialog: &instrument::Dialog| {
            let fault = faults.iter().find(|fault| fault.drops.contains(dialog))?;
            Some((dialog.to.ip(), fault.clone()))
        };
        dialogs.iter().filter_map(by).collect()
    }

    /// Probes that are looked at: those of silent members first.
    pub(super) fn suspected_dialogs(&self, sources: ProbeSource) -> Vec<instrument::Dialog> {
        const MOST: usize = 64;
        let members = &self.probes.members;
        let silent = members.judging.proving.some(MOST);
        let specs = silent.filter_map(|number| members.watched(number)?.probe.as_ref());
        let first = specs.flat_map(|spec| instrument::dialogs_of(spec, &self.network));
        let others = instrument::dialogs(&self.config.model, &self.network, sources);
        let mut seen = HashSet::new();
        first.chain(others).filter(|dialog| seen.insert(dialog.clone())).collect()
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
