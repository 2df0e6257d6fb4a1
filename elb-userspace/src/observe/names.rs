//! What the numbers in the maps are called.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::control::assign::{AssignedMember, Assignments};
use crate::model::Model;

/// A backend as people know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendMember {
    /// Its number in the maps.
    pub id: u16,
    /// Its name; of one that was removed, or that is unknown, its address or number.
    pub name: String,
    /// The pool it belongs to; empty if that is unknown.
    pub pool: String,
    /// Address and port; `None` if that is unknown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub address: Option<SocketAddr>,
    /// Whether it was removed and only serves the flows that it has.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub removed: bool,
}

/// Names of all numbers, as they are at one moment.
#[derive(Clone, Debug, Default)]
pub struct Names {
    listeners: BTreeMap<u16, String>,
    pools: BTreeMap<u16, String>,
    ip_groups: BTreeMap<u16, String>,
    members: BTreeMap<u16, BackendMember>,
    interfaces: BTreeMap<u32, String>,
}

impl Names {
    /// The names that a model and its numbers give, and those of interfaces.
    pub fn new(
        model: &Model,
        assignments: &Assignments,
        interfaces: BTreeMap<u32, String>,
    ) -> Self {
        let listeners = assignments.listeners.iter().map(|(name, one)| (one.id, name.clone()));
        let pools = assignments.pools.iter().map(|(name, pool)| (pool.id, name.clone()));
        let ip_groups = assignments.ip_groups.iter().map(|(name, id)| (*id, name.clone()));
        let members = assignments.pools.iter().flat_map(|(pool, assigned)| {
            let known = model.pools().iter().find(|one| one.name.as_str() == pool);
            let known = known.into_iter().flat_map(|pool| &pool.members);
            let known: HashMap<_, _> = known.map(|one| (one.socket(), one.name.as_str())).collect();
            let member = move |number: &AssignedMember| {
                let name = known.get(&number.socket()).copied();
                (number.id, member(pool, number, name.filter(|_| !number.removed)))
            };
            assigned.members.iter().map(member)
        });
        Self {
            listeners: listeners.collect(),
            pools: pools.collect(),
            ip_groups: ip_groups.collect(),
            members: members.collect(),
            interfaces,
        }
    }

    /// The listener with this number.
    pub fn listener(&self, id: u16) -> String {
        self.listeners.get(&id).cloned().unwrap_or_else(|| format!("#{id}"))
    }

    /// The number of the listener with this name.
    ///
    /// # Errors
    /// There is none: the message says which there are.
    pub fn select_listener(&self, text: &str) -> Result<u16, String> {
        let found = self.listeners.iter().find(|(_, name)| *name == text);
        found.map(|(id, _)| *id).ok_or_else(|| {
            let known: BTreeSet<_> = self.listeners.values().map(String::as_str).collect();
            let known: Vec<_> = known.into_iter().collect();
            format!("no listener is called {text:?}; there are: {}", list(&known))
        })
    }

    /// The pool with this number.
    pub fn pool(&self, id: u16) -> String {
        self.pools.get(&id).cloned().unwrap_or_else(|| format!("#{id}"))
    }

    /// The IP group with this number.
    pub fn ip_group(&self, id: u16) -> String {
        self.ip_groups.get(&id).cloned().unwrap_or_else(|| format!("#{id}"))
    }

    /// The backend with this number.
    pub fn member(&self, id: u16) -> BackendMember {
        let unknown = || BackendMember {
            id,
            name: format!("#{id}"),
            pool: String::new(),
            address: None,
            removed: false,
        };
        self.members.get(&id).cloned().unwrap_or_else(unknown)
    }

    /// The interface with this index.
    pub fn interface(&self, index: u32) -> String {
        self.interfaces.get(&index).cloned().unwrap_or_else(|| format!("#{index}"))
    }

    /// All interfaces that have names, by index.
    pub const fn interfaces(&self) -> &BTreeMap<u32, String> {
        &self.interfaces
    }

    /// The numbers of the backends that a text names (a name, an address, or address and port), and of
    /// those of this pool, each if it is asked for.
    ///
    /// # Errors
    /// There is none: the message says which there are.
    pub fn select(&self, text: Option<&str>, pool: Option<&str>) -> Result<BTreeSet<u16>, String> {
        if let Some(pool) = pool.filter(|pool| !self.pools.values().any(|name| name == pool)) {
            let known: BTreeSet<_> = self.pools.values().map(String::as_str).collect();
            let known: Vec<_> = known.into_iter().collect();
            return Err(format!("no pool is called {pool:?}; there are: {}", list(&known)));
        }
        let is_it = |member: &&BackendMember| {
            pool.is_none_or(|pool| member.pool == pool)
                && text.is_none_or(|text| {
                    member.address.is_some_and(|one| is_named(text, Some(&member.name), one))
                })
        };
        let found: BTreeSet<u16> = self.members.values().filter(is_it).map(|m| m.id).collect();
        let Some(text) = text.filter(|_| found.is_empty()) else { return Ok(found) };
        let known: BTreeSet<&str> = self.members.values().map(|m| m.name.as_str()).collect();
        let known: Vec<&str> = known.into_iter().collect();
        let of = pool.map(|pool| format!(" of pool {pool:?}")).unwrap_or_default();
        Err(format!(
            "no member{of} is called {text:?}, or has it as its address; there are: {}",
            list(&known)
        ))
    }
}

