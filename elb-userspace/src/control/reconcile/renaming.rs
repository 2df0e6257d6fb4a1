//! Ids that change because they follow from names: a pool with another name and the same members is the same
//! pool, and a listener with another name in the same place is the same listener. So is one that gets an
//! id in the file, or has none there any more. Their numbers stay, and with them their flows. Where the
//! file gave both ids, these alone say what is the same.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use super::Reconciler;
use crate::control::assign::{
    AssignedListener, AssignedMember, AssignedPool, Assignments, ListenerPlace,
};
use crate::model::{Listener, LoadBalancer, Model, Pool, ResourceId};

/// A pool that got another id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// The id it had.
    pub from: ResourceId,
    /// The id it has.
    pub to: ResourceId,
}

impl Reconciler {
    /// Gives the numbers of pools and listeners to the ids that they have in a model; the pools that got
    /// another one.
    pub fn follow_names(&mut self, model: &Model) -> Vec<Renamed> {
        let renamed = self.assignments.follow_names(model);
        for one in &renamed {
            one.apply(&mut self.published);
            one.apply(&mut self.waits);
        }
        renamed
    }
}

impl Renamed {
    /// What is known of the pool goes with it.
    pub fn apply<T>(&self, known: &mut BTreeMap<ResourceId, T>) {
        if let Some(one) = known.remove(&self.from) {
            known.insert(self.to, one);
        }
    }

    /// The id that a pool has now.
    pub fn now(renamed: &[Self], pool: ResourceId) -> ResourceId {
        renamed.iter().find(|one| one.from == pool).map_or(pool, |one| one.to)
    }

    /// The id that a pool had before.
    pub fn before(renamed: &[Self], pool: ResourceId) -> ResourceId {
        renamed.iter().find(|one| one.to == pool).map_or(pool, |one| one.from)
    }
}

impl Assignments {
    /// As [`Reconciler::follow_names`].
    pub fn follow_names(&mut self, model: &Model) -> Vec<Renamed> {
        let renamed = self.renamed_pools(model);
        renamed.iter().for_each(|one| one.apply(&mut self.pools));
        self.rename_listeners(model);
        self.rename_ip_groups(model);
        renamed
    }

    /// For each pool without numbers the one whose id went and that has its name, else the one that it has
    /// most members of, if these are half of the members of both at least.
    fn renamed_pools(&self, model: &Model) -> Vec<Renamed> {
        let ids: BTreeSet<ResourceId> = model.pools().iter().map(|pool| pool.id).collect();
        let gone = self.pools.iter().filter(|(id, _)| !ids.contains(id));
        let mut gone: HashMap<ResourceId, Gone<'_>> =
            gone.map(|(id, pool)| (*id, Gone::new(*id, pool))).collect();
        let new = model.pools().iter().filter(|pool| !self.pools.contains_key(&pool.id));
        let mut renamed = Vec::new();
        let mut follow = |from: ResourceId, to: &Pool, gone: &mut HashMap<_, _>| {
            gone.remove(&from);
            renamed.push(Renamed { from, to: to.id });
        };
        let mut others = Vec::new();
        for pool in new {
            let same = gone.iter().find(|(_, old)| old.pool.name == pool.name.as_str());
            match same.filter(|(_, old)| old.may_be(pool)).map(|(id, _)| *id) {
                Some(from) => follow(from, pool, &mut gone),
                None => others.push(pool),
            }
        }
        for pool in others {
            if let Some(from) = most_alike(pool, &gone) {
                follow(from, pool, &mut gone);
            }
        }
        renamed
    }

    /// Renames the listeners whose names are as they were, and those of which the place, the pool and an
    /// address are.
    fn rename_listeners(&mut self, model: &Model) {
        let ids: BTreeSet<ResourceId> = model.listeners().map(|(_, one)| one.id).collect();
        let mut gone: BTreeMap<ResourceId, AssignedListener> = BTreeMap::new();
        for id in self.listeners.keys().filter(|id| !ids.contains(id)).copied().collect::<Vec<_>>()
        {
            gone.extend(self.listeners.remove(&id).map(|one| (id, one)));
        }
        let by_name = |old: &AssignedListener, _: &LoadBalancer, new: &Listener| {
            old.name == new.name.as_str()
        };
        self.match_listeners(model, &mut gone, by_name);
        let pools: HashMap<ResourceId, u16> =
            self.pools.iter().map(|(id, pool)| (*id, pool.id)).collect();
        let by_place = |old: &AssignedListener, lb: &LoadBalancer, new: &Listener| {
            let mut its = new.pools().filter_map(|name| pools.get(&model.pool(name)?.id));
            its.any(|pool| *pool == old.pool) && old.place.is_like(&place(lb, new))
        };
        self.match_listeners(model, &mut gone, by_place);
        // What is no other's goes later.
        self.listeners.extend(gone);
    }

