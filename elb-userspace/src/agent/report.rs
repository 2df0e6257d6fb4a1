//! The agent's state as the status that people and programs read.

mod arrivals;
mod health;

use std::collections::HashMap;
use std::net::SocketAddr;

use elb_common::admission::connections;
use elb_common::counter::Counter;
use elb_common::listener::algorithm;
use elb_common::reason::Reason;

use super::arrivals::Arrived;
use super::core::Core;
use super::start::mode_name;
use crate::assign::{AssignedMember, AssignedPool};
use crate::explain::fate;
use crate::host::kept::{Kept, Object};
use crate::kernel::{MapError, coarse_seconds};
use crate::model;
use crate::reconcile::socket;
use crate::ring::shape::{Shape, algorithm_name};
use crate::status::{self, timestamp};

impl Core {
    /// Everything, with the counters as they are now.
    pub(super) fn status(&self, request: &status::Request) -> status::Status {
        let model = &self.config.model;
        let pools: Vec<_> = model.pools().iter().map(|pool| self.pool(pool, request)).collect();
        let balancers = model.load_balancers();
        status::Status {
            agent: self.agent(&arrivals::problems(&pools)),
            load_balancers: balancers.iter().map(|lb| self.load_balancer(lb, &pools)).collect(),
            pools,
            not_forwarded: self.drops(),
        }
    }

    /// Packets that were not forwarded, by reason.
    pub(super) fn drops(&self) -> Vec<status::Reason> {
        Reason::ALL.iter().filter_map(|reason| self.reason(*reason)).collect()
    }

    fn agent(&self, problems: &[String]) -> status::Agent {
        status::Agent {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: timestamp(self.started),
            adopted: self.object.adopted,
            attach_mode: self.attach_mode().to_owned(),
            interfaces: self.attachments.iter().map(|a| a.interface.clone()).collect(),
            config: self.file.clone(),
            loaded: timestamp(self.loaded),
            no_vip_probes: self.vip_probes.problem().map(str::to_owned),
            problems: [
                &self.keeping.register.problems()[..],
                &self.config_problems[..],
                &self.map_problems[..],
                &self.own_addresses.problems[..],
                problems,
            ]
            .concat(),
            kept: self.keeping.register.all().map(kept).collect(),
            probing: self.probing.status(),
        }
    }

