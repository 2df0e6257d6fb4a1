//! The agent's state as the status that people and programs read.

mod arrivals;
mod health;
mod impairment;
mod parts;
mod replies;
mod selection;
mod snat;

use std::collections::{BTreeSet, HashMap};

use elb_common::admission::connections;
use elb_common::counter::Counter;
use elb_common::listener::algorithm;
use elb_common::reason::Reason;

use super::core::Core;
use super::state::arrivals::Arrived;
use crate::agent::{logging, now};
use crate::api::shape::status::{self, timestamp, timestamp_millis};
use crate::api::v3;
use crate::control::assign::AssignedMember;
use crate::control::ring::shape::Shape;
use crate::kernel::bpf::{MapError, Program, coarse_seconds};
use crate::kernel::host::joining;
use crate::kernel::host::kept::{KeptObject, KeptState};
use crate::model::{self, MemberRef};
use crate::observe::explain::fate;
use crate::source::store;

impl Core {
    /// Packets that were not forwarded, by reason.
    pub(super) fn drops(&self) -> Vec<status::Reason> {
        Reason::ALL.iter().filter_map(|reason| self.reason(*reason)).collect()
    }

    fn agent(&self) -> status::Agent {
        let interfaces: Vec<_> =
            self.host.attachments.iter().map(|a| a.interface.clone()).collect();
        status::Agent {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: timestamp(self.started),
            adopted: self.host.object.adopted,
            attach_mode: self.attach_mode().to_owned(),
            traced: self.host.keeping.program == Program::Traced,
            flow_log: self.flow_log.status(),
            sflow: self.flow_log.sflow_status(),
            snat: self.source_ports(),
            client_prefix: self.config.model.client_prefix().map(|prefix| prefix.to_string()),
            api: self.file.stored.is_some().then(|| status::ApiRefusals {
                wrong_credentials: v3::wrong_credentials(),
                unrecorded: store::unrecorded(),
            }),
            interfaces,
            config: self.file.path.clone(),
            loaded: timestamp(self.file.loaded.wall),
            generation: self.file.generation,
            published: self.file.published.map(timestamp_millis),
            no_vip_probes: self.probes.vip.problem().map(str::to_owned),
            problems: self.problems(),
            failed_writes: self.faults.trouble.failed_writes,
            panics: self.faults.panics.all(),
            notify: self.journal.webhooks.status(),
            kept: self.host.keeping.register.all().map(kept).collect(),
            probing: self.probes.status(),
        }
    }

    fn problems(&self) -> Vec<String> {
        let idle = |(task, why): (&&str, &String)| {
            format!("task {task} does not run, and is begun again: {why}")
        };
        let mut all = [
            &self.host.keeping.register.problems()[..],
            &self.file.problems[..],
            &self.serving.left_out[..],
            &self.unserved_problems(),
            &self.client_problems(),
            &self.host.own_addresses.problems[..],
            &self.instrument_problems(),
        ]
        .concat();
        let interfaces: Vec<_> =
            self.host.attachments.iter().map(|a| a.interface.clone()).collect();
        all.extend(self.file.api_problem(now().wall).map(str::to_owned));
        all.extend(joining::problem(self.config.agent.attach_mode, &interfaces));
        all.extend(self.host.ipv6_off.iter().map(|(what, fix)| format!("{what}; fix: {fix}")));
        all.extend(self.host.owned.taken());
        all.extend(self.flow_log.problems());
        all.extend(self.journal.webhooks.problems());
        all.extend(self.host.socket.iter().filter_map(|one| one.problem().map(str::to_owned)));
        all.extend(self.faults.trouble.problems());
        all.extend(self.faults.idle_tasks.iter().map(idle));
        all.extend(self.faults.panics.problems());
        all.extend(self.held_problems());
        all.extend(self.source_ports().as_ref().and_then(snat::problem));
        all.extend(lost_lines());
        // A reload that was refused says what cannot be written, too.
        let mut said = BTreeSet::new();
        all.retain(|one| said.insert(one.clone()));
        all
    }

