//! What of the status is asked for: everything, what has these names, or what has a problem.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;

use crate::api::shape::status::{self, Request};
use crate::model::{Listener, LoadBalancer, Model, Pool};
use crate::observe::names::is_named;

/// Names that may be asked for at once.
const MOST: usize = 64;

/// What is asked for.
#[derive(Debug)]
pub(super) struct Selection {
    /// `None`: everything.
    named: Option<Named>,
    pub(super) only_problems: bool,
}

/// What has the names.
#[derive(Debug, Default)]
struct Named {
    /// Load balancers, each with all its listeners.
    balancers: BTreeSet<String>,
    listeners: BTreeSet<String>,
    /// Pools, each with all its members.
    pools: BTreeSet<String>,
    members: HashMap<String, HashSet<SocketAddr>>,
}

impl Selection {
    /// What a request asks for.
    ///
    /// # Errors
    /// Nothing has a name.
    pub(super) fn of(request: &Request, model: &Model) -> Result<Self, String> {
        let names: Vec<&str> = request.names.lines().filter(|name| !name.is_empty()).collect();
        let only_problems = request.problems;
        if names.is_empty() {
            return Ok(Self { named: None, only_problems });
        }
        if names.len() > MOST {
            return Err(format!("{} names were asked for; ask for at most {MOST}", names.len()));
        }
        let mut named = Named::default();
        for name in names {
            if !named.take(name, model) {
                return Err(format!(
                    "no load balancer, listener or pool, and no member is called {name:?}, or has it \
                     as its address; `elb status` lists all of them"
                ));
            }
        }
        Ok(Self { named: Some(named), only_problems })
    }

    pub(super) fn has_balancer(&self, lb: &LoadBalancer) -> bool {
        self.named.as_ref().is_none_or(|named| {
            named.balancers.contains(lb.name.as_str())
                || lb.listeners.iter().any(|one| named.listeners.contains(one.name.as_str()))
        })
    }

    pub(super) fn has_listener(&self, lb: &LoadBalancer, listener: &Listener) -> bool {
        self.named.as_ref().is_none_or(|named| {
            named.balancers.contains(lb.name.as_str())
                || named.listeners.contains(listener.name.as_str())
        })
    }

    /// Whether a pool, or any member of it, is asked for.
    pub(super) fn has_pool(&self, pool: &Pool) -> bool {
        self.named.as_ref().is_none_or(|named| {
            named.pools.contains(pool.name.as_str())
                || named.members.contains_key(pool.name.as_str())
        })
    }

    pub(super) fn has_member(&self, pool: &Pool, member: SocketAddr) -> bool {
        self.named.as_ref().is_none_or(|named| {
            let members = named.members.get(pool.name.as_str());
            named.pools.contains(pool.name.as_str())
                || members.is_some_and(|members| members.contains(&member))
        })
    }

    /// Whether a member is to be shown that looks so.
    pub(super) fn shows(&self, member: &status::Member) -> bool {
        !self.only_problems || has_problem(member)
    }
}

/// Whether something is wrong with a member.
pub(super) fn has_problem(member: &status::Member) -> bool {
    let offline = |status: &str| status == "OFFLINE";
    offline(&member.operating_status)
        || member.unreachable.is_some()
        || member.status.iter().any(|at| offline(&at.operating_status))
}

impl Named {
    /// Takes in what has a name; false if nothing has.
    fn take(&mut self, name: &str, model: &Model) -> bool {
        let mut found = false;
        for lb in model.load_balancers() {
            let is_it = lb.name.as_str() == name;
            if is_it {
                self.balancers.insert(name.to_owned());
            }
            for listener in &lb.listeners {
                if is_it || listener.name.as_str() == name {
                    self.listeners.insert(listener.name.to_string());
                    self.pools.insert(listener.default_pool.to_string());
                    found = true;
                }
            }
            found |= is_it;
        }
        for pool in model.pools() {
            if pool.name.as_str() == name {
                self.pools.insert(name.to_owned());
                let listeners = model.listeners_of(&pool.name);
                self.listeners.extend(listeners.map(|(_, one)| one.name.to_string()));
                found = true;
            }
            found |= self.take_members(name, pool);
        }
        found
    }

    fn take_members(&mut self, name: &str, pool: &Pool) -> bool {
        let within = name.split_once('/').filter(|(of, _)| *of == pool.name.as_str());
        let text = within.map_or(name, |(_, member)| member);
        let is_it = |member: &&crate::model::Member| {
            is_named(text, Some(member.name.as_str()), member.socket())
        };
        let found: HashSet<_> =
            pool.members.iter().filter(is_it).map(|member| member.socket()).collect();
        if found.is_empty() {
            return false;
        }
        self.members.entry(pool.name.to_string()).or_default().extend(found);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::sample;

    fn model() -> Model {
        let sample = sample::balancer("lb").listener("http", 80, "web").listener("api", 81, "api");
        let sample = sample.pool("web").member("10.0.0.11", 80).keys("name = \"one\"");
        let sample = sample.member("10.0.0.12", 80).keys("name = \"two\"");
        sample.pool("api").member("10.0.0.11", 81).keys("name = \"one\"").model()
    }

    type Texts = Vec<String>;

    /// Listeners, pools and members that are asked for by names.
    fn asked(names: &str) -> Result<(Texts, Texts, Texts), String> {
        let model = model();
        let request = Request { names: names.to_owned(), ..Request::default() };
        let selection = Selection::of(&request, &model)?;
        let lb = &model.load_balancers()[0];
        let listeners = lb.listeners.iter().filter(|one| selection.has_listener(lb, one));
        let listeners: Vec<_> = listeners.map(|one| one.name.to_string()).collect();
        assert_eq!(selection.has_balancer(lb), !listeners.is_empty());
        let pools = model.pools().iter().filter(|pool| selection.has_pool(pool));
        let members = pools.clone().flat_map(|pool| {
            let asked = pool.members.iter().filter(|one| selection.has_member(pool, one.socket()));
            asked.map(move |member| format!("{}/{}", pool.name, member.name))
        });
        let members = members.collect();
        Ok((listeners, pools.map(|pool| pool.name.to_string()).collect(), members))
    }

    #[test]
    fn names_select() {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let all = (
            texts(&["http", "api"]),
            texts(&["web", "api"]),
            texts(&["web/one", "web/two", "api/one"]),
        );
        assert_eq!(asked("").unwrap(), all);
        assert_eq!(asked("lb").unwrap(), all);
        let web = (texts(&["http"]), texts(&["web"]), texts(&["web/one", "web/two"]));
        assert_eq!(asked("http").unwrap(), web);
        assert_eq!(asked("web").unwrap(), web);
        assert_eq!(asked("two").unwrap(), (texts(&[]), texts(&["web"]), texts(&["web/two"])));
        let one = (texts(&[]), texts(&["web", "api"]), texts(&["web/one", "api/one"]));
        assert_eq!(asked("10.0.0.11").unwrap(), one);
        assert_eq!(asked("api/one").unwrap(), (texts(&[]), texts(&["api"]), texts(&["api/one"])));
        assert_eq!(asked("two\nhttp").unwrap(), web);
        let unknown = asked("web\nb9").unwrap_err();
        assert!(unknown.contains("no member is called \"b9\""), "{unknown}");
        assert!(asked(&"web\n".repeat(65)).is_err());
    }
}
