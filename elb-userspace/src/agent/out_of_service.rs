//! Served pools of which no member takes new connections: logged when that begins, and when it ends.

use std::collections::BTreeMap;

use elb_common::backend::backend_flags;

use super::core::Core;
use crate::health::MemberHealth;
use crate::model::{Member, Pool};

impl Core {
    /// Compares which pools have a member that takes new connections with what was so before.
    pub(super) fn note_pools_without_members(&mut self) {
        let mut before = std::mem::take(&mut self.journal.out_of_service);
        let mut now = BTreeMap::new();
        for pool in self.config.model.pools() {
            if self.config.model.listeners_of(&pool.name).next().is_none() {
                continue;
            }
            let was = before.remove(&pool.id);
            let Some(taking) = self.members_that_take_new(pool) else {
                now.extend(was.map(|name| (pool.id, name)));
                continue;
            };
            let (name, members) = (pool.name.as_str(), pool.members.len());
            match (taking, was) {
                (0, None) => {
                    let why = self.why_none_takes_new(pool);
                    tracing::warn!(pool = name, members, why, "no member takes new connections");
                }
                (1.., Some(_)) => {
                    tracing::info!(
                        pool = name,
                        members,
                        taking,
                        "members take new connections again"
                    );
                }
                _ => {}
            }
            if taking == 0 {
                now.insert(pool.id, name.to_owned());
            }
        }
        for name in before.values() {
            tracing::info!(
                pool = name,
                "the pool without a member for new connections is not served any more"
            );
        }
        self.journal.out_of_service = now;
    }

    /// How many members of a pool take new connections, by what the maps hold; none while its first ring waits
    /// for them.
    fn members_that_take_new(&self, pool: &Pool) -> Option<usize> {
        let assigned = self.serving.reconciler.assignments.pools.get(&pool.id)?;
        if assigned.is_fresh && self.serving.first_rings_wait {
            return None;
        }
        let takes_new = |id: u16| {
            let record = self.serving.observed.backends.get(&id);
            record.is_some_and(|one| one.flags & backend_flags::NEW != 0 && one.weight > 0)
        };
        Some(assigned.members.iter().filter(|one| !one.removed && takes_new(one.id)).count())
    }

    fn why_none_takes_new(&self, pool: &Pool) -> String {
        let reasons = pool.members.iter().map(|member| self.why_not(pool, member));
        counted(reasons)
    }

    /// Why a member takes no new connections: in a word, and in detail.
    fn why_not(&self, pool: &Pool, member: &Member) -> (String, String) {
        let health = self.probes.members.health(pool.id, member.socket());
        let unreachable = self.network.next_hop(member.address).err();
        match (health, unreachable) {
            _ if self.drains.drained.has(member) => ("drained".to_owned(), String::new()),
            _ if member.weight.get() == 0 => ("without weight".to_owned(), String::new()),
            (Some(health), _) if !health.serves() => {
                let reason = health.reason().map(ToString::to_string).unwrap_or_default();
                (health.status().to_string(), reason)
            }
            (_, Some(why)) => ("without a next hop".to_owned(), why.to_string()),
            (health, None) => {
                let status = health
                    .map_or("INITIAL".to_owned(), |one: &MemberHealth| one.status().to_string());
                (format!("{status} and not in the maps"), String::new())
            }
        }
    }
}

/// How many members are so for each reason, with the detail of the first of them.
fn counted(reasons: impl Iterator<Item = (String, String)>) -> String {
    let mut all: BTreeMap<String, (usize, String)> = BTreeMap::new();
    for (word, detail) in reasons {
        let (count, first) = all.entry(word).or_default();
        *count += 1;
        if first.is_empty() {
            *first = detail;
        }
    }
    let text = |(word, (count, detail)): (String, (usize, String))| match detail.as_str() {
        "" => format!("{count} {word}"),
        detail => format!("{count} {word} ({detail})"),
    };
    match all.is_empty() {
        true => "it has none".to_owned(),
        false => all.into_iter().map(text).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_counted_with_the_first_detail() {
        let because = |word: &str, detail: &str| (word.to_owned(), detail.to_owned());
        let all =
            [because("OFFLINE", "refused"), because("drained", ""), because("OFFLINE", "late")];
        assert_eq!(counted(all.into_iter()), "2 OFFLINE (refused), 1 drained");
        assert_eq!(counted([].into_iter()), "it has none");
    }
}