    /// As it is in force: the file's, where no interface says otherwise.
    fn attach_mode(&self) -> &'static str {
        let wanted = self.config.agent.attach_mode;
        let other = self.host.attachments.iter().find(|one| one.mode != wanted);
        other.map_or(wanted, |one| one.mode).as_str()
    }

    fn listener(
        &self,
        lb: &model::LoadBalancer,
        listener: &model::Listener,
        is_degraded: bool,
    ) -> status::ListenerStatus {
        let assigned = self.serving.reconciler.assignments.listeners.get(&listener.id);
        let counter = counted(assigned.map(|one| self.serving.maps.listener_counter(one.id)));
        let state =
            assigned.map(|one| read(self.serving.maps.listener_state(one.id))).unwrap_or_default();
        let default_pool = &listener.default_pool;
        let is_tracked =
            self.serving_pool(listener).is_some_and(|pool| pool.lb_algorithm.is_tracked());
        let connections =
            (assigned.is_some() && is_tracked).then(|| connections(state.connections));
        status::ListenerStatus {
            id: Some(listener.id),
            name: listener.name.to_string(),
            protocol: listener.protocol.to_string(),
            protocol_port: listener.protocol_port,
            port_ranges: listener.port_ranges.iter().map(ToString::to_string).collect(),
            operating_status: rolled_up(lb.admin_state_up && listener.admin_state_up, is_degraded),
            packets: counter.packets,
            bytes: counter.bytes,
            replies: self.listener_replies(listener),
            rate: None,
            ipgroup: listener.ipgroup.as_ref().map(|access| self.access(access)),
            cps: listener.cps.get(),
            max_connection: listener.max_connection.get(),
            no_member: listener.no_member.to_string(),
            connections,
            refused_records: state.refused,
            default_pool: default_pool.to_string(),
            fallback: self.serving.fallbacks.get(&listener.id).cloned(),
        }
    }

    fn access(&self, access: &model::AccessControl) -> status::AccessStatus {
        let mut groups = self.config.model.ip_groups().iter();
        let group = groups.find(|group| group.name == access.ipgroup);
        status::AccessStatus {
            ipgroup: access.ipgroup.to_string(),
            list: access.list.to_string(),
            enable_ipgroup: access.enable_ipgroup,
            cut: access.cut,
            networks: group.map_or(0, |group| group.ip_list().len()),
        }
    }

    fn removed(
        &self,
        pool: &model::Pool,
        number: &AssignedMember,
        shares: &Shares,
        arrived: &HashMap<u16, Arrived>,
    ) -> status::MemberStatus {
        let pool_ref = (Some(pool.id), pool.name.as_str());
        let id = Some(number.resource(pool.id));
        let member = MemberRef::new(pool_ref, id, None, number.socket());
        let replies = self.backend_replies(pool, Some(number));
        status::MemberStatus { replies, ..self.backend(member, Some(number), shares, arrived) }
    }

    /// What is known of a member by its number: all there is of one that was removed.
    fn backend(
        &self,
        member: MemberRef,
        number: Option<&AssignedMember>,
        shares: &Shares,
        arrived: &HashMap<u16, Arrived>,
    ) -> status::MemberStatus {
        let socket = member.socket();
        let id = number.map(|number| number.id);
        let counter = counted(id.map(|id| self.serving.maps.backend_counter(id)));
        let counts = id.filter(|_| shares.shape.is_scheduled());
        let cut_at = number
            .and_then(|number| number.cut_at)
            .filter(|_| id.is_some_and(|id| !self.is_cut(id)));
        status::MemberStatus {
            member,
            weight: 0,
            backup: None,
            rising: None,
            operating_status: "REMOVED".to_owned(),
            since: timestamp(self.file.loaded.wall),
            reason: None,
            status: Vec::new(),
            health: None,
            paths: None,
            more_listeners: 0,
            unreachable: self.network.next_hop(socket.ip()).err().map(|why| why.to_string()),
            doubtful_next_hop: self.network.doubt(socket.ip()),
            slots: shares.slots(id),
            share: shares.share(id),
            new_connections: id.and_then(|id| arrived.get(&id)).map(arrivals::shape),
            connections: counts.map(|id| read(self.serving.maps.backend_connections(id))),
            max_connection: None,
            cut_in: cut_at.map(|at| at.saturating_sub(coarse_seconds())),
            packets: counter.packets,
            bytes: counter.bytes,
            replies: None,
            opened: None,
            rate: None,
        }
    }

    fn weight(&self, id: u16) -> u32 {
        self.serving.observed.backends.get(&id).map_or(0, |backend| backend.weight)
    }

    fn reason(&self, reason: Reason) -> Option<status::Reason> {
        let counter = counted(Some(self.serving.maps.reason_counter(reason)));
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

/// What is missing in the log, if anything is.
pub(super) fn lost_lines() -> Vec<String> {
    let said = |lost| {
        format!(
            "{lost} log lines were dropped, since standard error is closed, full or not read; see where \
             it goes"
        )
    };
    Some(logging::lost()).filter(|lost| *lost > 0).map(said).into_iter().collect()
}

fn kept((object, kept): (&KeptObject, &KeptState)) -> status::KeptStatus {
    status::KeptStatus {
        object: object.to_string(),
        in_place: kept.missing.is_none(),
        reason: kept.missing.clone(),
        restored: kept.restored,
        last_restored: kept.last.as_ref().map(|(at, _)| timestamp(*at)),
        was_missing: kept.last.as_ref().map(|(_, what)| what.clone()),
    }
}

/// Who gets which part of the new flows.
#[derive(Debug)]
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

pub(super) fn read<T: Default>(value: Result<T, MapError>) -> T {
    value.inspect_err(|error| tracing::warn!(%error, "cannot read a counter")).unwrap_or_default()
}
