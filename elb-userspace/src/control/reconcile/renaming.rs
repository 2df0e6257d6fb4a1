//! Names that change: a pool with another name and the same members is the same pool, and a listener with
//! another name in the same place is the same listener. Their numbers stay, and with them their flows.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};

use super::Reconciler;
use crate::control::assign::{AssignedMember, AssignedPool, ListenerPlace};
use crate::model::{Listener, LoadBalancer, Model, Pool};

/// A pool that got another name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renamed {
    /// The name it had.
    pub from: String,
    /// The name it has.
    pub to: String,
}

impl Reconciler {
    /// Gives the numbers of pools and listeners to the names that they have in a model; the pools that
    /// got another one.
    pub fn follow_names(&mut self, model: &Model) -> Vec<Renamed> {
        let renamed = self.renamed_pools(model);
        for Renamed { from, to } in &renamed {
            if let Some(pool) = self.assignments.pools.remove(from) {
                self.assignments.pools.insert(to.clone(), pool);
            }
            if let Some(published) = self.published.remove(from) {
                self.published.insert(to.clone(), published);
            }
        }
        self.rename_listeners(model);
        renamed
    }

    /// For each pool without numbers the one whose name went and that it has most members of, if these are
    /// half of the members of both at least.
    fn renamed_pools(&self, model: &Model) -> Vec<Renamed> {
        let assigned = &self.assignments.pools;
        let names: BTreeSet<&str> = model.pools().iter().map(|pool| pool.name.as_str()).collect();
        let mut gone: HashMap<&String, (&AssignedPool, BTreeSet<SocketAddr>)> = assigned
            .iter()
            .filter(|(name, pool)| !pool.removed && !names.contains(name.as_str()))
            .map(|(name, pool)| (name, (pool, present(pool))))
            .collect();
        let mut renamed = Vec::new();
        for pool in model.pools().iter().filter(|pool| !assigned.contains_key(pool.name.as_str())) {
            let members: BTreeSet<SocketAddr> =
                pool.members.iter().map(|member| member.socket()).collect();
            let same = |other: &BTreeSet<SocketAddr>| members.intersection(other).count();
            let alike = gone.iter().filter(|(_, (old, theirs))| {
                is_alike(pool, old) && 2 * same(theirs) >= members.len().max(theirs.len()).max(1)
            });
            let best =
                alike.max_by_key(|(name, (_, theirs))| (same(theirs), std::cmp::Reverse(*name)));
            if let Some(from) = best.map(|(name, _)| *name) {
                gone.remove(from);
                renamed.push(Renamed { from: from.clone(), to: pool.name.to_string() });
            }
        }
        renamed
    }

    /// Renames the listeners of which the place, the pool and an address are as they were.
    fn rename_listeners(&mut self, model: &Model) {
        let all = || {
            let balancers = model.load_balancers().iter();
            balancers.flat_map(|lb| lb.listeners.iter().map(move |listener| (lb, listener)))
        };
        let names: BTreeSet<&str> = all().map(|(_, listener)| listener.name.as_str()).collect();
        let assigned = &mut self.assignments.listeners;
        for (lb, listener) in all() {
            let name = listener.name.as_str();
            let Some(pool) = self.assignments.pools.get(listener.default_pool.as_str()) else {
                continue;
            };
            if assigned.contains_key(name) {
                continue;
            }
            let place = place(lb, listener);
            let mut gone = assigned.iter().filter(|(name, _)| !names.contains(name.as_str()));
            let same = gone.find(|(_, old)| old.pool == pool.id && old.place.is_like(&place));
            if let Some(old) = same.map(|(name, _)| name.clone())
                && let Some(numbers) = assigned.remove(&old)
            {
                assigned.insert(name.to_owned(), numbers);
            }
        }
    }
}

/// Where a listener listens.
pub(super) fn place(lb: &LoadBalancer, listener: &Listener) -> ListenerPlace {
    ListenerPlace { addresses: lb.vips().collect::<Vec<IpAddr>>(), ports: listener.place() }
}

/// Whether the packets of a pool travel alike, and its flows have the same protocol.
fn is_alike(pool: &Pool, old: &AssignedPool) -> bool {
    pool.forwarding == old.forwarding && old.protocol.is_none_or(|old| old == pool.protocol)
}

/// The members of a pool that were not removed.
fn present(pool: &AssignedPool) -> BTreeSet<SocketAddr> {
    let members = pool.members.iter().filter(|member| !member.removed);
    members.map(AssignedMember::socket).collect()
}