    /// As it is in force: the file's, where no interface says otherwise.
    fn attach_mode(&self) -> &'static str {
        let wanted = self.config.agent.attach_mode;
        let other = self.attachments.iter().find(|one| one.mode != wanted);
        mode_name(other.map_or(wanted, |one| one.mode))
    }

    fn load_balancer(
        &self,
        lb: &model::LoadBalancer,
        pools: &[status::Pool],
    ) -> status::LoadBalancer {
        let listener = |listener| self.listener(lb, listener, pools);
        let listeners: Vec<_> = lb.listeners.iter().map(listener).collect();
        let degraded = listeners.iter().any(|listener| listener.operating_status == DEGRADED)
            || self.keeping.register.is_any_missing();
        status::LoadBalancer {
            name: lb.name.to_string(),
            vips: lb.vips().collect(),
            operating_status: rolled_up(lb.admin_state_up, degraded),
            listeners,
        }
    }

    fn listener(
        &self,
        lb: &model::LoadBalancer,
        listener: &model::Listener,
        pools: &[status::Pool],
    ) -> status::Listener {
        let assigned = self.reconciler.assignments.listeners.get(listener.name.as_str());
        let counter = counted(assigned.map(|one| self.maps.listener_counter(one.id)));
        let state = assigned.map(|one| read(self.maps.listener_state(one.id))).unwrap_or_default();
        let default_pool = &listener.default_pool;
        let is_tracked =
            self.config.model.pool(default_pool).is_some_and(|pool| pool.lb_algorithm.is_tracked());
        let connections =
            (assigned.is_some() && is_tracked).then(|| connections(state.connections));
        let pool = pools.iter().find(|pool| pool.name == default_pool.as_str());
        let mut members = pool.into_iter().flat_map(|pool| &pool.members);
        let degraded = pool.is_some_and(|pool| !pool.takes_new())
            || members.any(|member| is_offline_at(member, listener.name.as_str()));
        status::Listener {
            name: listener.name.to_string(),
            protocol: listener.protocol.to_string(),
            protocol_port: listener.protocol_port,
            port_ranges: listener.port_ranges.iter().map(ToString::to_string).collect(),
            operating_status: rolled_up(lb.admin_state_up && listener.admin_state_up, degraded),
            packets: counter.packets,
            bytes: counter.bytes,
            ipgroup: listener.ipgroup.as_ref().map(|access| self.access(access)),
            cps: listener.cps.get(),
            max_connection: listener.max_connection.get(),
            connections,
            refused_records: state.refused,
            default_pool: default_pool.to_string(),
        }
    }

    fn access(&self, access: &model::AccessControl) -> status::AccessControl {
        let mut groups = self.config.model.ip_groups().iter();
        let group = groups.find(|group| group.name == access.ipgroup);
        status::AccessControl {
            ipgroup: access.ipgroup.to_string(),
            list: access.list.to_string(),
            enable_ipgroup: access.enable_ipgroup,
            networks: group.map_or(0, |group| group.ip_list().len()),
        }
    }

    fn pool(&self, pool: &model::Pool, request: &status::Request) -> status::Pool {
        let assigned = self.reconciler.assignments.pools.get(pool.name.as_str());
        let region = assigned.map(AssignedPool::region);
        let (owned, moving) = region.map(|region| self.maps.shares(region)).unwrap_or_default();
        let shape = assigned.map_or_else(|| Shape::of(pool), |assigned| assigned.ring.shape);
        let shares = Shares::new(shape, owned, |id| self.weight(id));
        let arrived = assigned.map(|assigned| self.arrived(pool, assigned)).unwrap_or_default();
        let numbers = assigned.into_iter().flat_map(|a| &a.members).filter(|m| !m.removed);
        let numbers: HashMap<_, _> = numbers.map(|number| (number.socket(), number)).collect();
        let listeners = self.listeners_of(pool);
        let members = pool.members.iter().map(|member| {
            let number = numbers.get(&socket(member)).copied();
            let known = self.members.get(pool.name.as_str(), socket(member));
            let backend = self.backend(number, socket(member), &shares, &arrived);
            self.member(pool, member, known, &listeners, request, backend)
        });
        let removed = assigned.into_iter().flat_map(|a| &a.members).filter(|m| m.removed);
        let removed = removed.map(|number| self.removed(number, &shares, &arrived));
        let former = assigned.and_then(|assigned| assigned.former);
        status::Pool {
            name: pool.name.to_string(),
            forwarding: pool.forwarding.to_string(),
            lb_algorithm: algorithm_name(shape.algorithm).to_owned(),
            slots: shape.size,
            moving_slots: moving,
            former_slots: former.map_or(0, |ring| ring.shape.size),
            listeners: listeners.len(),
            members: members.chain(removed).collect(),
        }
    }

    fn removed(
        &self,
        number: &AssignedMember,
        shares: &Shares,
        arrived: &HashMap<u16, Arrived>,
    ) -> status::Member {
        self.backend(Some(number), number.socket(), shares, arrived)
    }

    /// What is known of a member by its number: all there is of one that was removed.
    fn backend(
        &self,
        number: Option<&AssignedMember>,
        socket: SocketAddr,
        shares: &Shares,
        arrived: &HashMap<u16, Arrived>,
    ) -> status::Member {
        let id = number.map(|number| number.id);
        let counter = counted(id.map(|id| self.maps.backend_counter(id)));
        let counts = id.filter(|_| shares.shape.is_scheduled());
        let cut_at = number
            .and_then(|number| number.cut_at)
            .filter(|_| id.is_some_and(|id| !self.is_cut(id)));
        status::Member {
            name: socket.to_string(),
            address: socket.ip(),
            protocol_port: socket.port(),
            weight: 0,
            operating_status: "REMOVED".to_owned(),
            since: timestamp(self.loaded),
            reason: None,
            status: Vec::new(),
            health: None,
            paths: None,
            unreachable: self.network.next_hop(socket.ip()).err().map(|why| why.to_string()),
            slots: shares.slots(id),
            share: shares.share(id),
            new_connections: id.and_then(|id| arrived.get(&id)).map(arrivals::shape),
            connections: counts.map(|id| read(self.maps.backend_connections(id))),
            cut_in: cut_at.map(|at| at.saturating_sub(coarse_seconds())),
            packets: counter.packets,
            bytes: counter.bytes,
        }
    }

    fn weight(&self, id: u16) -> u32 {
        self.observed.backends.get(&id).map_or(0, |backend| backend.weight)
    }

    fn reason(&self, reason: Reason) -> Option<status::Reason> {
        let counter = counted(Some(self.maps.reason_counter(reason)));
        (counter.packets > 0).then(|| status::Reason {
            reason: reason.name().to_owned(),
            fate: fate(Some(reason)).to_owned(),
            packets: counter.packets,
            bytes: counter.bytes,
            meaning: reason.meaning().to_owned(),
            fix: reason.fix().to_owned(),
        })
    }
}

