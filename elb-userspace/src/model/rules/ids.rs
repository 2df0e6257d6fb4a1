//! No two resources of a kind have one id.

use std::collections::{HashMap, HashSet};

use super::{At, Violation};
use crate::model::{IpGroup, LoadBalancer, Pool, ResourceId};

/// What is checked.
pub(super) struct Resources<'a> {
    pub(super) load_balancers: &'a [LoadBalancer],
    pub(super) pools: &'a [Pool],
    pub(super) ip_groups: &'a [IpGroup],
}

impl Resources<'_> {
    /// Resources that have the id of an earlier one of their kind, but for those that are `wrong` anyhow:
    /// derived ids are equal where names are.
    pub(super) fn with_taken_ids(&self, wrong: &HashSet<At>) -> Vec<Violation> {
        let mut violations = Vec::new();
        for kind in self.kinds() {
            let mut owners: HashMap<ResourceId, At> = HashMap::new();
            for (at, id) in kind.into_iter().filter(|(at, _)| !wrong.contains(at)) {
                match owners.get(&id) {
                    None => drop(owners.insert(id, at)),
                    Some(owner) => violations.push(self.taken(at, id, *owner)),
                }
            }
        }
        violations
    }

    fn taken(&self, at: At, id: ResourceId, owner: At) -> Violation {
        let what = format!("id {id} of {} is that of {}", self.called(at), self.called(owner));
        let fix = "give one of them another id, or none: it then follows from its name".to_owned();
        Violation { at, key: "id", what, fix }
    }

    /// The ids of all resources, by kind, in their order.
    fn kinds(&self) -> [Vec<(At, ResourceId)>; 6] {
        let balancers = || self.load_balancers.iter().enumerate();
        let pools = || self.pools.iter().enumerate();
        let listeners = balancers().flat_map(|(i, lb)| {
            let all = lb.listeners.iter().enumerate();
            all.map(move |(j, listener)| (At::Listener(i, j), listener.id))
        });
        let members = pools().flat_map(|(i, pool)| {
            let all = pool.members.iter().enumerate();
            all.map(move |(j, member)| (At::Member(i, j), member.id))
        });
        let monitor = |(i, pool): (usize, &Pool)| {
            Some((At::HealthMonitor(i), pool.healthmonitor.as_ref()?.id))
        };
        let groups = self.ip_groups.iter().enumerate();
        [
            balancers().map(|(i, lb)| (At::LoadBalancer(i), lb.id)).collect(),
            listeners.collect(),
            pools().map(|(i, pool)| (At::Pool(i), pool.id)).collect(),
            members.collect(),
            pools().filter_map(monitor).collect(),
            groups.map(|(i, group)| (At::IpGroup(i), group.id)).collect(),
        ]
    }

    /// What a resource is called, with its kind.
    fn called(&self, at: At) -> String {
        let pool = |i: usize| self.pools[i].name.as_str();
        match at {
            At::LoadBalancer(i) => {
                format!("load balancer {:?}", self.load_balancers[i].name.as_str())
            }
            At::Listener(i, j) => {
                let lb = &self.load_balancers[i];
                format!("listener {}/{}", lb.name, lb.listeners[j].name)
            }
            At::Pool(i) => format!("pool {:?}", pool(i)),
            At::Member(i, j) => format!("member {}/{}", pool(i), self.pools[i].members[j].name),
            At::HealthMonitor(i) => format!("the health monitor of pool {:?}", pool(i)),
            At::IpGroup(i) => format!("IP group {:?}", self.ip_groups[i].name.as_str()),
        }
    }
}
