//! `elb diagnose`: what the agent knows of members, and the looks at them, next to its other work.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::core::Core;
use super::state::watched::Watched;
use crate::api::shape::diagnose::{DiagnoseRequest, Diagnosis};
use crate::api::shape::status::timestamp;
use crate::control::network::Route;
use crate::control::reconcile::Rising;
use crate::diagnosis::evidence::{
    Evidence, FullMember, HealthEvidence, Lapses, Looks, MemberWay, OutOfRotation, Own, PoolWanted,
    Served, WantedMember,
};
use crate::diagnosis::instrument::{self, InstrumentQuestion};
use crate::diagnosis::report::{Conclusion, Report};
use crate::diagnosis::{checks, fix, look};
use crate::health::{OperatingStatus, path};
use crate::kernel::bpf::coarse_seconds;
use crate::model::monitor::ProbePath;
use crate::model::target::Target;
use crate::model::{Member, Pool};

/// Members that are looked at for one question; the others that do not work are counted.
const MOST: usize = 16;
/// Members that are looked at together.
const TOGETHER: usize = 4;

/// What is known before anything is looked at.
pub(super) struct Case {
    /// On this host, if something is missing in it.
    balancer: Option<Report>,
    /// On pools that their configuration keeps from working.
    pools: Vec<Report>,
    /// Of members that are to be looked at.
    members: Vec<Evidence>,
    healthy: Vec<String>,
    left_out: usize,
    /// What is to be looked at on this host.
    question: InstrumentQuestion,
    /// Where the results of probes give reason to suspect this host: what the probes lack.
    suspected: Option<Vec<String>>,
}

impl Core {
    /// What is known of what is asked for.
    pub(super) fn diagnose(&self, request: DiagnoseRequest) -> Result<Case, String> {
        let model = &self.config.model;
        let target = request.target.as_deref();
        let found = target.map_or(Ok(Target::All), |text| Target::find(model, text));
        let target = match found {
            Ok(found) => found,
            Err(unknown) => {
                let report = target.and_then(|text| self.not_served(text)).ok_or(unknown)?;
                return Ok(Case::of(report, self.probes_of_this_host()));
            }
        };
        let mut case = Case {
            balancer: checks::balancer::balancer(&self.balancer()),
            pools: Vec::new(),
            members: Vec::new(),
            healthy: Vec::new(),
            left_out: 0,
            question: self.probes_of_this_host(),
            suspected: None,
        };
        if let Target::Member(pool, member) = target {
            let mut evidence = self.evidence(pool, member);
            evidence.inspection = request
                .inspection
                .map(|inspection| inspection.answer_to(&fix::question(&evidence)))
                .transpose()?;
            case.members.push(evidence);
            return Ok(case);
        }
        if request.inspection.is_some() {
            return Err(format!("an inspection is of the host of one member, not of {target}"));
        }
        case.suspected = self.suspected();
        for pool in target.pools(model) {
            self.add_pool(&mut case, target, pool);
        }
        let asked = model.load_balancers().iter().filter(|balancer| {
            let mut listeners = balancer.listeners.iter();
            listeners
                .any(|listener| target.includes(balancer.name.as_str(), listener.name.as_str()))
        });
        let vips: Vec<IpAddr> = asked.flat_map(|balancer| balancer.vips()).collect();
        case.pools.extend(self.held_reports(&vips));
        Ok(case)
    }

    /// What `elb` is to be asked on the host of a member.
    pub(super) fn inspection(&self, target: &str) -> Result<Vec<String>, String> {
        let target = Target::find(&self.config.model, target)?;
        let Target::Member(pool, member) = target else {
            return Err(format!("{target} has no host of its own; name one member"));
        };
        Ok(fix::inspect_on_host(&self.evidence(pool, member)))
    }

    fn add_pool(&self, case: &mut Case, target: Target<'_>, pool: &Pool) {
        let mut wanted = self.pool_wanted(pool);
        wanted.listeners.retain(|served| target.includes(&served.balancer, &served.listener));
        let report = checks::pool(&wanted, &self.file.path);
        if report.conclusion != Conclusion::Healthy {
            case.pools.push(report);
            // Members are looked at where packets may come to them.
            if wanted.listeners.iter().all(|served| !served.enabled || served.vips.is_empty()) {
                return;
            }
        }
        for member in &pool.members {
            let health = self.probes.members.health(pool.id, member.socket());
            let reached = self.network.next_hop(member.address).is_ok();
            let works = health.is_some_and(|health| health.status() == OperatingStatus::Online);
            let stuck = self.stuck(pool, member.socket()).is_some();
            let held = !self.held_by_member(member.address).is_empty();
            let watched = self.probes.members.get(pool.id, member.socket());
            let is_well = watched.is_none_or(|one| one.uncounted.is_empty())
                && self.unserved_way(member.address).is_none();
            if works && reached && !stuck && !held && is_well {
                let backup = self.backup(pool, member);
                let full = self.full(pool, member).map(|full| full.to_string());
                let notes = backup.map(|backup| backup.to_string()).into_iter().chain(full);
                let note: String = notes.map(|note| format!(" ({note})")).collect();
                case.healthy.push(format!("{}/{}{note}", pool.name, member.name));
            } else if case.members.len() < MOST {
                case.members.push(self.evidence(pool, member));
            } else {
                case.left_out += 1;
            }
        }
    }