fn kept((object, kept): (&Object, &Kept)) -> status::Kept {
    status::Kept {
        object: object.to_string(),
        in_place: kept.missing.is_none(),
        reason: kept.missing.clone(),
        restored: kept.restored,
        last_restored: kept.last.map(timestamp),
    }
}

/// Who gets which part of the new flows.
struct Shares {
    shape: Shape,
    slots: HashMap<u16, u32>,
    parts: HashMap<u16, f64>,
    whole: f64,
}

impl Shares {
    /// By the slots of each owner; with least connections, by their weights.
    fn new(shape: Shape, slots: HashMap<u16, u32>, weight: impl Fn(u16) -> u32) -> Self {
        let part = |id: u16, slots: u32| match shape.algorithm {
            algorithm::LEAST_CONNECTIONS => f64::from(weight(id)),
            _ => f64::from(slots),
        };
        let parts: HashMap<u16, f64> = slots.iter().map(|(id, n)| (*id, part(*id, *n))).collect();
        let whole = parts.values().sum();
        Self { shape, slots, parts, whole }
    }

    fn slots(&self, id: Option<u16>) -> u32 {
        id.and_then(|id| self.slots.get(&id)).copied().unwrap_or(0)
    }

    fn share(&self, id: Option<u16>) -> f64 {
        let part = id.and_then(|id| self.parts.get(&id)).copied().unwrap_or(0.0);
        if part > 0.0 { part / self.whole } else { 0.0 }
    }
}

fn is_offline_at(member: &status::Member, listener: &str) -> bool {
    let here = member.status.iter().find(|status| status.listener == listener);
    here.map_or(&member.operating_status, |here| &here.operating_status) == "OFFLINE"
}

const DEGRADED: &str = "DEGRADED";

fn rolled_up(enabled: bool, degraded: bool) -> String {
    match (enabled, degraded) {
        (false, _) => "DISABLED",
        (true, true) => DEGRADED,
        (true, false) => "ONLINE",
    }
    .to_owned()
}

/// A counter that cannot be read is shown as zero and logged.
fn counted(counter: Option<Result<Counter, MapError>>) -> Counter {
    counter.map(read).unwrap_or_default()
}

fn read<T: Default>(value: Result<T, MapError>) -> T {
    value.inspect_err(|error| tracing::warn!(%error, "cannot read a counter")).unwrap_or_default()
}
