//! What becomes of pools and their members.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::{Effect, EffectKind};
use crate::control::reconcile::Renamed;
use crate::model::{DrainTimeout, HealthMonitor, Member, Model, Pool, ResourceId};

pub(super) fn effects(old: &Model, new: &Model, renamed: &[Renamed]) -> Vec<Effect> {
    let before: HashMap<ResourceId, &Pool> =
        old.pools().iter().map(|pool| (Renamed::now(renamed, pool.id), pool)).collect();
    let mut effects = Vec::new();
    for pool in new.pools() {
        match before.get(&pool.id) {
            Some(old) => changed(old, pool, &mut effects),
            None => effects.push(added(pool)),
        }
    }
    let is_gone = |pool: &&Pool| new.pool_with(Renamed::now(renamed, pool.id)).is_none();
    effects.extend(old.pools().iter().filter(is_gone).map(removed));
    effects
}

fn object(pool: &Pool) -> String {
    format!("pool {:?}", pool.name.as_str())
}

fn added(pool: &Pool) -> Effect {
    let what = format!("with {} members", pool.members.len());
    Effect::new(EffectKind::Add, object(pool), what)
}

fn removed(pool: &Pool) -> Effect {
    let what = format!("with {} members: {}", pool.members.len(), end(pool));
    Effect::new(EffectKind::Remove, object(pool), what)
}

/// What becomes of the connections of members that leave a pool.
fn end(pool: &Pool) -> String {
    match pool.connection_drain.map(DrainTimeout::get) {
        Some(seconds) => format!("connections are cut after {seconds} s (connection_drain)"),
        None => "connections go on until they end or are idle".to_owned(),
    }
}

fn changed(old: &Pool, new: &Pool, effects: &mut Vec<Effect>) {
    if old.name != new.name {
        let what =
            format!("was called {:?}; numbers, verdicts and connections stay", old.name.as_str());
        effects.push(Effect::new(EffectKind::Change, object(new), what));
    }
    effects
        .extend(settings(old, new).map(|what| Effect::new(EffectKind::Change, object(new), what)));
    let member = |member: &Member| format!("{}, member {:?}", object(new), member.name.as_str());
    let before: HashMap<SocketAddr, &Member> =
        old.members.iter().map(|m| (m.socket(), m)).collect();
    let after: HashMap<SocketAddr, &Member> = new.members.iter().map(|m| (m.socket(), m)).collect();
    for gone in old.members.iter().filter(|one| !after.contains_key(&one.socket())) {
        effects.push(Effect::new(EffectKind::Remove, member(gone), end(new)));
    }
    for one in &new.members {
        match before.get(&one.socket()) {
            None => {
                let what = format!("{}, weight {}", one.socket(), one.weight);
                effects.push(Effect::new(EffectKind::Add, member(one), what));
            }
            Some(known) if known.weight != one.weight => {
                let what = format!("weight {} becomes {}", known.weight, one.weight);
                effects.push(Effect::new(EffectKind::Change, member(one), what));
            }
            Some(known) if known.backup != one.backup => {
                let what = if one.backup { "becomes a backup" } else { "is no backup any more" };
                effects.push(Effect::new(EffectKind::Change, member(one), what));
            }
            Some(known) if known.max_connection != one.max_connection => {
                let (old, new) = (known.max_connection, one.max_connection);
                let what = format!("max_connection {old} becomes {new}");
                effects.push(Effect::new(EffectKind::Change, member(one), what));
            }
            Some(_) => {}
        }
    }
}

/// Whether the members of both are judged alike.
fn is_judged_alike(old: &Pool, new: &Pool) -> bool {
    let (old, new) = (&old.healthmonitor, &new.healthmonitor);
    match (old, new) {
        (Some(old), Some(new)) => HealthMonitor::is_like(old, new),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn persistence(pool: &Pool) -> String {
    pool.session_persistence.map_or_else(|| "off".to_owned(), |persistence| persistence.text())
}

/// Settings of a pool that work in another way, in words.
fn settings(old: &Pool, new: &Pool) -> impl Iterator<Item = String> {
    let differs = |key: &str, old: String, new: String| {
        (old != new).then(|| format!("{key} {old} becomes {new}"))
    };
    let monitor = (!is_judged_alike(old, new))
        .then(|| "its health monitor changes; verdicts stay until the next results".to_owned());
    [
        differs("forwarding", old.forwarding.to_string(), new.forwarding.to_string()),
        differs("lb_algorithm", old.lb_algorithm.to_string(), new.lb_algorithm.to_string()),
        differs("session_persistence", persistence(old), persistence(new)),
        differs("backup_below", old.backup_below.to_string(), new.backup_below.to_string()),
        differs("slow_start", old.slow_start.to_string(), new.slow_start.to_string()),
        differs("ring_size", old.ring_size.get().to_string(), new.ring_size.get().to_string()),
        monitor,
    ]
    .into_iter()
    .flatten()
}
