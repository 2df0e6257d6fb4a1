//! One pool: its numbers, its members' records, its ring, and its own record.

use std::collections::{BTreeMap, HashMap};

use elb_common::backend::{Backend, backend_flags};
use elb_common::client::Persistence;
use elb_common::pool::{Pool as Record, Ring};
use elb_common::quic::ServerIdKey;

use super::reserve::Reserve;
use super::ring::Wanted;
use super::standing::{self, Standing};
use super::{Desired, ReconcileInput, Reconciler, backend};
use crate::control::assign::{AssignedMember, AssignedPool, AssignedRing, Ids};
use crate::control::ring::identity;
use crate::control::ring::maglev::RingMember;
use crate::control::ring::rise::{self, RingEntry};
use crate::control::ring::shape::Shape;
use crate::model::{DrainTimeout, Forwarding, Pool, ResourceId, SessionPersistence};

impl Reconciler {
    /// Adds a pool whose flows live for `idle` seconds without a packet.
    pub(super) fn pool(
        &mut self,
        pool: &Pool,
        idle: u32,
        seen: &impl ReconcileInput,
        used: &mut Ids,
        desired: &mut Desired,
    ) {
        let (name, now) = (pool.name.as_str(), seen.now());
        self.has_a_past(pool.id);
        match self.assignments.pool(pool.id, Shape::of(pool), now, self.room, &desired.freed) {
            // A pool whose new ring finds no room keeps the one it has.
            Err(full) => desired.left_out.push((format!("pool {name:?}"), full)),
            Ok(replaced) => desired.freed.extend(replaced),
        }
        let sockets = pool.members.iter().map(|member| member.socket());
        let left_out = self.assignments.members(pool.id, sockets, self.room, used);
        let named: HashMap<_, _> = match left_out.is_empty() {
            true => HashMap::new(),
            false => pool.members.iter().map(|one| (one.socket(), one.name.as_str())).collect(),
        };
        for (member, full) in left_out {
            let called = named.get(&member).copied().unwrap_or_default();
            desired.left_out.push((format!("pool {name:?}, member {called:?}"), full));
        }
        let Some(assigned) = self.assignments.pools.get_mut(&pool.id) else { return };
        name.clone_into(&mut assigned.name);
        assigned.forwarding = pool.forwarding;
        assigned.protocol = Some(pool.protocol);
        assigned.drain = pool.connection_drain.map(DrainTimeout::get);
        follow_idle_timeout(assigned, idle, now);
        let reserve = Reserve::of(pool, seen);
        let mut standings = standing::of(pool, reserve, &mut assigned.members, seen, now);
        self.rise(pool, &mut standings, seen, desired);
        let assigned = &self.assignments.pools[&pool.id];
        let (numbers, numbered) = (assigned.members.clone(), assigned.id);
        let waits = self.first_ring_waits(pool, &numbers, &standings, reserve, seen, desired);
        let mut wanted = Wanted::default();
        for (number, standing) in numbers.iter().zip(standings) {
            self.member(pool.forwarding, number, standing, seen, &mut wanted, desired);
        }
        if pool.rise_seconds().is_some() {
            weigh(&wanted.members, &mut desired.image.backends);
        }
        if pool.members.iter().any(|member| member.max_connection.get() > 0) {
            desired.pools_with_limits.insert(numbered);
        }
        if !waits {
            desired.taking.insert(pool.id, wanted.members.len());
            desired.reserves.extend(reserve.map(|reserve| (pool.id, reserve)));
            self.ring(pool, wanted, now, desired);
        }
        let assigned = &self.assignments.pools[&pool.id];
        server_ids(assigned, desired);
        let remembers = pool.session_persistence.filter(|_| assigned.ring.shape.is_scheduled());
        let persistence = remembers.map(SessionPersistence::record).unwrap_or_default();
        desired.image.pools.insert(assigned.id, Record { persistence, ..record(assigned) });
    }