/// Whether a text names a member.
pub fn is_named(text: &str, name: Option<&str>, member: SocketAddr) -> bool {
    name == Some(text)
        || text.parse() == Ok(member)
        || text.parse() == Ok(member.ip())
        || text.trim_matches(['[', ']']).parse() == Ok(member.ip())
}

fn member(pool: &str, number: &AssignedMember, name: Option<&str>) -> BackendMember {
    BackendMember {
        id: number.id,
        name: name.map_or_else(|| number.socket().to_string(), str::to_owned),
        pool: pool.to_owned(),
        address: Some(number.socket()),
        removed: number.removed,
    }
}

/// The first of many, for a message.
fn list(names: &[&str]) -> String {
    const SHOWN: usize = 10;
    match names {
        [] => "none".to_owned(),
        names if names.len() <= SHOWN => names.join(", "),
        names => format!("{} and {} more", names[..SHOWN].join(", "), names.len() - SHOWN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::assign::{AssignedPool, AssignedRing};
    use crate::control::ring::shape::Shape;

    fn names() -> Names {
        let member = |id, last, removed| AssignedMember {
            removed,
            ..AssignedMember::new(id, ([10, 0, 0, last], 80).into())
        };
        let ring = AssignedRing { base: 0, shape: Shape { size: 5, ..Shape::default() } };
        let pool = |id, members| AssignedPool { members, ..AssignedPool::new(id, ring, 0) };
        let mut assignments = Assignments::default();
        let listener =
            crate::control::assign::AssignedListener { id: 7, pool: 4, ..Default::default() };
        assignments.listeners.insert("https".to_owned(), listener);
        assignments.ip_groups.insert("office".to_owned(), 2);
        assignments.adopt("web", pool(3, vec![member(1, 11, false), member(2, 12, true)]));
        assignments.adopt("api", pool(4, vec![member(5, 11, false)]));
        Names::new(&Model::default(), &assignments, [(9, "eth0".to_owned())].into())
    }

    #[test]
    fn numbers_have_names_and_unknown_ones_are_shown() {
        let names = names();
        assert_eq!((names.listener(7), names.listener(8)), ("https".to_owned(), "#8".to_owned()));
        assert_eq!(names.select_listener("https"), Ok(7));
        let wrong = names.select_listener("http").unwrap_err();
        assert_eq!(wrong, "no listener is called \"http\"; there are: https");
        assert_eq!((names.ip_group(2), names.ip_group(7)), ("office".to_owned(), "#7".to_owned()));
        assert_eq!((names.pool(3), names.interface(9)), ("web".to_owned(), "eth0".to_owned()));
        assert_eq!(names.member(2).name, "10.0.0.12:80");
        assert!(names.member(2).removed);
        assert_eq!((names.member(6).name, names.member(6).address), ("#6".to_owned(), None));
    }

    #[test]
    fn members_are_named_in_many_ways() {
        let v4 = SocketAddr::from(([10, 0, 0, 1], 80));
        for text in ["web-1", "10.0.0.1", "10.0.0.1:80"] {
            assert!(is_named(text, Some("web-1"), v4), "{text}");
        }
        for text in ["web-2", "10.0.0.2", "10.0.0.1:81", "", "10.0.0.1:"] {
            assert!(!is_named(text, Some("web-1"), v4), "{text}");
        }
        let v6: SocketAddr = "[2001:db8::1]:80".parse().unwrap();
        for text in ["2001:db8::1", "[2001:db8::1]", "[2001:db8:0::1]:80"] {
            assert!(is_named(text, None, v6), "{text}");
        }
    }

    #[test]
    fn members_are_selected_by_address_and_pool() {
        let names = names();
        let at = Some;
        assert_eq!(names.select(None, None), Ok([1, 2, 5].into()));
        assert_eq!(names.select(at("10.0.0.11"), None), Ok([1, 5].into()));
        assert_eq!(names.select(at("10.0.0.11:80"), Some("api")), Ok([5].into()));
        let named = names.member(5).name;
        assert_eq!(names.select(Some(&named), Some("api")), Ok([5].into()), "{named}");
        let wrong = names.select(at("10.0.0.12"), Some("api")).unwrap_err();
        assert_eq!(
            wrong,
            "no member of pool \"api\" is called \"10.0.0.12\", or has it as its address; there are: \
             10.0.0.11:80, 10.0.0.12:80"
        );
        let wrong = names.select(None, Some("wbe")).unwrap_err();
        assert_eq!(wrong, "no pool is called \"wbe\"; there are: api, web");
    }
}
