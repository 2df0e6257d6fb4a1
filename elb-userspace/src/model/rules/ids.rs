//! No two resources of a kind have one id.

use std::collections::HashMap;
use std::collections::HashSet;

use super::{At, Violation};
use crate::model::{IpGroup, LoadBalancer, Pool, ResourceId};

/// A resource as the rule sees it.
struct Resource {
    at: At,
    id: ResourceId,
    /// What it is called, with its kind.
    called: String,
}

/// Resources that have the id of an earlier one of their kind, but for those that are `wrong` anyhow: derived
/// ids are equal where names are.
pub(super) fn taken(
    load_balancers: &[LoadBalancer],
    pools: &[Pool],
    ip_groups: &[IpGroup],
    wrong: &HashSet<At>,
) -> Vec<Violation> {
    let kinds = [
        balancers(load_balancers),
        listeners(load_balancers),
        all_pools(pools),
        members(pools),
        monitors(pools),
        groups(ip_groups),
    ];
    kinds.into_iter().flat_map(|kind| among(kind, wrong)).collect()
}

fn among(kind: Vec<Resource>, wrong: &HashSet<At>) -> Vec<Violation> {
    let mut owners: HashMap<ResourceId, String> = HashMap::new();
    let mut violations = Vec::new();
    for Resource { at, id, called } in kind.into_iter().filter(|one| !wrong.contains(&one.at)) {
        match owners.get(&id) {
            None => drop(owners.insert(id, called)),
            Some(owner) => {
                let what = format!("id {id} of {called} is that of {owner}");
                let fix = "give one of them another id, or none: it then follows from its name";
                violations.push(Violation { at, key: "id", what, fix: fix.to_owned() });
            }
        }
    }
    violations
}

fn balancers(all: &[LoadBalancer]) -> Vec<Resource> {
    let one = |(i, lb): (usize, &LoadBalancer)| Resource {
        at: At::LoadBalancer(i),
        id: lb.id,
        called: format!("load balancer {:?}", lb.name.as_str()),
    };
    all.iter().enumerate().map(one).collect()
}

fn listeners(all: &[LoadBalancer]) -> Vec<Resource> {
    let of = |(i, lb): (usize, &LoadBalancer)| {
        let one = |(j, listener): (usize, &crate::model::Listener)| Resource {
            at: At::Listener(i, j),
            id: listener.id,
            called: format!("listener {}/{}", lb.name, listener.name),
        };
        lb.listeners.iter().enumerate().map(one).collect::<Vec<_>>()
    };
    all.iter().enumerate().flat_map(of).collect()
}

fn all_pools(all: &[Pool]) -> Vec<Resource> {
    let one = |(i, pool): (usize, &Pool)| Resource {
        at: At::Pool(i),
        id: pool.id,
        called: format!("pool {:?}", pool.name.as_str()),
    };
    all.iter().enumerate().map(one).collect()
}

fn members(all: &[Pool]) -> Vec<Resource> {
    let of = |(i, pool): (usize, &Pool)| {
        let one = |(j, member): (usize, &crate::model::Member)| Resource {
            at: At::Member(i, j),
            id: member.id,
            called: format!("member {}/{}", pool.name, member.name),
        };
        pool.members.iter().enumerate().map(one).collect::<Vec<_>>()
    };
    all.iter().enumerate().flat_map(of).collect()
}

fn monitors(all: &[Pool]) -> Vec<Resource> {
    let one = |(i, pool): (usize, &Pool)| {
        let monitor = pool.healthmonitor.as_ref()?;
        let called = format!("the health monitor of pool {:?}", pool.name.as_str());
        Some(Resource { at: At::HealthMonitor(i), id: monitor.id, called })
    };
    all.iter().enumerate().filter_map(one).collect()
}

fn groups(all: &[IpGroup]) -> Vec<Resource> {
    let one = |(i, group): (usize, &IpGroup)| Resource {
        at: At::IpGroup(i),
        id: group.id,
        called: format!("IP group {:?}", group.name.as_str()),
    };
    all.iter().enumerate().map(one).collect()
}