    /// Adds a pool that was removed: its members serve the flows that they have until these are cut.
    pub(super) fn removed_pool(
        &mut self,
        pool: ResourceId,
        idle: u32,
        seen: &impl ReconcileInput,
        desired: &mut Desired,
    ) {
        let Some(assigned) = self.assignments.pools.get_mut(&pool) else { return };
        let now = seen.now();
        follow_idle_timeout(assigned, idle, now);
        let standings = standing::of_removed(assigned, now);
        let assigned = assigned.clone();
        let mut empty = Wanted::default();
        for (number, standing) in assigned.members.iter().zip(standings) {
            self.member(assigned.forwarding, number, standing, seen, &mut empty, desired);
        }
        server_ids(&assigned, desired);
        desired.image.pools.insert(assigned.id, record(&assigned));
    }

    fn member(
        &self,
        forwarding: Forwarding,
        number: &AssignedMember,
        standing: Standing,
        seen: &impl ReconcileInput,
        wanted: &mut Wanted,
        desired: &mut Desired,
    ) {
        let next_hop = seen.next_hop(number.address);
        let shared = next_hop.filter(|hop| hop.on_link && forwarding.needs_routes());
        let segment = shared.and_then(|_| desired.image.clients.segment_of(number.address));
        let mut record = backend::record(number, forwarding, next_hop, segment, self.encap_source);
        record.weight = standing.weight;
        record.max_connections = standing.max_connections;
        if standing.takes_new && next_hop.is_some() {
            let identity = identity(number.address, number.port);
            let member = RingMember { identity, weight: standing.weight };
            wanted.members.push(RingEntry { member, id: number.id, risen: standing.risen });
            wanted.has_limits |= standing.max_connections > 0;
            record.flags |= backend_flags::NEW;
        }
        if standing.is_drained {
            record.flags |= backend_flags::DRAINED;
        }
        if standing.is_gone {
            wanted.gone.insert(number.id);
        } else {
            record.flags |= backend_flags::ESTABLISHED;
        }
        desired.image.backends.insert(number.id, record);
        desired.next_cut = desired.next_cut.into_iter().chain(pending(number, standing)).min();
    }
}

/// Members have the weights in their records that they have risen to.
fn weigh(members: &[RingEntry], records: &mut BTreeMap<u16, Backend>) {
    for (member, weight) in members.iter().zip(rise::weights(members)) {
        if let Some(record) = records.get_mut(&member.id) {
            record.weight = weight;
        }
    }
}

/// When the flows of a member that leaves are cut, if that is still to come.
fn pending(number: &AssignedMember, standing: Standing) -> Option<u32> {
    number.cut_at.filter(|_| !standing.is_gone)
}

/// A longer timeout does not bring flows back that were over by the shorter one.
fn follow_idle_timeout(assigned: &mut AssignedPool, idle: u32, now: u32) {
    // A pool without listeners has no flows.
    if idle > assigned.idle_timeout && assigned.idle_timeout > 0 {
        let over = now.saturating_sub(assigned.idle_timeout);
        assigned.flows_since = assigned.flows_since.max(over);
    }
    assigned.idle_timeout = idle;
}

/// Members by what connection ids name them by; one that was removed gives way to a present one.
fn server_ids(assigned: &AssignedPool, desired: &mut Desired) {
    let length = usize::from(assigned.ring.shape.cid.1);
    for removed in [true, false] {
        for member in assigned.members.iter().filter(|member| member.removed == removed) {
            if let Some(id) = member.server_id.filter(|id| id.length() == length) {
                desired.image.servers.insert(ServerIdKey::new(id.digest(), assigned.id), member.id);
                desired.pools_with_servers.insert(assigned.id);
            }
        }
    }
}

fn record(assigned: &AssignedPool) -> Record {
    Record {
        udp_hold_until: assigned.udp_hold_until,
        idle_timeout: assigned.idle_timeout,
        flows_since: assigned.flows_since,
        persistence: Persistence::default(),
        ring: ring(assigned.ring),
        former: assigned.former.map(ring).unwrap_or_default(),
    }
}

fn ring(AssignedRing { base, shape }: AssignedRing) -> Ring {
    let cid = shape.cid_part();
    Ring { base, size: shape.size, algorithm: shape.algorithm, cid, reserved: 0 }
}
