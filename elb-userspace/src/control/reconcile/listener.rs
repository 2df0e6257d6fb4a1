//! One listener: its numbers, its record, and the pools that it served.

use std::collections::{BTreeSet, HashMap};

use elb_common::listener::{
    Listener as Record, ListenerPool, NO_POOL, listener_flags, listener_pool_flags,
};

use super::{Desired, Fallback, Reconciler, renaming};
use crate::control::assign::{AssignedListener, AssignedPool};
use crate::model::{Listener, LoadBalancer, Model, ResourceId};

impl Reconciler {
    /// The record of a listener, but for whether it is up; none if its pool or itself found no room.
    pub(super) fn listener(
        &mut self,
        lb: &LoadBalancer,
        listener: &Listener,
        model: &Model,
        now: u32,
        desired: &mut Desired,
    ) -> Option<Record> {
        // Without numbers of its pool, which is reported there, it is not served.
        let default_pool = model.pool(&listener.default_pool)?;
        let served = self.served_so_far(listener, desired);
        let fallback = Fallback::of(listener, model, &desired.taking, served);
        let stands_in = fallback.as_ref().filter(|(fallback, _)| fallback.in_use);
        let wanted = stands_in.map_or(default_pool, |(_, pool)| *pool);
        let pool = self.assignments.pools.get(&wanted.id)?;
        let pool = self.serving_meanwhile(served, wanted.id).unwrap_or(pool);
        if let Some((fallback, pool)) = fallback {
            let was_in_use = served == Some(pool.id);
            desired.turned.extend((was_in_use != fallback.in_use).then_some(listener.id));
            desired.fallbacks.insert(listener.id, fallback);
        }
        let has_servers = desired.pools_with_servers.contains(&pool.id);
        let mut record = ring_record(pool, has_servers);
        if desired.pools_with_limits.contains(&pool.id) {
            record.flags |= listener_flags::MEMBER_LIMITS;
        }
        let id = pool.id;
        let idle = pool.idle_timeout;
        let name = listener.name.as_str();
        let assigned = match self.assignments.listener(listener.id, id, self.room) {
            Ok(assigned) => assigned,
            Err(full) => {
                desired.left_out.push((format!("listener {name:?}"), full));
                return None;
            }
        };
        name.clone_into(&mut assigned.name);
        assigned.load_balancer = Some(lb.id);
        assigned.move_to(id, now, wanted.udp_hold.get(), idle);
        assigned.place = renaming::place(lb, listener);
        let assigned = assigned.clone();
        desired.image.listener_pools.insert(assigned.id, listener_pool(&assigned));
        let admission = self.admission(listener, model);
        let moved = if assigned.moved { listener_flags::MOVED } else { 0 };
        Some(Record {
            id: assigned.id,
            flags: record.flags | admission.flags | moved,
            group: admission.group,
            cps: admission.cps,
            max_connections: admission.max_connections,
            former_pool: assigned.former.map_or(NO_POOL, |former| former.pool),
            former_hold_until: assigned.former.map_or(0, |former| former.udp_hold_until),
            ..record
        })
    }

    /// The pool that a listener served so far.
    fn served_so_far(&self, listener: &Listener, desired: &Desired) -> Option<ResourceId> {
        let served = self.assignments.listeners.get(&listener.id)?.pool;
        desired.numbered.get(&served).copied()
    }

    /// The pool that a listener served so far, while the first ring of the one it is to serve waits.
    fn serving_meanwhile(
        &self,
        served: Option<ResourceId>,
        default_pool: ResourceId,
    ) -> Option<&AssignedPool> {
        let waits = self.waits.contains_key(&default_pool);
        self.assignments.pools.get(&served.filter(|_| waits)?)
    }

    /// Forgets the numbers of listeners that go.
    pub(super) fn forget_listeners(&mut self, model: &Model, now: u32) {
        let wanted: BTreeSet<ResourceId> = model.listeners().map(|(_, one)| one.id).collect();
        let known = self.assignments.listeners.keys();
        let gone: Vec<_> = known.filter(|listener| !wanted.contains(listener)).copied().collect();
        gone.into_iter().for_each(|listener| self.assignments.remove_listener(listener, now));
    }

    /// The longest idle timeout of the listeners that flows of each pool came to.
    pub(super) fn idle_timeouts(&self, model: &Model) -> HashMap<ResourceId, u32> {
        let known: HashMap<u16, ResourceId> =
            self.assignments.pools.iter().map(|(resource, pool)| (pool.id, *resource)).collect();
        let mut longest = HashMap::new();
        let mut note = |pool: ResourceId, idle: u32| {
            let noted: &mut u32 = longest.entry(pool).or_default();
            *noted = idle.max(*noted);
        };
        for (_, listener) in model.listeners() {
            let idle = listener.keepalive_timeout.get();
            let pools = listener.pools().filter_map(|name| model.pool(name));
            pools.for_each(|pool| note(pool.id, idle));
            let assigned = self.assignments.listeners.get(&listener.id);
            for pool in assigned.into_iter().flat_map(served) {
                known.get(&pool).into_iter().for_each(|pool| note(*pool, idle));
            }
        }
        longest
    }
}

/// Ids of the pools that a listener served so far, and that flows without a record may live in.
fn served(listener: &AssignedListener) -> impl Iterator<Item = u16> {
    [Some(listener.pool), listener.former.map(|former| former.pool)].into_iter().flatten()
}

fn listener_pool(listener: &AssignedListener) -> ListenerPool {
    let moved = if listener.moved { listener_pool_flags::MOVED } else { 0 };
    ListenerPool { pool: listener.pool, flags: listener_pool_flags::EXISTS | moved }
}

/// What a listener's record says of its pool's ring.
fn ring_record(pool: &AssignedPool, has_servers: bool) -> Record {
    let shape = pool.ring.shape;
    let tracked = if shape.is_scheduled() { listener_flags::TRACKED } else { 0 };
    let servers = if has_servers { listener_flags::SERVER_IDS } else { 0 };
    Record {
        ring_base: pool.ring.base,
        pool: pool.id,
        ring_size: shape.size,
        flags: tracked | servers,
        algorithm: shape.algorithm,
        cid: shape.cid_part(),
        ..Record::default()
    }
}
