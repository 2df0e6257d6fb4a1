//! What is known of a member that joins a pool from another one: a verdict follows address, port and
//! check.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use crate::agent::saved;
use crate::control::reconcile::Renamed;
use crate::model::{Model, Pool, ResourceId};

/// A member of another pool, and what is known of it.
type Elsewhere<'a> = HashMap<SocketAddr, Vec<(&'a Pool, &'a saved::SavedMember)>>;

/// Verdicts for members that `new` has in other pools than `old`. `known` has pools by their new ids.
pub(super) fn verdicts(
    old: &Model,
    new: &Model,
    renamed: &[Renamed],
    known: &BTreeMap<ResourceId, Vec<saved::SavedMember>>,
) -> saved::SavedHealth {
    let mut elsewhere: Elsewhere<'_> = HashMap::new();
    for pool in old.pools() {
        for member in known.get(&Renamed::now(renamed, pool.id)).into_iter().flatten() {
            elsewhere.entry(member.member).or_default().push((pool, member));
        }
    }
    let mut health = saved::SavedHealth::default();
    for pool in new.pools() {
        let Some(monitor) = &pool.healthmonitor else { continue };
        let here = known.get(&pool.id).into_iter().flatten();
        let here: Vec<SocketAddr> = here.map(|member| member.member).collect();
        let others = pool.members.iter().filter(|member| !here.contains(&member.socket()));
        let inherited = others.filter_map(|member| {
            let candidates = elsewhere.get(&member.socket())?.iter();
            let alike = candidates
                .filter(|(pool, _)| {
                    pool.healthmonitor.as_ref().is_some_and(|one| one.is_like(monitor))
                })
                .filter(|(_, known)| known.verdict.is_some());
            let towards = new.vips_towards(&pool.name, member);
            let best = alike.max_by_key(|(other, known)| {
                let same_way = old.vips_towards(&other.name, member) == towards;
                (same_way, known.verdict.as_ref().map(|verdict| (verdict.decided, verdict.since)))
            });
            best.map(|(_, known)| (*known).clone())
        });
        health.pools.insert(pool.id, inherited.collect());
    }
    health
}

#[cfg(test)]
mod tests;
