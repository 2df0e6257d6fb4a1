//! What the status says of the members' health.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::super::core::Core;
use super::super::state::Probes;
use super::super::state::watched::Watched;
use crate::api::shape::status::{self, timestamp, timestamp_millis};
use crate::health::lateness::quantile;
use crate::health::{Failure, MemberHealth, OperatingStatus, history};
use crate::kernel::host::kept;
use crate::model;
use crate::model::monitor::ProbePath;

/// A listener of a pool.
pub(super) struct At<'m> {
    lb: &'m model::LoadBalancer,
    listener: &'m model::Listener,
    /// No client could ever reach it.
    is_unbound: bool,
}

impl Core {
    /// A listener by its number and that of its load balancer.
    pub(super) fn at(&self, lb: usize, listener: usize) -> Option<At<'_>> {
        let lb = self.config.model.load_balancers().get(lb)?;
        let listener = lb.listeners.get(listener)?;
        Some(At { lb, listener, is_unbound: self.journal.bound.never_was(lb) })
    }

    /// All of a member, where `backend` is what is known by its number.
    pub(super) fn member(
        &self,
        pool: &model::Pool,
        member: &model::Member,
        known: Option<&Watched>,
        listeners: &[At<'_>],
        request: &status::StatusRequest,
        backend: status::MemberStatus,
    ) -> status::MemberStatus {
        let is_drained = self.drains.drained.has(member);
        let probed = known.map_or("INITIAL", |known| known.health.status().as_str());
        let silent = known.map(silent).unwrap_or_default();
        let by_listener: Vec<_> =
            listeners.iter().map(|at| at.status(probed, is_drained, &silent)).collect();
        // One that is unhealthy for all listeners is unhealthy.
        let is_unbound = !listeners.is_empty() && listeners.iter().all(|at| at.is_unbound);
        let operating_status = match by_listener.first() {
            Some(first) if is_unbound => first.operating_status.clone(),
            _ if is_drained => "DRAINING".to_owned(),
            _ => probed.to_owned(),
        };
        status::MemberStatus {
            weight: member.weight.get(),
            backup: self.backup(pool, member),
            max_connection: Some(member.max_connection.get()).filter(|most| *most > 0),
            operating_status,
            since: timestamp(known.map_or(self.started, |known| known.health.since())),
            reason: known.and_then(|known| known.health.reason().cloned()),
            status: if request.brief { Vec::new() } else { by_listener },
            health: known.filter(|_| !request.brief).map(|known| health(known, request.probes)),
            paths: known.filter(|_| !request.brief).and_then(|known| self.paths(pool, known)),
            ..backend
        }
    }

    /// Whether no virtual address is probed because this host lacks something, which is reported once, of
    /// the agent.
    fn host_lacks_probe_path(&self) -> bool {
        let is_missing =
            self.host.keeping.register.why_missing(&kept::KeptObject::ProbePath).is_some();
        is_missing || self.probes.vip.problem().is_some()
    }

    /// By which path a member is probed.
    fn paths(&self, pool: &model::Pool, known: &Watched) -> Option<status::PathStatus> {
        let (spec, last) = (known.probe.as_ref()?, known.last.as_ref());
        let wants_vip = pool.healthmonitor.as_ref()?.probe_path == ProbePath::Vip;
        let way = self.vip_route(known, spec);
        let path = if wants_vip && way.is_ok() { ProbePath::Vip } else { ProbePath::Direct };
        let text = |result: &Result<(), Failure>| match result {
            Ok(()) => "ok".to_owned(),
            Err(failure) => failure.to_string(),
        };
        Some(status::PathStatus {
            path: last.map_or(path, |last| last.path).to_string(),
            why_direct: way
                .err()
                .filter(|_| wants_vip && !self.host_lacks_probe_path())
                .map(|why| why.to_string()),
            vip: last.and_then(|last| last.vip.as_ref()).map(text),
            direct: last.and_then(|last| last.direct.as_ref()).map(text),
            addresses: Some(by_address(known)).filter(|all| all.len() > 1).unwrap_or_default(),
        })
    }
}

impl At<'_> {
    pub(super) const fn is_unbound(&self) -> bool {
        self.is_unbound
    }

    /// What a member is here that is `probed` to be so.
    fn status(
        &self,
        probed: &str,
        is_drained: bool,
        silent: &[(IpAddr, String)],
    ) -> status::AtListener {
        // Members that are not probed are not judged.
        let is_unbound = self.is_unbound && probed != "NO_MONITOR";
        let operating_status = match probed {
            _ if is_drained => "DRAINING",
            _ if is_unbound => "OFFLINE",
            probed => probed,
        };
        let why = format!(
            "load balancer \"{}\" never had an address: set vip_address or ipv6_vip_address",
            self.lb.name
        );
        status::AtListener {
            load_balancer: self.lb.name.to_string(),
            listener: self.listener.name.to_string(),
            operating_status: operating_status.to_owned(),
            why: is_unbound.then_some(why).or_else(|| self.why_offline(probed, silent)),
        }
    }
}

impl At<'_> {
    /// Why a member that fails at some of its virtual addresses is OFFLINE for this listener.
    fn why_offline(&self, probed: &str, silent: &[(IpAddr, String)]) -> Option<String> {
        let (first, why) = silent.first().filter(|_| probed == "OFFLINE")?;
        let own = silent.iter().find(|(vip, _)| self.lb.vips().any(|own| own == *vip));
        Some(match own {
            Some((vip, why)) => format!("it fails at {vip}: {why}"),
            None => format!("it fails at {first}, which its pool serves as well: {why}"),
        })
    }
}

/// Virtual addresses at which a member is OFFLINE, with why.
fn silent(known: &Watched) -> Vec<(IpAddr, String)> {
    let counts = known.at.iter().filter(|(vip, _)| !known.uncounted.contains_key(*vip));
    let offline = counts.filter(|(_, one)| one.status() == OperatingStatus::Offline);
    let text = |one: &MemberHealth| one.reason().map(ToString::to_string).unwrap_or_default();
    offline.map(|(vip, one)| (*vip, text(one))).collect()
}

fn by_address(known: &Watched) -> BTreeMap<IpAddr, String> {
    let text = |one: &MemberHealth| match one.reason() {
        None => one.status().to_string(),
        Some(reason) => format!("{}: {reason}", one.status()),
    };
    let mut all: BTreeMap<_, _> = known.at.iter().map(|(vip, one)| (*vip, text(one))).collect();
    all.extend(known.uncounted.iter().map(|(vip, why)| (*vip, format!("not counted: {why}"))));
    all
}

fn health(known: &Watched, with_probes: bool) -> status::ProbeSummary {
    let probes = known.history.probes().filter(|_| with_probes).map(probe).collect();
    status::ProbeSummary { streak: known.health.streak(), counts: known.history.counts, probes }
}

fn probe(probe: &history::PastProbe) -> status::ProbeRecord {
    let failure = probe.failure.as_deref();
    status::ProbeRecord {
        time: timestamp_millis(probe.started),
        duration_ms: probe.duration.as_micros() as f64 / 1e3,
        result: failure.map_or("OK", |failure| failure.code().as_str()).to_owned(),
        reason: failure.cloned(),
    }
}

impl Probes {
    pub(super) fn status(&self) -> status::Probing {
        let lateness = self.lateness.classes();
        status::Probing {
            under_way: self.under_way,
            most: self.most,
            late_p99_ms: quantile(&lateness, 0.99),
            late_most_ms: u64::try_from(self.lateness.most().as_millis()).unwrap_or(u64::MAX),
            lateness,
        }
    }
}