    fn match_listeners(
        &mut self,
        model: &Model,
        gone: &mut BTreeMap<ResourceId, AssignedListener>,
        is_it: impl Fn(&AssignedListener, &LoadBalancer, &Listener) -> bool,
    ) {
        for (lb, listener) in model.listeners() {
            if gone.is_empty() || self.listeners.contains_key(&listener.id) {
                continue;
            }
            let is_given = listener.id != ResourceId::of_listener(lb.id, listener.name.as_str());
            let mut same = gone.iter().filter(|(_, old)| is_it(old, lb, listener));
            let same = same.find(|(id, old)| !(is_given && was_given(**id, old)));
            if let Some(numbers) = same.map(|(id, _)| *id).and_then(|id| gone.remove(&id)) {
                self.listeners.insert(listener.id, numbers);
            }
        }
    }

    fn rename_ip_groups(&mut self, model: &Model) {
        let ids: BTreeSet<ResourceId> = model.ip_groups().iter().map(|group| group.id).collect();
        for group in model.ip_groups() {
            let mut gone = self.ip_groups.iter().filter(|(id, _)| !ids.contains(id));
            let same = gone.find(|(_, old)| old.name == group.name.as_str());
            if let Some(from) = same.map(|(id, _)| *id) {
                Renamed { from, to: group.id }.apply(&mut self.ip_groups);
            }
        }
    }
}

/// A pool whose id is not in the model.
struct Gone<'a> {
    pool: &'a AssignedPool,
    members: BTreeSet<SocketAddr>,
    /// Whether its id is not what follows from its name.
    was_given: bool,
}

impl<'a> Gone<'a> {
    fn new(id: ResourceId, pool: &'a AssignedPool) -> Self {
        Self { pool, members: present(pool), was_given: id != ResourceId::of_pool(&pool.name) }
    }

    /// Whether the ids do not contradict that a pool is it.
    fn may_be(&self, pool: &Pool) -> bool {
        !self.was_given || pool.id == ResourceId::of_pool(pool.name.as_str())
    }

    /// Whether its packets travel as those of a pool, whose flows have the same protocol.
    fn is_alike(&self, pool: &Pool) -> bool {
        let old = self.pool;
        !old.removed
            && pool.forwarding == old.forwarding
            && old.protocol.is_none_or(|old| old == pool.protocol)
    }
}

fn most_alike(pool: &Pool, gone: &HashMap<ResourceId, Gone<'_>>) -> Option<ResourceId> {
    let members: BTreeSet<SocketAddr> = pool.members.iter().map(|one| one.socket()).collect();
    let same = |old: &Gone<'_>| members.intersection(&old.members).count();
    let alike = gone.iter().filter(|(_, old)| {
        let enough = members.len().max(old.members.len()).max(1);
        old.may_be(pool) && old.is_alike(pool) && 2 * same(old) >= enough
    });
    let best = alike.max_by_key(|(_, old)| (same(old), std::cmp::Reverse(old.pool.name.as_str())));
    best.map(|(id, _)| *id)
}

/// Whether the id of a listener was not what follows from its name.
fn was_given(id: ResourceId, listener: &AssignedListener) -> bool {
    let derived = |lb| ResourceId::of_listener(lb, &listener.name);
    listener.load_balancer.is_some_and(|lb| derived(lb) != id)
}

/// Where a listener listens.
pub(super) fn place(lb: &LoadBalancer, listener: &Listener) -> ListenerPlace {
    ListenerPlace { addresses: lb.vips().collect::<Vec<IpAddr>>(), ports: listener.place() }
}

/// The members of a pool that were not removed.
fn present(pool: &AssignedPool) -> BTreeSet<SocketAddr> {
    let members = pool.members.iter().filter(|member| !member.removed);
    members.map(AssignedMember::socket).collect()
}
