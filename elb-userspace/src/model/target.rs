//! What is to be diagnosed, as people name it.

use std::collections::BTreeSet;
use std::fmt;

use crate::model::endpoint::Endpoint;
use crate::model::select::{self, Label, ResourceKind};
use crate::model::{Listener, LoadBalancer, Member, Model, Name, Pool};

/// Something with members below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// Everything.
    All,
    /// A load balancer.
    LoadBalancer(&'a LoadBalancer),
    /// A listener.
    Listener(&'a LoadBalancer, &'a Listener),
    /// A pool.
    Pool(&'a Pool),
    /// A member.
    Member(&'a Pool, &'a Member),
}

impl<'a> Target<'a> {
    /// The only thing that `text` names.
    ///
    /// # Errors
    /// It names nothing, or more than one thing; the message says which there are.
    pub fn find(model: &'a Model, text: &str) -> Result<Self, String> {
        select::one(ANY, text, everything(model))
    }

    /// All that `text` names.
    ///
    /// # Errors
    /// It names nothing; the message says which there are.
    pub fn all(model: &'a Model, text: &str) -> Result<Vec<Self>, String> {
        select::all(ANY, text, everything(model))
    }

    /// Whether the text of a configuration that need not be right, comments aside, has what `name` names.
    pub fn is_in_text(name: &str, text: &str) -> bool {
        let after = |kind: ResourceKind| name.strip_prefix(kind.as_str())?.strip_prefix(':');
        let name = ResourceKind::ALL.into_iter().find_map(after).unwrap_or(name);
        let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
        let values: Vec<&str> =
            lines.flat_map(|line| line.split(['"', '\'']).skip(1).step_by(2)).collect();
        name.split('/').all(|part| {
            let endpoint = part.parse().ok().map(|endpoint: Endpoint| endpoint.address);
            let is_it = |value: &&str| {
                **value == *part || endpoint.is_some_and(|one| value.parse() == Ok(one))
            };
            !part.is_empty() && values.iter().any(is_it)
        })
    }

    /// The pools that are concerned, in the model's order, each once.
    pub fn pools(self, model: &'a Model) -> Vec<&'a Pool> {
        let serving = |listeners: &mut dyn Iterator<Item = &'a Listener>| {
            let names: BTreeSet<&str> =
                listeners.flat_map(Listener::pools).map(Name::as_str).collect();
            let pools = model.pools().iter();
            pools.filter(|pool| names.contains(pool.name.as_str())).collect()
        };
        match self {
            Self::All => model.pools().iter().collect(),
            Self::LoadBalancer(balancer) => serving(&mut balancer.listeners.iter()),
            Self::Listener(_, listener) => serving(&mut std::iter::once(listener)),
            Self::Pool(pool) | Self::Member(pool, _) => vec![pool],
        }
    }

    /// Whether a listener is part of it.
    pub fn includes(self, balancer: &str, listener: &str) -> bool {
        match self {
            Self::LoadBalancer(named) => named.name.as_str() == balancer,
            Self::Listener(within, named) => {
                (within.name.as_str(), named.name.as_str()) == (balancer, listener)
            }
            Self::All | Self::Pool(_) | Self::Member(..) => true,
        }
    }

    /// What people may name it by; everything has no name.
    fn label(self) -> Option<Label<'a>> {
        Some(match self {
            Self::All => return None,
            Self::LoadBalancer(balancer) => Label::from(balancer),
            Self::Listener(balancer, listener) => Label::from((balancer, listener)),
            Self::Pool(pool) => Label::from(pool),
            Self::Member(pool, member) => Label::from((pool, member)),
        })
    }
}

/// A name that nothing else has.
impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.label() {
            None => f.write_str("everything"),
            Some(label) => label.fmt(f),
        }
    }
}

/// What a target is.
const ANY: &str = "load balancer, listener, pool or member";

/// Everything that has a name, the widest first.
fn everything(model: &Model) -> impl Iterator<Item = (Label<'_>, Target<'_>)> {
    let members = model
        .pools()
        .iter()
        .flat_map(|pool| pool.members.iter().map(move |member| Target::Member(pool, member)));
    let all = model
        .load_balancers()
        .iter()
        .map(Target::LoadBalancer)
        .chain(model.listeners().map(|(lb, listener)| Target::Listener(lb, listener)))
        .chain(model.pools().iter().map(Target::Pool))
        .chain(members);
    all.filter_map(|target| Some((target.label()?, target)))
}

#[cfg(test)]
mod tests;
