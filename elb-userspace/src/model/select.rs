//! What a text names: one rule for all commands.
//!
//! A resource is named by its name or its id; a listener and a member also by what they are in
//! (`LB/LISTENER`, `POOL/MEMBER`, where each part may be a name or an id); a member also by its address, or
//! its address and port. Each may have its kind before it (`lb:`, `listener:`, `pool:`, `member:`).

use std::fmt;
use std::net::SocketAddr;

use super::endpoint::Endpoint;
use super::{Listener, LoadBalancer, Member, Pool, ResourceId};

/// What a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ResourceKind {
    /// A load balancer.
    LoadBalancer,
    /// A listener.
    Listener,
    /// A pool.
    Pool,
    /// A member.
    Member,
}

impl ResourceKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::LoadBalancer, Self::Listener, Self::Pool, Self::Member];

    /// As it may stand before a name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LoadBalancer => "lb",
            Self::Listener => "listener",
            Self::Pool => "pool",
            Self::Member => "member",
        }
    }

    /// A name with the kind before it, unless it has one.
    pub fn before(self, name: &str) -> String {
        let has_kind = Self::ALL
            .iter()
            .any(|kind| name.strip_prefix(kind.as_str()).is_some_and(|rest| rest.starts_with(':')));
        if has_kind { name.to_owned() } else { format!("{}:{name}", self.as_str()) }
    }
}

/// What people may name a resource by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Label<'a> {
    /// What it is.
    pub kind: ResourceKind,
    /// Which it is, if that is known.
    pub id: Option<ResourceId>,
    /// What it is called; none: as its address and port.
    pub name: Option<&'a str>,
    /// What it is in: the load balancer of a listener, the pool of a member, by id and name.
    pub within: Option<(Option<ResourceId>, &'a str)>,
    /// Where it is, of a member.
    pub socket: Option<SocketAddr>,
}

impl<'a> From<&'a LoadBalancer> for Label<'a> {
    fn from(lb: &'a LoadBalancer) -> Self {
        let name = Some(lb.name.as_str());
        Self { kind: ResourceKind::LoadBalancer, id: Some(lb.id), name, within: None, socket: None }
    }
}

impl<'a> From<(&'a LoadBalancer, &'a Listener)> for Label<'a> {
    fn from((lb, listener): (&'a LoadBalancer, &'a Listener)) -> Self {
        let (id, name) = (Some(listener.id), Some(listener.name.as_str()));
        let within = Some((Some(lb.id), lb.name.as_str()));
        Self { kind: ResourceKind::Listener, id, name, within, socket: None }
    }
}

impl<'a> From<&'a Pool> for Label<'a> {
    fn from(pool: &'a Pool) -> Self {
        Self::pool(Some(pool.id), pool.name.as_str())
    }
}

impl<'a> From<(&'a Pool, &'a Member)> for Label<'a> {
    fn from((pool, member): (&'a Pool, &'a Member)) -> Self {
        let pool = (Some(pool.id), pool.name.as_str());
        Self::member(pool, Some(member.id), Some(member.name.as_str()), member.socket())
    }
}

impl<'a> Label<'a> {
    /// That of a pool.
    pub const fn pool(id: Option<ResourceId>, name: &'a str) -> Self {
        Self { kind: ResourceKind::Pool, id, name: Some(name), within: None, socket: None }
    }

