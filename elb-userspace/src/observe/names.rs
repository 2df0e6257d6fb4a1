//! What the numbers in the maps are called.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::control::assign::{AssignedMember, Assignments};
use crate::model::select::{self, Label, ResourceKind};
use crate::model::{Member, MemberRef, Model, ResourceId};

/// A backend of the maps, and the member that it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackendMember {
    /// Its number in the maps.
    pub number: u16,
    /// The member; none: nothing has the number any more.
    #[serde(flatten)]
    pub member: Option<MemberRef>,
    /// Whether it was removed and only serves the flows that it has.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub removed: bool,
    /// Whether it is a backup member of its pool.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub backup: bool,
}

impl BackendMember {
    /// The member's name, or else the number.
    pub fn name(&self) -> String {
        self.member.as_ref().map_or_else(|| format!("#{}", self.number), |one| one.name.clone())
    }

    /// The name of its pool; empty if that is not known.
    pub fn pool(&self) -> &str {
        self.member.as_ref().map_or("", |one| one.pool.as_str())
    }

    /// Address and port, if they are known.
    pub fn socket(&self) -> Option<SocketAddr> {
        self.member.as_ref().map(MemberRef::socket)
    }
}

/// Names of all numbers, as they are at one moment.
#[derive(Clone, Debug, Default)]
pub struct Names {
    listeners: BTreeMap<u16, Named>,
    pools: BTreeMap<u16, Named>,
    ip_groups: BTreeMap<u16, String>,
    members: BTreeMap<u16, BackendMember>,
    interfaces: BTreeMap<u32, String>,
}

/// A listener or a pool.
#[derive(Clone, Debug)]
struct Named {
    id: ResourceId,
    name: String,
    /// The load balancer of a listener, if there is one.
    within: Option<(ResourceId, String)>,
}

impl Names {
    /// The names that a model and its numbers give, and those of interfaces.
    pub fn new(
        model: &Model,
        assignments: &Assignments,
        interfaces: BTreeMap<u32, String>,
    ) -> Self {
        let pools = assignments
            .pools
            .iter()
            .map(|(id, pool)| (pool.id, Named { id: *id, name: pool.name.clone(), within: None }));
        let ip_groups = assignments.ip_groups.values().map(|group| (group.id, group.name.clone()));
        let members = assignments.pools.iter().flat_map(|(pool, assigned)| {
            let known = model.pool_with(*pool).into_iter().flat_map(|pool| &pool.members);
            let known: HashMap<_, _> = known.map(|one| (one.socket(), one)).collect();
            let member = move |number: &AssignedMember| {
                let known = known.get(&number.socket()).copied().filter(|_| !number.removed);
                (number.id, member((*pool, &assigned.name), number, known))
            };
            assigned.members.iter().map(member)
        });
        Self {
            listeners: listeners(model, assignments),
            pools: pools.collect(),
            ip_groups: ip_groups.collect(),
            members: members.collect(),
            interfaces,
        }
    }

    /// The listener with this number.
    pub fn listener(&self, id: u16) -> String {
        self.listeners.get(&id).map_or_else(|| format!("#{id}"), |one| one.name.clone())
    }

    /// Which resource the listener with this number is.
    pub fn listener_id(&self, id: u16) -> Option<ResourceId> {
        self.listeners.get(&id).map(|one| one.id)
    }

    /// The number of the listener that a text names.
    ///
    /// # Errors
    /// There is none, or more than one: the message says which there are.
    pub fn select_listener(&self, text: &str) -> Result<u16, String> {
        let labels =
            self.listeners.iter().map(|(number, one)| (one.label(ResourceKind::Listener), *number));
        select::one("listener", text, labels)
    }

    /// The pool with this number.
    pub fn pool(&self, id: u16) -> String {
        self.pools.get(&id).map_or_else(|| format!("#{id}"), |one| one.name.clone())
    }

    /// The IP group with this number.
    pub fn ip_group(&self, id: u16) -> String {
        self.ip_groups.get(&id).cloned().unwrap_or_else(|| format!("#{id}"))
    }

    /// The backend with this number.
    pub fn member(&self, id: u16) -> BackendMember {
        let unknown = || BackendMember { number: id, member: None, removed: false, backup: false };
        self.members.get(&id).cloned().unwrap_or_else(unknown)
    }

    /// The interface with this index.
    pub fn interface(&self, index: u32) -> String {
        self.interfaces.get(&index).cloned().unwrap_or_else(|| format!("#{index}"))
    }

    /// The numbers of the backends that a text names, and of those of the pool that one names, each if it
    /// is asked for.
    ///
    /// # Errors
    /// There is none: the message says which there are.
    pub fn select(&self, text: Option<&str>, pool: Option<&str>) -> Result<BTreeSet<u16>, String> {
        if let Some(pool) = pool {
            let mut pools: Vec<&Named> = self.pools.values().collect();
            pools.sort_by_key(|one| &one.name);
            select::all(
                "pool",
                pool,
                pools.into_iter().map(|one| (one.label(ResourceKind::Pool), ())),
            )?;
        }
        let members = self.members.iter();
        let members =
            members.filter_map(|(number, one)| Some((one.member.as_ref()?.label(), *number)));
        let mut of_pool =
            members.filter(|(label, _)| pool.is_none_or(|pool| label.is_within(pool)));
        let Some(text) = text else { return Ok(of_pool.map(|(_, number)| number).collect()) };
        let what = pool.map_or("member".to_owned(), |pool| format!("member of pool {pool:?}"));
        Ok(select::all(&what, text, &mut of_pool)?.into_iter().collect())
    }
}

