//! Writes down what the agent knows, for who scrapes metrics. It walks over the model once, and over no ring.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use elb_common::backend::Backend;

use super::super::core::Core;
use super::super::logged::logged;
use super::super::logging;
use super::super::state::metering::entries::entries;
use crate::api::v3;
use crate::control::assign::AssignedPool;
use crate::health::{OperatingStatus, lateness};
use crate::kernel::bpf::CounterMaps;
use crate::kernel::host::kept::KeptObject;
use crate::model::{self, Ports};
use crate::observe::metrics::{
    AgentFigures, Histogram, ListenerFigures, LoadBalancerFigures, MemberFigures, PoolFigures,
    PoolProbes, STATUSES, Snapshot, Statuses, StoreFigures,
};
use crate::source::store;

/// What listeners need to know of a pool.
struct Known {
    takes_new: bool,
    is_tracked: bool,
}

impl Core {
    pub(super) fn snapshot(&self, tracers: usize, counters: Option<Arc<CounterMaps>>) -> Snapshot {
        let model = &self.config.model;
        let most_members = self.config.metrics.members.get() as usize;
        let all_members = model.pools().iter().map(|pool| pool.members.len()).sum();
        let mut used: HashMap<&model::Name, usize> = HashMap::new();
        for (_, listener) in model.listeners() {
            listener.pools().for_each(|pool| *used.entry(pool).or_default() += 1);
        }
        let mut members = Vec::new();
        let mut known = HashMap::new();
        let mut pools = Vec::with_capacity(model.pools().len());
        for pool in model.pools() {
            let assigned = self.serving.reconciler.assignments.pools.get(&pool.id);
            let whole = Whole::of(self, assigned);
            known.insert(&pool.name, whole.known(pool));
            if all_members <= most_members {
                let index = pools.len();
                members.extend(
                    pool.members.iter().map(|one| self.metered_member(index, pool, one, &whole)),
                );
            }
            let listeners = used.get(&pool.name).copied().unwrap_or(0);
            pools.push(self.metered_pool(pool, assigned, listeners));
        }
        let (taken, time) = (Instant::now(), super::super::clock::now().wall);
        Snapshot {
            taken,
            time,
            not_ready: self.not_ready(&known),
            most_members,
            all_members,
            agent: self.agent_figures(tracers),
            load_balancers: model
                .load_balancers()
                .iter()
                .map(|lb| self.metered_balancer(lb))
                .collect(),
            listeners: model
                .listeners()
                .map(|(lb, one)| self.metered_listener(lb, one, &known))
                .collect(),
            pools,
            members,
            counters,
        }
    }

    /// Why the agent does not serve.
    fn not_ready(&self, known: &HashMap<&model::Name, Known>) -> Option<String> {
        if self.faults.trouble.is_any() {
            return self.faults.trouble.problems().next();
        }
        if self.serving.first_rings_wait {
            return Some("the first verdicts of some members are awaited".to_owned());
        }
        let mut listeners = self.config.model.listeners();
        let serves =
            |(lb, one): (&model::LoadBalancer, &model::Listener)| self.is_up(lb, one, known);
        (!listeners.any(serves)).then(|| "no listener is served by any member".to_owned())
    }

    fn is_up(
        &self,
        lb: &model::LoadBalancer,
        listener: &model::Listener,
        known: &HashMap<&model::Name, Known>,
    ) -> bool {
        let is_assigned = self.serving.reconciler.assignments.listeners.contains_key(&listener.id);
        let pool = self.serving_pool(listener).and_then(|pool| known.get(&pool.name));
        let takes_new = pool.is_some_and(|pool| pool.takes_new);
        lb.admin_state_up && listener.admin_state_up && is_assigned && takes_new
    }

