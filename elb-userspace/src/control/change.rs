//! What another configuration does to traffic: what it cuts, removes, moves, changes and adds, and
//! whether it takes everything away. Pure.

mod listeners;
mod loss;
mod pools;
mod snat;

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::control::reconcile::Renamed;
use crate::model::{Listener, LoadBalancer, Model};

pub use self::loss::taken_away;

/// What happens to an object.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum EffectKind {
    /// Connections break at once.
    Cut,
    /// It goes; connections that exist go on.
    Remove,
    /// New connections go elsewhere.
    Move,
    /// It works in another way.
    Change,
    /// It is new.
    Add,
}

impl fmt::Display for EffectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "cut",
            Self::Remove => "remove",
            Self::Move => "move",
            Self::Change => "change",
            Self::Add => "add",
        })
    }
}

/// One thing that another configuration does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Effect {
    /// What happens.
    pub kind: EffectKind,
    /// The object that it happens to, for example `pool "web", member "b1"`.
    pub object: String,
    /// In words.
    pub what: String,
    /// The part of the pool's slots that moves, 0..=1.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub share: Option<f64>,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.kind, self.object, self.what)
    }
}

impl Effect {
    fn new(kind: EffectKind, object: impl Into<String>, what: impl Into<String>) -> Self {
        Self { kind, object: object.into(), what: what.into(), share: None }
    }

    /// So much of a pool's slots moves to other members, of which so much had to.
    pub fn moved(pool: &str, share: f64, minimum: f64) -> Self {
        let (moved, least) = (share * 100.0, minimum * 100.0);
        let what = format!(
            "{moved:.1} % of the slots move to another member, at least {least:.1} % had to"
        );
        Self { share: Some(share), ..Self::new(EffectKind::Move, format!("pool {pool:?}"), what) }
    }
}

/// What `new` does in the place of `old`, where pools got other ids; the gravest first.
pub fn effects(old: &Model, new: &Model, renamed: &[Renamed]) -> Vec<Effect> {
    let mut effects = listeners::effects(old, new, renamed);
    effects.extend(pools::effects(old, new, renamed));
    effects.extend(snat::effects(old, new));
    effects.sort_by_key(|effect| effect.kind);
    effects
}

/// Listeners that take connections: enabled ones of load balancers with an address.
fn served(model: &Model) -> impl Iterator<Item = (&LoadBalancer, &Listener)> {
    present(model).filter(|(lb, listener)| lb.admin_state_up && listener.admin_state_up)
}

/// Listeners of load balancers with an address, disabled ones included.
fn present(model: &Model) -> impl Iterator<Item = (&LoadBalancer, &Listener)> {
    let balancers = model.load_balancers().iter().filter(|lb| lb.vips().next().is_some());
    balancers.flat_map(|lb| lb.listeners.iter().map(move |listener| (lb, listener)))
}

/// `web/http`, as status and diagnosis call a listener.
fn called(lb: &LoadBalancer, listener: &Listener) -> String {
    format!("listener {}/{}", lb.name, listener.name)
}

/// A list for people, of which the first few are named.
fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    const NAMED: usize = 5;
    let count = names.len();
    let named: Vec<String> = names.take(NAMED).collect();
    let more = if count > NAMED { format!(" and {} more", count - NAMED) } else { String::new() };
    named.join(", ") + &more
}

#[cfg(test)]
mod tests;