impl Named {
    fn label(&self, kind: ResourceKind) -> Label<'_> {
        let within = self.within.as_ref().map(|(id, name)| (Some(*id), name.as_str()));
        Label { kind, id: Some(self.id), name: Some(&self.name), within, socket: None }
    }
}

/// Listeners by number, each with its load balancer.
fn listeners(model: &Model, assignments: &Assignments) -> BTreeMap<u16, Named> {
    let balancers: HashMap<ResourceId, _> =
        model.listeners().map(|(lb, one)| (one.id, (lb.id, lb.name.to_string()))).collect();
    let named = assignments.listeners.iter().map(|(id, one)| {
        let within = balancers.get(id).cloned();
        (one.id, Named { id: *id, name: one.name.clone(), within })
    });
    named.collect()
}

fn member(
    (pool, pool_name): (ResourceId, &str),
    number: &AssignedMember,
    known: Option<&Member>,
) -> BackendMember {
    let (pool, id) = ((Some(pool), pool_name), Some(number.resource(pool)));
    let name = known.map(|known| known.name.as_str());
    BackendMember {
        number: number.id,
        member: Some(MemberRef::new(pool, id, name, number.socket())),
        removed: number.removed,
        backup: known.is_some_and(|known| known.backup),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::assign::{AssignedListener, AssignedPool, AssignedRing};
    use crate::control::ring::shape::Shape;

    fn names() -> Names {
        let mut assignments = Assignments::default();
        let member = |id, last, removed| AssignedMember {
            removed,
            ..AssignedMember::new(id, ([10, 0, 0, last], 80).into())
        };
        let ring = AssignedRing { base: 0, shape: Shape { size: 5, ..Shape::default() } };
        let mut adopt = |name: &str, id, members| {
            let name = name.to_owned();
            let pool = AssignedPool { name, members, ..AssignedPool::new(id, ring, 0) };
            assignments.adopt(ResourceId::of_pool(&pool.name), pool);
        };
        adopt("web", 3, vec![member(1, 11, false), member(2, 12, true)]);
        adopt("api", 4, vec![member(5, 11, false)]);
        let (id, name) = (7, "https".to_owned());
        let listener = AssignedListener { id, name, pool: 4, ..Default::default() };
        let resource = ResourceId::of_listener(ResourceId::of_load_balancer("lb"), "https");
        assignments.listeners.insert(resource, listener);
        assignments.ip_group(ResourceId::of_ip_group("other"), "other");
        assignments.ip_group(ResourceId::of_ip_group("office"), "office");
        Names::new(&Model::default(), &assignments, [(9, "eth0".to_owned())].into())
    }

    #[test]
    fn numbers_have_names_and_unknown_ones_are_shown() {
        let names = names();
        assert_eq!((names.listener(7), names.listener(8)), ("https".to_owned(), "#8".to_owned()));
        assert_eq!(names.select_listener("https"), Ok(7));
        let wrong = names.select_listener("http").unwrap_err();
        assert!(
            wrong.starts_with("no listener is called \"http\"; there are: https; write"),
            "{wrong}"
        );
        assert_eq!((names.ip_group(1), names.ip_group(7)), ("office".to_owned(), "#7".to_owned()));
        assert_eq!((names.pool(3), names.interface(9)), ("web".to_owned(), "eth0".to_owned()));
        assert_eq!(names.member(2).name(), "10.0.0.12:80");
        assert!(names.member(2).removed);
        assert_eq!((names.member(6).name(), names.member(6).socket()), ("#6".to_owned(), None));
    }

    #[test]
    fn members_are_selected_by_address_and_pool() {
        let names = names();
        let at = Some;
        assert_eq!(names.select(None, None), Ok([1, 2, 5].into()));
        assert_eq!(names.select(at("10.0.0.11"), None), Ok([1, 5].into()));
        assert_eq!(names.select(at("10.0.0.11:80"), Some("api")), Ok([5].into()));
        let named = names.member(5).name();
        assert_eq!(names.select(Some(&named), Some("api")), Ok([5].into()), "{named}");
        let wrong = names.select(at("10.0.0.12"), Some("api")).unwrap_err();
        let said = "no member of pool \"api\" is called \"10.0.0.12\", or has it as its address; there \
                    are: api/10.0.0.11:80; write";
        assert!(wrong.starts_with(said), "{wrong}");
        let wrong = names.select(None, Some("wbe")).unwrap_err();
        assert!(wrong.starts_with("no pool is called \"wbe\"; there are: "), "{wrong}");
        let api = ResourceId::of_pool("api").to_string();
        assert_eq!(names.select(None, Some(&api)), Ok([5].into()));
        assert_eq!(names.select(at("api/10.0.0.11"), None), Ok([5].into()));
    }
}