    fn agent_figures(&self, tracers: usize) -> AgentFigures {
        let lateness = &self.probes.lateness;
        let (late, sum) = (lateness.counts().to_vec(), lateness.sum());
        let metering = &self.metering;
        let serving = &self.serving;
        let host = self.host.keeping.register.problems().len()
            + self.host.unserved.len()
            + self.host.own_addresses.problems.len()
            + self.host.owned.taken().len()
            + self.faults.idle_tasks.len();
        let map = serving.left_out.len() + self.faults.trouble.all().count();
        let [unhealthy, recovered, in_service, in_reserve, rises, risen, fallback, fallback_over] =
            metering.events;
        AgentFigures {
            adopted: self.host.object.adopted,
            is_file_served: !self.file.is_wrong,
            loaded: self.file.loaded.wall,
            problems: [("config", self.file.problems.len()), ("map", map), ("host", host)],
            interfaces: self.metered_interfaces(),
            lateness: Histogram::counted(lateness::ENDS, late, sum),
            probes: (self.probes.under_way, self.probes.most),
            verdicts: metering.verdicts.clone(),
            publications: metering.publications.clone(),
            ring_builds: metering.ring_builds.clone(),
            writes: metering.writes.clone(),
            maps: entries(
                &serving.observed,
                &serving.reconciler.assignments,
                serving.maps.capacity,
            ),
            tracers,
            flow_log: self.flow_log.figures(),
            sflow: self.flow_log.sflow_figures(),
            source_ports: self.source_ports().map(|snat| (snat.ports, snat.used)),
            events: [
                ("unhealthy", unhealthy),
                ("recovered", recovered),
                ("in_service", in_service),
                ("in_reserve", in_reserve),
                ("slow_start", rises),
                ("slow_start_over", risen),
                ("fallback", fallback),
                ("fallback_over", fallback_over),
            ],
            logged: logged(),
            lost_lines: logging::lost(),
            wrong_credentials: v3::wrong_credentials(),
            unrecorded: store::unrecorded(),
            api: v3::requests(),
            store: self.metered_store(),
        }
    }

    /// The API's store, if there is one that can be used.
    fn metered_store(&self) -> Option<StoreFigures> {
        let costs = self.file.stored.as_ref()?.store.as_ref().ok()?.costs();
        let commits = Histogram::counted(store::COMMIT_ENDS, costs.commits, costs.time);
        Some(StoreFigures { commits, bytes: costs.bytes, copied: costs.copied })
    }

    fn metered_interfaces(&self) -> Vec<(String, &'static str, bool)> {
        let register = &self.host.keeping.register;
        let one = |name: &String| {
            let attachment = self.host.attachments.iter().find(|one| one.interface == *name);
            let mode = attachment.map_or(self.config.agent.attach_mode, |one| one.mode);
            let is_missing = register.why_missing(&KeptObject::Program(name.clone())).is_some();
            (name.clone(), mode.as_str(), attachment.is_some() && !is_missing)
        };
        self.config.agent.interfaces.iter().map(one).collect()
    }

    fn metered_balancer(&self, lb: &model::LoadBalancer) -> LoadBalancerFigures {
        let pools: BTreeSet<_> = lb.listeners.iter().flat_map(model::Listener::pools).collect();
        let pools = pools.into_iter().filter_map(|name| self.config.model.pool(name));
        let mut members = Statuses::default();
        pools.for_each(|pool| self.count_members(pool, &mut members));
        LoadBalancerFigures { name: lb.name.to_string(), members }
    }

    fn count_members(&self, pool: &model::Pool, counts: &mut Statuses) {
        let mut count = |status: &str| {
            let place = STATUSES.iter().position(|one| *one == status);
            place.into_iter().for_each(|place| counts[place] += 1);
        };
        for member in &pool.members {
            let known = self.probes.members.get(pool.id, member.socket());
            let status = known.map_or(OperatingStatus::Initial, |known| known.health.status());
            let is_drained = self.drains.drained.has(member);
            count(if is_drained { "DRAINING" } else { status.as_str() });
        }
        let assigned = self.serving.reconciler.assignments.pools.get(&pool.id);
        let removed = assigned.iter().flat_map(|pool| &pool.members).filter(|one| one.removed);
        removed.for_each(|_| count("REMOVED"));
    }

    fn metered_listener(
        &self,
        lb: &model::LoadBalancer,
        listener: &model::Listener,
        known: &HashMap<&model::Name, Known>,
    ) -> ListenerFigures {
        let ports = match listener.ports() {
            Ports::Any => "any".to_owned(),
            Ports::One(port) => port.to_string(),
            Ports::Ranges(ranges) => {
                ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
            }
        };
        let assigned = self.serving.reconciler.assignments.listeners.get(&listener.id);
        ListenerFigures {
            load_balancer: lb.name.to_string(),
            name: listener.name.to_string(),
            id: listener.id,
            protocol: match listener.protocol {
                model::Protocol::Tcp => "TCP",
                model::Protocol::Udp => "UDP",
            },
            ports,
            vips: lb.vips().collect(),
            pool: listener.default_pool.to_string(),
            number: assigned.map(|one| one.id),
            is_up: self.is_up(lb, listener, known),
            fallback_used: self.serving.fallbacks.get(&listener.id).map(|one| one.in_use),
            is_answered_here: self.is_answered_here(listener),
            is_tracked: self
                .serving_pool(listener)
                .and_then(|pool| known.get(&pool.name))
                .is_some_and(|pool| pool.is_tracked),
            limits: (listener.max_connection.get(), listener.cps.get()),
        }
    }