    /// That of a member of a pool, of which these are the id and the name.
    pub const fn member(
        pool: (Option<ResourceId>, &'a str),
        id: Option<ResourceId>,
        name: Option<&'a str>,
        socket: SocketAddr,
    ) -> Self {
        Self { kind: ResourceKind::Member, id, name, within: Some(pool), socket: Some(socket) }
    }

    /// Whether a text names it.
    pub fn is_named(&self, text: &str) -> bool {
        let of_kind = text.strip_prefix(self.kind.as_str()).and_then(|rest| rest.strip_prefix(':'));
        self.has(text) || of_kind.is_some_and(|rest| self.has(rest))
    }

    /// Whether a text names what it is in.
    pub fn is_within(&self, text: &str) -> bool {
        self.within.is_some_and(|(id, name)| Label::pool(id, name).is_named(text))
    }

    fn has(&self, text: &str) -> bool {
        if self.has_own(text) {
            return true;
        }
        let Some((id, name)) = self.within else { return false };
        let inner = |outer: &str| text.strip_prefix(outer)?.strip_prefix('/');
        let by_name = || inner(name).is_some_and(|rest| self.has_own(rest));
        // An id has no slash, a name may have.
        let by_id = || {
            text.split_once('/').is_some_and(|(outer, rest)| is_id(outer, id) && self.has_own(rest))
        };
        by_name() || by_id()
    }

    fn has_own(&self, text: &str) -> bool {
        let is_there = |socket| text.parse().is_ok_and(|endpoint: Endpoint| endpoint.is(socket));
        self.name == Some(text) || is_id(text, self.id) || self.socket.is_some_and(is_there)
    }

    /// A name that nothing else of its kind has: `POOL/MEMBER`, `LB/LISTENER`.
    fn path(&self) -> String {
        let own = match (self.name, self.socket) {
            (Some(name), _) => name.to_owned(),
            (None, Some(socket)) => socket.to_string(),
            (None, None) => String::new(),
        };
        self.within.map_or_else(|| own.clone(), |(_, outer)| format!("{outer}/{own}"))
    }
}

fn is_id(text: &str, id: Option<ResourceId>) -> bool {
    id.is_some_and(|id| text.parse() == Ok(id))
}

/// A name that nothing else has.
impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.as_str(), self.path())
    }
}

/// Those that a text names, of all resources that are `what`.
///
/// # Errors
/// There is none; the message says which there are.
pub fn all<'a, T>(
    what: &str,
    text: &str,
    all: impl Iterator<Item = (Label<'a>, T)>,
) -> Result<Vec<T>, String> {
    let (mut found, mut others) = (Vec::new(), Listed::default());
    for (label, one) in all {
        if label.is_named(text) {
            found.push(one);
        } else {
            others.note(label);
        }
    }
    if found.is_empty() { Err(others.message(what, text)) } else { Ok(found) }
}

/// The only one that a text names.
///
/// # Errors
/// There is none, or more than one; the message says which.
pub fn one<'a, T>(
    what: &str,
    text: &str,
    labels: impl Iterator<Item = (Label<'a>, T)>,
) -> Result<T, String> {
    let labels = labels.map(|(label, one)| (label, (label, one)));
    let mut found = all(what, text, labels)?;
    match (found.pop(), found.is_empty()) {
        (Some((_, one)), true) => Ok(one),
        (last, _) => {
            let mut several = Listed { of_many_kinds: true, ..Listed::default() };
            found.into_iter().chain(last).for_each(|(label, _)| several.note(label));
            Err(format!("{text:?} is more than one thing; say which: {several}"))
        }
    }
}

/// The first of many resources, for a message.
#[derive(Default)]
struct Listed<'a> {
    first: Vec<Label<'a>>,
    more: usize,
    /// Whether each is shown with its kind.
    of_many_kinds: bool,
}

/// Resources that a message lists.
const SHOWN: usize = 12;

impl<'a> Listed<'a> {
    fn note(&mut self, label: Label<'a>) {
        self.of_many_kinds |= self.first.first().is_some_and(|first| first.kind != label.kind);
        if self.first.len() < SHOWN {
            self.first.push(label);
        } else {
            self.more += 1;
        }
    }

    fn message(&self, what: &str, text: &str) -> String {
        let or_address = match self.first.iter().any(|label| label.kind == ResourceKind::Member) {
            true => ", or has it as its address",
            false => "",
        };
        format!(
            "no {what} is called {text:?}{or_address}; there are: {self}; write a name or an id \
                 as `elb status -o json` has them, or POOL/MEMBER or LB/LISTENER"
        )
    }
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first.is_empty() {
            return f.write_str("none");
        }
        for (at, label) in self.first.iter().enumerate() {
            let comma = if at > 0 { ", " } else { "" };
            match self.of_many_kinds {
                true => write!(f, "{comma}{label}")?,
                false => write!(f, "{comma}{}", label.path())?,
            }
        }
        if self.more > 0 { write!(f, " and {} more", self.more) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
