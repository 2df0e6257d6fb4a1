//! What is known of a member that joins a pool from another one: a verdict follows address, port and
//! check. So does a drain.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use super::draining::Drained;
use crate::agent::saved;
use crate::control::reconcile::Renamed;
use crate::model::{Model, Pool};

/// A member of another pool, and what is known of it.
type Elsewhere<'a> = HashMap<SocketAddr, Vec<(&'a Pool, &'a saved::Member)>>;

/// Verdicts for members that `new` has in other pools than `old`. `known` has pools by their new names.
pub(super) fn verdicts(
    old: &Model,
    new: &Model,
    renamed: &[Renamed],
    known: &BTreeMap<String, Vec<saved::Member>>,
) -> saved::Health {
    let name = |pool: &Pool| name_now(pool, renamed);
    let mut elsewhere: Elsewhere<'_> = HashMap::new();
    for pool in old.pools() {
        for member in known.get(&name(pool)).into_iter().flatten() {
            elsewhere.entry(member.member).or_default().push((pool, member));
        }
    }
    let mut health = saved::Health::default();
    for pool in new.pools().iter().filter(|pool| pool.healthmonitor.is_some()) {
        let here = known.get(pool.name.as_str()).into_iter().flatten();
        let here: Vec<SocketAddr> = here.map(|member| member.member).collect();
        let others = pool.members.iter().filter(|member| !here.contains(&member.socket()));
        let inherited = others.filter_map(|member| {
            let candidates = elsewhere.get(&member.socket())?.iter();
            let alike = candidates
                .filter(|(other, _)| other.healthmonitor == pool.healthmonitor)
                .filter(|(_, known)| known.verdict.is_some());
            let towards = new.vips_towards(&pool.name, member);
            let best = alike.max_by_key(|(other, known)| {
                let same_way = old.vips_towards(&other.name, member) == towards;
                (same_way, known.verdict.as_ref().map(|verdict| (verdict.decided, verdict.since)))
            });
            best.map(|(_, known)| (*known).clone())
        });
        health.members.insert(pool.name.to_string(), inherited.collect());
    }
    health
}

/// Drained members that left their pools are drained in the pools that they came to.
pub(super) fn drained(drained: &Drained, old: &Model, new: &Model) -> Drained {
    let is_in = |model: &Model, pool: &str, member: SocketAddr| {
        let mut pools = model.pools().iter().filter(|one| one.name.as_str() == pool);
        pools.any(|pool| pool.members.iter().any(|one| one.socket() == member))
    };
    let mut all = Drained::new();
    for (from, member) in drained.iter().filter(|(from, member)| !is_in(new, from, *member)) {
        let pools = new.pools().iter().map(|pool| pool.name.as_str()).filter(|name| *name != from);
        let came = pools.filter(|name| is_in(new, name, *member) && !is_in(old, name, *member));
        all.extend(came.map(|name| (name.to_owned(), *member)));
    }
    all
}

fn name_now(pool: &Pool, renamed: &[Renamed]) -> String {
    let to = renamed.iter().find(|one| one.from == pool.name.as_str());
    to.map_or_else(|| pool.name.to_string(), |one| one.to.clone())
}

#[cfg(test)]
mod tests;