    fn metered_pool(
        &self,
        pool: &model::Pool,
        assigned: Option<&AssignedPool>,
        listeners: usize,
    ) -> PoolFigures {
        let kind = pool.healthmonitor.as_ref().filter(|monitor| monitor.admin_state_up);
        let kind = kind.map_or("", |monitor| monitor.check.check_type().as_str());
        let probes = self.metering.probes.get(&pool.id).filter(|probes| probes.kind == kind);
        let mut members = Statuses::default();
        self.count_members(pool, &mut members);
        let moving = self.serving.moving.get(&pool.id).copied();
        PoolFigures {
            name: pool.name.to_string(),
            is_tcp: pool.protocol == model::Protocol::Tcp,
            is_answered_here: pool.forwarding.translates(),
            members,
            listeners,
            backup_used: self.serving.reserves.get(&pool.id).map(|one| one.reserve.in_service),
            slots: assigned.map_or(0, |assigned| assigned.ring.shape.size),
            // Until it is counted.
            moving: moving.map_or(Some(0), |slots| Some(slots).filter(|slots| *slots < u32::MAX)),
            moved: self.metering.moved.get(&pool.id).copied().unwrap_or(0),
            probes: probes.cloned().unwrap_or_else(|| PoolProbes::new(kind)),
        }
    }

    fn metered_member(
        &self,
        index: usize,
        pool: &model::Pool,
        member: &model::Member,
        whole: &Whole<'_>,
    ) -> MemberFigures {
        let known = self.probes.members.get(pool.id, member.socket());
        let status = known.map_or(OperatingStatus::Initial, |known| known.health.status());
        let counts = known.map(|known| known.history.counts).unwrap_or_default();
        let (number, backend) = whole.member(member.socket());
        MemberFigures {
            pool: index,
            name: member.name.to_string(),
            id: member.id,
            socket: member.socket(),
            number,
            weight: member.weight.get(),
            share: whole.share(backend),
            is_reachable: backend.is_some_and(Backend::is_reachable),
            is_tracked: number.is_some() && pool.lb_algorithm.is_tracked(),
            max_connection: member.max_connection.get(),
            is_healthy: matches!(status, OperatingStatus::Online | OperatingStatus::NoMonitor),
            since: known.map_or(self.started, |known| known.health.since()),
            turned: (counts.turned_unhealthy, counts.recovered),
            probes: (counts.probes_ok + counts.probes_failed, counts.probes_failed),
            last_probe: known.and_then(|known| known.history.probes().last()).map(|p| p.duration),
        }
    }
}

/// The members of a pool that packets know.
struct Whole<'c> {
    backends: HashMap<SocketAddr, (u16, Option<&'c Backend>)>,
    /// Weights of all that take new connections.
    weight: u64,
}

impl<'c> Whole<'c> {
    fn of(core: &'c Core, pool: Option<&AssignedPool>) -> Self {
        let members = pool.into_iter().flat_map(|pool| &pool.members).filter(|one| !one.removed);
        let backends: HashMap<_, _> = members
            .map(|one| (one.socket(), (one.id, core.serving.observed.backends.get(&one.id))))
            .collect();
        let weights = backends.values().filter_map(|(_, backend)| weight(*backend));
        let weight = weights.sum();
        Self { backends, weight }
    }

    fn known(&self, pool: &model::Pool) -> Known {
        Known { takes_new: self.weight > 0, is_tracked: pool.lb_algorithm.is_tracked() }
    }

    fn member(&self, socket: SocketAddr) -> (Option<u16>, Option<&'c Backend>) {
        self.backends.get(&socket).map_or((None, None), |(id, backend)| (Some(*id), *backend))
    }

    fn share(&self, backend: Option<&Backend>) -> f64 {
        weight(backend).map_or(0.0, |weight| weight as f64 / self.weight.max(1) as f64)
    }
}

/// The weight of a member, if it takes new connections.
fn weight(backend: Option<&Backend>) -> Option<u64> {
    let backend = backend.filter(|backend| backend.takes_new() && backend.is_reachable())?;
    Some(backend.weight.into())
}
