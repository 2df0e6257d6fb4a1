//! Which hosts answer at each virtual address: whether a member's silence there is its own.
//!
//! A member that works at its own address, but is silent at a virtual one, lacks that address only if
//! another host answers there: that shows that the load balancer's way to the address works. Where all
//! are silent and work otherwise, the load balancer's own way is what is broken (its rule, route,
//! interface, mark, or a filter), and the verdict is that of the members' own addresses.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use crate::model::time::Time;

/// What the last probe of a member came to at a virtual address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VipResult {
    /// Not probed yet.
    Nothing,
    /// Something came back, be it a refusal.
    Answer,
    /// Nothing came back, but its own address works.
    Silence,
    /// Neither works.
    Dead,
}

/// What a member's silence at a virtual address means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The member lacks the address.
    Own,
    /// Nothing of the member: its own address decides.
    Instrument,
    /// That is not known yet, or the member had failed there before the way broke: no verdict.
    Open,
}

/// What is known of all virtual addresses.
#[derive(Debug, Default)]
pub struct Witnesses {
    addresses: HashMap<IpAddr, Address>,
}

#[derive(Debug, Default)]
struct Address {
    members: HashMap<u32, Member>,
    unprobed: Hosts,
    answering: Hosts,
    silent: Hosts,
    /// When an answer came last.
    answered: Option<Time>,
}

#[derive(Debug)]
struct Member {
    host: IpAddr,
    seen: VipResult,
    /// When the first probe of those started that found silence since the last answer.
    silent_since: Option<Time>,
}

/// Hosts, with how many members of each.
#[derive(Debug, Default)]
struct Hosts(HashMap<IpAddr, u32>);

/// A probe of a virtual address that is over.
#[derive(Clone, Copy, Debug)]
pub struct WitnessProbe {
    /// The virtual address.
    pub address: IpAddr,
    /// The member's number.
    pub member: u32,
    /// The member's own address.
    pub host: IpAddr,
    /// When it started.
    pub started: Time,
    /// When it was over.
    pub ended: Time,
}

impl Witnesses {
    /// A member will be probed at these addresses.
    pub fn expect(&mut self, member: u32, host: IpAddr, addresses: &[IpAddr]) {
        for address in addresses {
            let address = self.addresses.entry(*address).or_default();
            if !address.members.contains_key(&member) {
                address.see(member, host, VipResult::Nothing, None);
            }
        }
    }

    /// Takes in what came of a probe.
    pub fn note(&mut self, probe: WitnessProbe, seen: VipResult) {
        let address = self.addresses.entry(probe.address).or_default();
        let before = address.members.get(&probe.member);
        let silent_since = match seen {
            VipResult::Silence => before.and_then(|one| one.silent_since).or(Some(probe.started)),
            VipResult::Answer | VipResult::Nothing => None,
            VipResult::Dead => before.and_then(|one| one.silent_since),
        };
        if seen == VipResult::Answer {
            address.answered = address.answered.max(Some(probe.ended));
        }
        address.see(probe.member, probe.host, seen, silent_since);
    }

    /// What the silence of a member means that was just noted. `is_only`: it is the member's only
    /// virtual address, or the one that always decided; `is_undecided`: it has no verdict yet.
    pub fn meaning(
        &self,
        probe: WitnessProbe,
        is_only: bool,
        is_offline: bool,
        is_undecided: bool,
    ) -> Meaning {
        let Some(address) = self.addresses.get(&probe.address) else { return Meaning::Own };
        let host = probe.host;
        if address.answering.has_other(host) {
            return Meaning::Own;
        }
        if address.silent.has_other(host) {
            let since = address.members.get(&probe.member).and_then(|one| one.silent_since);
            let failed_before = since < address.answered && address.answered.is_some();
            return if is_offline && failed_before { Meaning::Open } else { Meaning::Instrument };
        }
        if is_undecided && address.unprobed.has_other(host) {
            return Meaning::Open;
        }
        if is_only { Meaning::Own } else { Meaning::Instrument }
    }

    /// Whether there is an address at which no host answers although two or more work at their own.
    pub fn is_unanswered(&self) -> bool {
        self.addresses.values().any(Address::is_unanswered)
    }

    /// Whether something came back from an address, be it a refusal: the way to it works.
    pub fn is_answered(&self, address: IpAddr) -> bool {
        self.addresses.get(&address).is_some_and(|address| !address.answering.0.is_empty())
    }

    /// Forgets members that went, and addresses that are not probed any more.
    pub fn retain(&mut self, wanted: &HashMap<u32, HashSet<IpAddr>>) {
        for (vip, address) in &mut self.addresses {
            let gone = |member: &u32| !wanted.get(member).is_some_and(|vips| vips.contains(vip));
            let gone: Vec<u32> =
                address.members.keys().copied().filter(|member| gone(member)).collect();
            gone.into_iter().for_each(|member| address.forget(member));
        }
        self.addresses.retain(|_, address| !address.members.is_empty());
    }
}

impl Address {
    fn is_unanswered(&self) -> bool {
        self.answering.0.is_empty() && self.silent.0.len() > 1
    }

    fn see(&mut self, member: u32, host: IpAddr, seen: VipResult, silent_since: Option<Time>) {
        self.forget(member);
        self.members.insert(member, Member { host, seen, silent_since });
        if let Some(hosts) = self.hosts(seen) {
            *hosts.0.entry(host).or_default() += 1;
        }
    }

    fn forget(&mut self, member: u32) {
        let Some(Member { host, seen, .. }) = self.members.remove(&member) else { return };
        let Some(hosts) = self.hosts(seen) else { return };
        if let Some(members) = hosts.0.get_mut(&host) {
            *members -= 1;
            if *members == 0 {
                hosts.0.remove(&host);
            }
        }
    }

    fn hosts(&mut self, seen: VipResult) -> Option<&mut Hosts> {
        match seen {
            VipResult::Nothing => Some(&mut self.unprobed),
            VipResult::Answer => Some(&mut self.answering),
            VipResult::Silence => Some(&mut self.silent),
            VipResult::Dead => None,
        }
    }
}

impl Hosts {
    fn has_other(&self, host: IpAddr) -> bool {
        self.0.len() > usize::from(self.0.contains_key(&host))
    }
}

#[cfg(test)]
mod tests;
