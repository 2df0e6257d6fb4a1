//! The agent's state as the status that people and programs read.

use std::net::SocketAddr;

use elb_common::counter::Counter;
use elb_common::reason::Reason;

use super::core::Core;
use super::mode_name;
use crate::assign::AssignedPool;
use crate::explain::fate;
use crate::kernel::MapError;
use crate::model;
use crate::reconcile::socket;
use crate::status::{self, timestamp};

impl Core {
    /// Everything, with the counters as they are now.
    pub(super) fn status(&self) -> status::Status {
        let balancers = self.config.model.load_balancers();
        let unused =
            |pool: &&model::Pool| self.config.model.listeners_of(&pool.name).next().is_none();
        status::Status {
            agent: self.agent(),
            load_balancers: balancers.iter().map(|lb| self.load_balancer(lb)).collect(),
            unused_pools: self
                .config
                .model
                .pools()
                .iter()
                .filter(unused)
                .map(|p| self.pool(p))
                .collect(),
            not_forwarded: self.drops(),
        }
    }

    /// Packets that were not forwarded, by reason.
    pub(super) fn drops(&self) -> Vec<status::Reason> {
        Reason::ALL.iter().filter_map(|reason| self.reason(*reason)).collect()
    }

    fn agent(&self) -> status::Agent {
        status::Agent {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            started: timestamp(self.started),
            adopted: self.object.adopted,
            attach_mode: mode_name(self.config.agent.attach_mode).to_owned(),
            interfaces: self.attachments.iter().map(|a| a.interface.clone()).collect(),
            config: self.file.clone(),
            loaded: timestamp(self.loaded),
            problems: [&self.config_problems[..], &self.map_problems[..]].concat(),
        }
    }

    fn load_balancer(&self, lb: &model::LoadBalancer) -> status::LoadBalancer {
        let listeners: Vec<_> = lb.listeners.iter().map(|l| self.listener(lb, l)).collect();
        let degraded = listeners.iter().any(|listener| listener.operating_status == DEGRADED);
        status::LoadBalancer {
            name: lb.name.to_string(),
            vips: lb.vips().collect(),
            operating_status: rolled_up(lb.admin_state_up, degraded),
            listeners,
        }
    }

    fn listener(&self, lb: &model::LoadBalancer, listener: &model::Listener) -> status::Listener {
        let id = self.reconciler.assignments.listeners.get(listener.name.as_str());
        let counter = counted(id.map(|id| self.maps.listener_counter(*id)));
        let pool = self.config.model.pool(&listener.default_pool);
        let pool = self.pool(pool.expect("a model's listeners have pools"));
        let degraded = pool.members.iter().any(|member| member.operating_status == "OFFLINE");
        status::Listener {
            name: listener.name.to_string(),
            protocol: listener.protocol.to_string(),
            protocol_port: listener.protocol_port,
            operating_status: rolled_up(lb.admin_state_up && listener.admin_state_up, degraded),
            packets: counter.packets,
            bytes: counter.bytes,
            pool,
        }
    }

    fn pool(&self, pool: &model::Pool) -> status::Pool {
        let assigned = self.reconciler.assignments.pools.get(pool.name.as_str());
        let region = assigned.map(AssignedPool::region);
        let (shares, moving) = region.map(|region| self.maps.shares(region)).unwrap_or_default();
        let share = |id: Option<u16>| id.and_then(|id| shares.get(&id)).copied().unwrap_or(0);
        let size = pool.ring_size.get();
        let members = pool.members.iter().map(|member| {
            let number = assigned.and_then(|a| Some(a.member(socket(member))?.id));
            self.member(pool, member, number, share(number), size)
        });
        let removed = assigned.into_iter().flat_map(|a| &a.members).filter(|m| m.removed);
        let removed = removed.map(|m| self.removed(m.id, m.socket(), share(Some(m.id)), size));
        status::Pool {
            name: pool.name.to_string(),
            forwarding: pool.forwarding.to_string(),
            slots: size,
            moving_slots: moving,
            members: members.chain(removed).collect(),
        }
    }

    fn member(
        &self,
        pool: &model::Pool,
        member: &model::Member,
        id: Option<u16>,
        slots: u32,
        size: u32,
    ) -> status::Member {
        let health = self.members.health(pool.name.as_str(), socket(member));
        let counter = counted(id.map(|id| self.maps.backend_counter(id)));
        let unreachable = self.network.next_hop(member.address).err();
        status::Member {
            name: member.name.to_string(),
            address: member.address,
            protocol_port: member.protocol_port,
            weight: member.weight.get(),
            operating_status: health
                .map_or("INITIAL", |health| health.status().as_str())
                .to_owned(),
            since: timestamp(health.map_or(self.started, |health| health.since())),
            reason: health
                .and_then(|health| health.reason())
                .and_then(|reason| serde_json::to_value(reason).ok()),
            unreachable: unreachable.map(|why| why.to_string()),
            slots,
            share: f64::from(slots) / f64::from(size),
            packets: counter.packets,
            bytes: counter.bytes,
        }
    }

    fn removed(&self, id: u16, member: SocketAddr, slots: u32, size: u32) -> status::Member {
        let counter = counted(Some(self.maps.backend_counter(id)));
        status::Member {
            name: member.to_string(),
            address: member.ip(),
            protocol_port: member.port(),
            weight: 0,
            operating_status: "REMOVED".to_owned(),
            since: timestamp(self.loaded),
            reason: None,
            unreachable: self.network.next_hop(member.ip()).err().map(|why| why.to_string()),
            slots,
            share: f64::from(slots) / f64::from(size),
            packets: counter.packets,
            bytes: counter.bytes,
        }
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
    let counter = counter.unwrap_or(Ok(Counter::default()));
    counter.inspect_err(|error| tracing::warn!(%error, "cannot read a counter")).unwrap_or_default()
}
