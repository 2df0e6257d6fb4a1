//! What becomes of pools and their members.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::{Effect, EffectKind, name_now};
use crate::control::reconcile::Renamed;
use crate::model::{DrainTimeout, Member, Model, Pool};

pub(super) fn effects(old: &Model, new: &Model, renamed: &[Renamed]) -> Vec<Effect> {
    let before: HashMap<&str, &Pool> =
        old.pools().iter().map(|pool| (name_now(pool.name.as_str(), renamed), pool)).collect();
    let after: HashMap<&str, &Pool> = new.pools().iter().map(|p| (p.name.as_str(), p)).collect();
    let mut effects = Vec::new();
    for pool in new.pools() {
        match before.get(pool.name.as_str()) {
            Some(old) => changed(old, pool, &mut effects),
            None => effects.push(added(pool)),
        }
    }
    let name = |pool: &Pool| name_now(pool.name.as_str(), renamed).to_owned();
    let gone = old.pools().iter().filter(|pool| !after.contains_key(name(pool).as_str()));
    effects.extend(gone.map(removed));
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
            Some(_) => {}
        }
    }
}

/// Settings of a pool that work in another way, in words.
fn settings(old: &Pool, new: &Pool) -> impl Iterator<Item = String> {
    let differs = |key: &str, old: String, new: String| {
        (old != new).then(|| format!("{key} {old} becomes {new}"))
    };
    let monitor = (old.healthmonitor != new.healthmonitor)
        .then(|| "its health monitor changes; verdicts stay until the next results".to_owned());
    [
        differs("forwarding", old.forwarding.to_string(), new.forwarding.to_string()),
        differs("lb_algorithm", old.lb_algorithm.to_string(), new.lb_algorithm.to_string()),
        differs("ring_size", old.ring_size.get().to_string(), new.ring_size.get().to_string()),
        monitor,
    ]
    .into_iter()
    .flatten()
}
