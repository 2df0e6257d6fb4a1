//! What is broken on the load balancer's own side: suspected from the results of probes, looked at, and put
//! into the words of the status.

use std::collections::{BTreeMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::PoisonError;

use super::core::Core;
use super::state::instrument::{Found, LookReason};
use super::state::watched::Uncounted;
use super::{Agent, now};
use crate::diagnosis::instrument::{self, Fault, InstrumentQuestion};
use crate::health::brake::Mass;
use crate::health::probe::ProbeSource;
use crate::health::{Cause, Failure};
use crate::kernel::net::probe_route::RouteNames;
use crate::model::time::Now;
use crate::source::file::ProbeMark;

impl Agent {
    /// Looks at what carries probes on this host, if their results give reason to.
    pub(super) fn look_at_instrument(&mut self) {
        let Some(question) = self.core.instrument_question(now()) else { return };
        let (place, begun) = (self.core.probes.looked.found.clone(), now().time);
        self.diagnoses.spawn(async move {
            let found = instrument::look(question).await.unwrap_or_default();
            for fault in &found {
                tracing::warn!(
                    what = fault.what,
                    fix = fault.fix,
                    "probes do not work on this host"
                );
            }
            let found = Found { begun, faults: found };
            *place.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        });
    }
}

impl Core {
    /// What is to be looked at now, if anything.
    fn instrument_question(&mut self, now: Now) -> Option<InstrumentQuestion> {
        let judging = &mut self.probes.members.judging;
        let is_held = matches!(judging.mass(), Some(Mass::Held(_)));
        let reason = match () {
            () if judging.proving.wants_look() => LookReason::New,
            () if judging.is_suspected() || judging.mass().is_some() => LookReason::Lasts,
            () if judging.proving.is_any_silent() => LookReason::Known,
            () => LookReason::None,
        };
        let hits_all = |found: Vec<Fault>| found.iter().any(|fault| fault.hits_all);
        if is_held && self.probes.looked.found().is_some_and(hits_all) {
            judging.explained(now.time);
        }
        self.probes.looked.is_due(reason, now.time).then(|| self.probes_of_this_host())
    }

    /// The probes of this host, to be looked at.
    pub(super) fn probes_of_this_host(&self) -> InstrumentQuestion {
        let agent = &self.config.agent;
        let sources = ProbeSource { v4: agent.probe_source, v6: agent.probe_source_ipv6 };
        InstrumentQuestion {
            names: RouteNames::of(&agent.pin_dir, agent.probe_mark.map(ProbeMark::get)),
            is_served: self.probes.vip.problem().is_none(),
            dialogs: self.suspected_dialogs(sources),
        }
    }

    /// What probes lack on this host, where their results give reason to suspect it.
    pub(super) fn suspected(&self) -> Option<Vec<String>> {
        let wants = self.wants();
        let is_found = self.probes.looked.found().is_some_and(|found| !found.is_empty());
        (is_found || !wants.is_empty()).then_some(wants)
    }

    /// Problems of this host's that keep probes from being verdicts.
    pub(super) fn instrument_problems(&self) -> Vec<String> {
        let mut problems = self.wants();
        problems.extend(self.unanswered());
        problems.extend(self.unserved());
        problems.extend(self.dropped());
        problems.extend(self.mass());
        problems
    }

    /// What probes lack, with how many members that concerns.
    fn wants(&self) -> Vec<String> {
        let mut wants: BTreeMap<String, usize> = BTreeMap::new();
        for failure in self.probes.members.all().filter_map(|watched| watched.local.as_ref()) {
            *wants.entry(failure.cause.to_string()).or_default() += 1;
        }
        let text = |(cause, members): (String, usize)| {
            let members = counted(members, "member");
            format!(
                "probes of {members} fail on this load balancer itself ({cause}); they are no \
                 verdict on the members: elb doctor"
            )
        };
        wants.into_iter().map(text).collect()
    }

    /// Virtual addresses at which the silence of members does not count, with the hosts of these.
    pub(super) fn uncounted(&self) -> BTreeMap<IpAddr, HashSet<IpAddr>> {
        let mut all: BTreeMap<_, HashSet<_>> = BTreeMap::new();
        for watched in self.probes.members.all() {
            let ways = watched.uncounted.iter().filter(|(_, why)| **why == Uncounted::Way);
            for (vip, _) in ways {
                all.entry(*vip).or_default().insert(watched.socket.ip());
            }
        }
        all
    }

    fn unanswered(&self) -> Vec<String> {
        let text = |(vip, hosts): (IpAddr, HashSet<IpAddr>)| {
            let hosts = counted(hosts.len(), "backend server");
            format!(
                "no member answers at {vip} by the way of probes, although {hosts} answer at their own \
                 addresses, which decide meanwhile: the way of probes on this load balancer is \
                 broken, or {}{}{}",
                self.fault_of_members(vip),
                self.untrusted(vip),
                self.found()
            )
        };
        self.uncounted().into_iter().map(text).collect()
    }

    /// What members lack if none answers at a virtual address.
    fn fault_of_members(&self, vip: IpAddr) -> String {
        let silent =
            self.probes.members.all().filter(|watched| watched.uncounted.contains_key(&vip));
        let names: HashSet<&str> = silent.map(|watched| watched.pool_name.as_str()).collect();
        let pools = self.config.model.pools().iter();
        let mut silent = pools.filter(|pool| names.contains(pool.name.as_str()));
        if silent.any(|pool| pool.forwarding.translates()) {
            return "what backend servers answer does not come back through it: elb diagnose"
                .to_owned();
        }
        format!("no backend server has {vip}")
    }

    /// Virtual addresses at which no member of a pool serves, although members do at others.
    fn unserved(&self) -> Vec<String> {
        let mut all: BTreeMap<_, (&Failure, HashSet<IpAddr>)> = BTreeMap::new();
        for watched in self.probes.members.all() {
            for (vip, why) in &watched.uncounted {
                let Uncounted::Service(failure) = why else { continue };
                let place = (*vip, &watched.pool_name);
                let (_, hosts) = all.entry(place).or_insert_with(|| (failure, HashSet::new()));
                hosts.insert(watched.socket.ip());
            }
        }
        let text = |((vip, pool), (failure, hosts)): (
            (IpAddr, &String),
            (&Failure, HashSet<_>),
        )| {
            let hosts = counted(hosts.len(), "backend server");
            let hint = match (vip, &failure.cause) {
                (IpAddr::V6(_), Cause::Refused { .. } | Cause::PortUnreachable { .. }) => {
                    " (does the service take IPv4 only?)"
                }
                _ => "",
            };
            format!(
                "no member answers at {vip} of pool {pool:?} ({}){hint}, although {hosts} answer at \
                 other addresses, which decide: only clients of {vip} are not served; elb diagnose {pool}",
                failure.cause
            )
        };
        all.into_iter().map(text).collect()
    }

    /// Faults of this host that drop probes, with how many members' they are.
    fn dropped(&self) -> Vec<String> {
        let mut all: BTreeMap<&str, (&Fault, HashSet<SocketAddr>)> = BTreeMap::new();
        for watched in self.probes.members.all() {
            for why in watched.uncounted.values() {
                let Uncounted::Dropped(fault) = why else { continue };
                let (_, members) =
                    all.entry(&fault.what).or_insert_with(|| (fault, HashSet::new()));
                members.insert(watched.socket);
            }
        }
        let text = |(what, (fault, members)): (&str, (&Fault, HashSet<SocketAddr>))| {
            let members = counted(members.len(), "member");
            format!(
                "probes of {members} are dropped on this load balancer, and their failures do not \
                 count; found on this load balancer: {what}; fix: {}",
                fault.fix
            )
        };
        all.into_iter().map(text).collect()
    }

    /// What backend servers may lack, where packets to them are in tunnels.
    fn untrusted(&self, vip: IpAddr) -> String {
        let sources = self.host.sources.like(vip);
        let sources: Vec<String> = sources.iter().map(IpAddr::to_string).collect();
        if sources.is_empty() {
            return String::new();
        }
        format!(", or --from of `elb backend up` there does not include {}", sources.join(", "))
    }

    fn mass(&self) -> Option<String> {
        let (group, what) = match self.probes.members.judging.mass()? {
            Mass::Held(group) => (group, "no verdict for a moment"),
            Mass::Decided(group) => (group, "their failures count"),
        };
        let answers =
            if group.is_silent { "" } else { "; they answer, but wrongly, so probes work" };
        Some(format!(
            "{} of {} members, on {} backend servers, began to fail together: {what}{answers}{}",
            group.members,
            group.of,
            group.hosts,
            self.found()
        ))
    }

    fn found(&self) -> String {
        match self.probes.looked.found() {
            None => String::new(),
            Some(found) if found.is_empty() => {
                "; nothing wrong was found on this load balancer".to_owned()
            }
            Some(found) => {
                let text = |fault: &Fault| format!("{}; fix: {}", fault.what, fault.fix);
                let found: Vec<_> = found.iter().map(text).collect();
                format!("; found on this load balancer: {}", found.join("; "))
            }
        }
    }
}

fn counted(number: usize, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}
