//! What is to be diagnosed, as people name it.

use std::collections::BTreeSet;
use std::fmt;

use crate::model::endpoint::Endpoint;
use crate::model::{Listener, LoadBalancer, Member, Model, Pool};

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
    /// What `text` names. A load balancer, listener, pool or member is named by its name; a listener
    /// also as `LB/LISTENER`; a member also as `POOL/MEMBER`, by its address, or its address and
    /// port. Any of them may have its kind before it (`lb:`, `listener:`, `pool:`, `member:`).
    ///
    /// # Errors
    /// It names nothing, or more than one thing; the message says which there are.
    pub fn find(model: &'a Model, text: &str) -> Result<Self, String> {
        let all = everything(model);
        let found: Vec<Self> = all.iter().copied().filter(|one| one.is_named(text)).collect();
        match found[..] {
            [one] => Ok(one),
            [] => Err(format!(
                "no load balancer, listener, pool or member is called {text:?}; there are: {}",
                list(&all)
            )),
            _ => Err(format!("{text:?} is more than one thing; say which: {}", list(&found))),
        }
    }

    /// Whether the text of a configuration that need not be right, comments aside, has what `name` names.
    pub fn is_in_text(name: &str, text: &str) -> bool {
        let kinds = ["lb:", "listener:", "pool:", "member:"];
        let name = kinds.iter().find_map(|kind| name.strip_prefix(kind)).unwrap_or(name);
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
                listeners.map(|listener| listener.default_pool.as_str()).collect();
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

    fn is_named(self, text: &str) -> bool {
        let (kind, name) = text.split_once(':').unwrap_or(("", text));
        let of_kind = kind == self.kind() && self.has_name(name);
        of_kind || self.has_name(text)
    }

    fn has_name(self, text: &str) -> bool {
        let both = |outer: &str, inner: &str| {
            text.strip_prefix(outer).and_then(|rest| rest.strip_prefix('/')) == Some(inner)
        };
        match self {
            Self::All => false,
            Self::LoadBalancer(balancer) => balancer.name.as_str() == text,
            Self::Listener(balancer, listener) => {
                let name = listener.name.as_str();
                name == text || both(balancer.name.as_str(), name)
            }
            Self::Pool(pool) => pool.name.as_str() == text,
            Self::Member(pool, member) => {
                let within = |text: &str| {
                    let is_there = |endpoint: Endpoint| endpoint.is(member.socket());
                    member.name.as_str() == text || text.parse().is_ok_and(is_there)
                };
                let inner = text.strip_prefix(pool.name.as_str());
                within(text) || inner.and_then(|rest| rest.strip_prefix('/')).is_some_and(within)
            }
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::All => "",
            Self::LoadBalancer(_) => "lb",
            Self::Listener(..) => "listener",
            Self::Pool(_) => "pool",
            Self::Member(..) => "member",
        }
    }
}

/// A name that nothing else has.
impl fmt::Display for Target<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind();
        match self {
            Self::All => write!(f, "everything"),
            Self::LoadBalancer(balancer) => write!(f, "{kind}:{}", balancer.name),
            Self::Listener(balancer, listener) => {
                write!(f, "{kind}:{}/{}", balancer.name, listener.name)
            }
            Self::Pool(pool) => write!(f, "{kind}:{}", pool.name),
            Self::Member(pool, member) => write!(f, "{kind}:{}/{}", pool.name, member.name),
        }
    }
}

/// Everything that has a name, the widest first.
fn everything(model: &Model) -> Vec<Target<'_>> {
    let balancers = || model.load_balancers().iter();
    let listeners = balancers()
        .flat_map(|lb| lb.listeners.iter().map(move |listener| Target::Listener(lb, listener)));
    let members = model
        .pools()
        .iter()
        .flat_map(|pool| pool.members.iter().map(move |member| Target::Member(pool, member)));
    balancers()
        .map(Target::LoadBalancer)
        .chain(listeners)
        .chain(model.pools().iter().map(Target::Pool))
        .chain(members)
        .collect()
}

/// The first of many, for a message.
fn list(targets: &[Target<'_>]) -> String {
    const SHOWN: usize = 12;
    let names: Vec<String> = targets.iter().take(SHOWN).map(ToString::to_string).collect();
    match targets.len() {
        0 => "none".to_owned(),
        count if count <= SHOWN => names.join(", "),
        count => format!("{} and {} more", names.join(", "), count - SHOWN),
    }
}

#[cfg(test)]
mod tests;