    fn evidence(&self, pool: &Pool, member: &Member) -> Evidence {
        let watched = self.probes.members.get(pool.id, member.socket());
        let health = watched.map(|watched| &watched.health);
        let probe = watched.and_then(|watched| watched.probe.clone());
        let monitor = pool.healthmonitor.as_ref();
        let is_direct = monitor.is_some_and(|monitor| monitor.probe_path == ProbePath::Direct);
        let vip = match watched.zip(probe.as_ref()) {
            None => Err("the pool has no health check".to_owned()),
            Some(_) if is_direct => Err("probe_path is \"direct\"".to_owned()),
            Some((watched, probe)) => self.vip_route(watched, probe).map_err(|why| why.to_string()),
        };
        let mut way = self.way(member.address, probe.as_ref().and_then(|probe| probe.source), vip);
        if let Some((watched, probe)) = watched.zip(probe.as_ref()) {
            way.vips = self.probe_routes(watched, probe);
        }
        Evidence {
            wanted: WantedMember {
                file: self.file.path.clone(),
                pool: self.pool_wanted(pool),
                member: member.name.to_string(),
                service: member.socket(),
                backup: self.backup(pool, member),
                full: self.full(pool, member),
                rising: self.rising(pool).remove(member.name.as_str()),
                probe,
                max_retries: monitor.map_or(1, |monitor| monitor.max_retries.get()),
                delay: monitor.map(|monitor| monitor.delay.duration()).unwrap_or_default(),
            },
            health: HealthEvidence {
                status: health.map_or(OperatingStatus::Initial, |health| health.status()),
                since: timestamp(health.map_or(self.started, |health| health.since())),
                reason: health.and_then(|health| health.reason()).cloned(),
                lapses: watched.map(Watched::lapses).unwrap_or_default(),
                stuck: self.stuck(pool, member.socket()),
                answers_for: self.held_by_member(member.address),
            },
            way,
            own: Own { faults: Vec::new(), unanswered: self.uncounted().into_keys().collect() },
            looks: Looks::default(),
            inspection: None,
        }
    }

    fn pool_wanted(&self, pool: &Pool) -> PoolWanted {
        let model = &self.config.model;
        let served = model.listeners_of(&pool.name).map(|(balancer, listener)| Served {
            balancer: balancer.name.to_string(),
            listener: listener.name.to_string(),
            protocol: listener.protocol,
            vips: balancer.vips().collect(),
            was_bound: !self.journal.bound.never_was(balancer),
            fallback: self.serving.fallbacks.get(&listener.id).cloned(),
            enabled: balancer.admin_state_up && listener.admin_state_up,
        });
        let others = model.load_balancers().iter().flat_map(|balancer| {
            let fitting = balancer.listeners.iter().filter(|listener| {
                listener.protocol == pool.protocol
                    && listener.pools().all(|name| *name != pool.name)
            });
            fitting.map(move |listener| format!("{}/{}", balancer.name, listener.name))
        });
        let vips = model.listeners_of(&pool.name).flat_map(|(balancer, _)| balancer.vips());
        let own = vips.filter(|vip| self.network.routes.get(vip) == Some(&Route::Local));
        PoolWanted {
            own: own.collect(),
            name: pool.name.to_string(),
            protocol: pool.protocol,
            forwarding: pool.forwarding,
            source_addresses: model.snat().seen_with(pool.forwarding),
            listeners: served.collect(),
            others: others.collect(),
            backup: self.serving.reserves.get(&pool.id).map(|one| one.reserve),
            full: pool.members.iter().filter_map(|member| self.full(pool, member)).collect(),
            rising: self.rising(pool),
            members: pool.members.iter().map(|member| self.out_of_rotation(member)).collect(),
        }
    }

