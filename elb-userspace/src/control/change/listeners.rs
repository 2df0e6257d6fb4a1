//! What becomes of listeners: a place is an address with protocol and ports.

use std::collections::BTreeMap;

use super::{Effect, EffectKind, called, served};
use crate::control::reconcile::Renamed;
use crate::model::{Listener, LoadBalancer, Model, Ports, ResourceId};

pub(super) fn effects(old: &Model, new: &Model, renamed: &[Renamed]) -> Vec<Effect> {
    let (before, after) = (places(old), places(new));
    let now = |pool| Renamed::now(renamed, pool);
    let mut effects = Vec::new();
    for (place, (lb, listener)) in &before {
        let object = format!("{} at {place}", called(lb, listener));
        match after.get(place) {
            None => effects.push(Effect::new(EffectKind::Cut, object, why_cut(new, listener))),
            Some((_, next)) => {
                let is_same = pool_of(new, next) == pool_of(old, listener).map(now);
                effects.extend((!is_same).then(|| moved(&object, listener, next)));
                effects.extend(
                    fallback(listener, next)
                        .map(|what| Effect::new(EffectKind::Change, object.clone(), what)),
                );
            }
        }
    }
    for (place, (lb, listener)) in after.iter().filter(|(place, _)| !before.contains_key(*place)) {
        let what = format!("served by pool {:?}", listener.default_pool.as_str());
        effects.push(Effect::new(
            EffectKind::Add,
            format!("{} at {place}", called(lb, listener)),
            what,
        ));
    }
    effects
}

/// The listener of each place that takes connections.
fn places(model: &Model) -> BTreeMap<String, (&LoadBalancer, &Listener)> {
    let all = served(model).flat_map(|(lb, listener)| {
        lb.vips().map(move |vip| {
            (format!("{vip} {} {}", listener.protocol, ports(listener)), (lb, listener))
        })
    });
    all.collect()
}

fn ports(listener: &Listener) -> String {
    match listener.ports() {
        Ports::Any => "any port".to_owned(),
        Ports::One(port) => format!("port {port}"),
        Ports::Ranges(ranges) => {
            let ranges: Vec<_> = ranges.iter().map(ToString::to_string).collect();
            format!("ports {}", ranges.join(", "))
        }
    }
}

fn why_cut(new: &Model, listener: &Listener) -> &'static str {
    let mut all = new.load_balancers().iter().flat_map(|lb| &lb.listeners);
    match all.find(|other| other.id == listener.id || other.name == listener.name) {
        None => "it is removed, and its connections break at once",
        Some(other) if !other.admin_state_up => "it is disabled, and its connections break at once",
        Some(_) => "it listens elsewhere or is disabled, and its connections here break at once",
    }
}

fn pool_of(model: &Model, listener: &Listener) -> Option<ResourceId> {
    model.pool(&listener.default_pool).map(|pool| pool.id)
}

/// How another pool takes over, if that is other than it was.
fn fallback(before: &Listener, after: &Listener) -> Option<String> {
    let is_same = before.fallback_pool == after.fallback_pool
        && before.fallback_below == after.fallback_below;
    let what = match &after.fallback_pool {
        None => "no other pool takes over any more".to_owned(),
        Some(pool) => format!(
            "pool {:?} takes over while fewer than {} members take new connections",
            pool.as_str(),
            after.fallback_below
        ),
    };
    (!is_same).then_some(what)
}

fn moved(object: &str, before: &Listener, after: &Listener) -> Effect {
    let (from, to) = (before.default_pool.as_str(), after.default_pool.as_str());
    let what = format!(
        "new connections go to pool {to:?}, those it has stay on members of pool {from:?} until they end"
    );
    Effect::new(EffectKind::Move, object, what)
}
