//! Whether a configuration leaves nothing of what is served: an empty file, a pool without members.

use std::collections::BTreeSet;

use super::{called, listed, present, served};
use crate::model::{Listener, LoadBalancer, Model};

/// What `new` would take away although it is unlikely to be meant, and what to do if it is.
pub fn taken_away(old: &Model, new: &Model) -> Vec<String> {
    all_listeners(old, new).into_iter().chain(all_members(old, new)).collect()
}

fn all_listeners(old: &Model, new: &Model) -> Option<String> {
    let gone: Vec<_> = served(old).map(|(lb, listener)| called(lb, listener)).collect();
    let nothing_left = !gone.is_empty() && present(new).next().is_none();
    nothing_left.then(|| {
        format!(
            "the file has no listener with an address any more: it would remove all that are served \
             ({}) and cut their connections; if that is meant, run `elb reload --allow-empty`, or set \
             allow_empty = true in [agent]",
            listed(gone.into_iter())
        )
    })
}

/// Of each pool that has no member any more though a listener goes on to use it.
fn all_members(old: &Model, new: &Model) -> Vec<String> {
    let mut named = BTreeSet::new();
    let mut lost = Vec::new();
    for (lb, listener) in served(new) {
        let Some(pool) = new.pool(&listener.default_pool) else { continue };
        let is_meant = pool.allow_empty || !pool.members.is_empty();
        if is_meant || !named.insert(pool.name.as_str()) {
            continue;
        }
        let had = served(old).find(|before| is_same(*before, (lb, listener)));
        let had = had.and_then(|(_, before)| old.pool(&before.default_pool));
        let Some(had) = had.filter(|had| !had.members.is_empty()) else { continue };
        let members = listed(had.members.iter().map(|member| member.name.to_string()));
        lost.push(format!(
            "pool {:?} has no member: {} would be left without a member (so far: {members}); \
             if that is meant, run `elb reload --allow-empty`, or set allow_empty = true in the pool",
            pool.name.as_str(),
            called(lb, listener),
        ));
    }
    lost
}

/// Whether these have one id or name, or an address, protocol and ports in common.
pub(super) fn is_same(
    (a_lb, a): (&LoadBalancer, &Listener),
    (b_lb, b): (&LoadBalancer, &Listener),
) -> bool {
    let is_there = || a_lb.vips().any(|vip| b_lb.vips().any(|other| other == vip));
    a.id == b.id
        || a.name == b.name
        || (a.protocol == b.protocol && a.ports() == b.ports() && is_there())
}