    /// The members that rise to their shares, by name.
    fn rising(&self, pool: &Pool) -> BTreeMap<String, Rising> {
        let mut rising = self.serving.reconciler.rising(pool, coarse_seconds());
        let assigned = self.serving.reconciler.assignments.pools.get(&pool.id);
        let numbers = assigned.map(|pool| &pool.members[..]).unwrap_or_default().iter();
        let by_socket: HashMap<SocketAddr, Rising> =
            numbers.filter_map(|one| Some((one.socket(), rising.remove(&one.id)?))).collect();
        let named =
            |member: &Member| Some((member.name.to_string(), *by_socket.get(&member.socket())?));
        pool.members.iter().filter_map(named).collect()
    }

    /// The member, if it has as many connections as it may.
    fn full(&self, pool: &Pool, member: &Member) -> Option<FullMember> {
        let most = Some(member.max_connection.get()).filter(|most| *most > 0)?;
        let assigned = self.serving.reconciler.assignments.pools.get(&pool.id)?;
        let number = assigned.members.iter().find(|one| one.socket() == member.socket())?;
        let open = self.serving.maps.backend_connections(number.id).ok()?;
        (open >= most).then(|| FullMember { member: member.name.to_string(), open, most })
    }

    fn out_of_rotation(&self, member: &Member) -> Option<OutOfRotation> {
        let name = member.name.to_string();
        if self.drains.drained.has(member) {
            return Some(OutOfRotation::Drained(name));
        }
        (member.weight.get() == 0).then_some(OutOfRotation::NoWeight(name))
    }

    fn way(
        &self,
        member: IpAddr,
        source: Option<IpAddr>,
        vip: Result<path::ProbeRoute, String>,
    ) -> MemberWay {
        let route = self.network.routes.get(&member).copied().unwrap_or(Route::None);
        let (interface, gateway, routed) = match route {
            Route::Local | Route::None => (None, None, None),
            Route::Via { ifindex, gateway, source, .. } => {
                (self.network.links.get(&ifindex), gateway, source)
            }
        };
        let next_hop = self.network.next_hop(member);
        let agent = &self.config.agent;
        let set = match member {
            IpAddr::V4(_) => agent.encap_source.map(IpAddr::V4),
            IpAddr::V6(_) => agent.encap_source_ipv6.map(IpAddr::V6),
        };
        let outer = set.or(next_hop.as_ref().ok().and_then(|hop| hop.source)).or(routed);
        MemberWay {
            doubt: self.network.doubt(member),
            unserved: self.unserved_way(member).cloned(),
            ipv6_off: if member.is_ipv6() { self.interfaces_without_ipv6() } else { Vec::new() },
            path_mtu: self.network.path_mtus.get(&member).copied(),
            next_hop,
            interface: interface.map(|link| link.name.clone()).unwrap_or_default(),
            gateway,
            source: source.or(routed),
            outer,
            vip,
            vips: Vec::new(),
        }
    }
}

impl Watched {
    /// How many of the probes that are remembered failed since the member is ONLINE.
    fn lapses(&self) -> Lapses {
        let online = self.health.status() == OperatingStatus::Online;
        let since = self.history.probes().filter(|probe| probe.started >= self.health.since());
        let (mut failed, mut probes) = (0, 0);
        for probe in since.filter(|_| online) {
            probes += 1;
            failed += u32::from(probe.failure.is_some());
        }
        Lapses { failed, probes }
    }
}

impl Case {
    /// On this load balancer alone.
    fn of(report: Report, question: InstrumentQuestion) -> Self {
        let (pools, members, healthy) = (Vec::new(), Vec::new(), Vec::new());
        let (balancer, suspected) = (Some(report), None);
        Self { balancer, pools, members, healthy, left_out: 0, question, suspected }
    }

    /// Looks at the members and judges them.
    pub(super) async fn conclude(self) -> Diagnosis {
        let Self { balancer, pools, mut members, healthy, left_out, question, suspected } = self;
        let mut probes = None;
        if !members.is_empty() || suspected.is_some() {
            let faults = instrument::look(question).await.unwrap_or_default();
            probes = suspected.and_then(|wants| checks::balancer::probes(&faults, &wants));
            members.iter_mut().for_each(|evidence| evidence.own.faults.clone_from(&faults));
        }
        let turns = Arc::new(Semaphore::new(TOGETHER));
        let mut looks = JoinSet::new();
        for (index, evidence) in members.into_iter().enumerate() {
            let turns = turns.clone();
            looks.spawn(async move {
                // The semaphore is never closed.
                let _turn = turns.acquire().await;
                (index, checks::member(&look::look(evidence).await))
            });
        }
        let mut reports: Vec<(usize, Report)> = looks.join_all().await;
        reports.sort_by_key(|(index, _)| *index);
        let others = pools.into_iter().chain(reports.into_iter().map(|(_, report)| report));
        let reports = checks::balancer::placed(probes, others.collect());
        let reports = checks::balancer::placed(balancer, reports);
        Diagnosis::new(reports, healthy, left_out)
    }
}
