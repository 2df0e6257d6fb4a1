//! What of the status is asked for: everything, what has these names, or what has a problem.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::net::SocketAddr;

use crate::api::shape::status::{self, StatusRequest};
use crate::model::select::ResourceKind;
use crate::model::target::Target;
use crate::model::{Listener, LoadBalancer, Model, Pool, ResourceId};

/// Names that may be asked for at once.
const MOST: usize = 64;

/// What is asked for.
#[derive(Debug)]
pub(super) struct Selection {
    /// What is in each of these; everything, if there are none.
    named: Vec<Named>,
    pub(super) only_problems: bool,
}

/// What has the names.
#[derive(Debug, Default)]
struct Named {
    /// Load balancers, each with all its listeners.
    balancers: BTreeSet<ResourceId>,
    listeners: BTreeSet<ResourceId>,
    /// Pools, each with all its members.
    pools: BTreeSet<ResourceId>,
    /// Members by pool.
    members: HashMap<ResourceId, HashSet<SocketAddr>>,
}

impl Selection {
    /// What a request asks for.
    ///
    /// # Errors
    /// Nothing has a name.
    pub(super) fn of(request: &StatusRequest, model: &Model) -> Result<Self, String> {
        use ResourceKind::{Listener, LoadBalancer, Pool};
        let only_problems = request.problems;
        let kinds = [
            (None, &request.names),
            (Some(LoadBalancer), &request.load_balancers),
            (Some(Listener), &request.listeners),
            (Some(Pool), &request.pools),
        ];
        let count: usize = kinds.iter().map(|(_, names)| names.lines().count()).sum();
        if count > MOST {
            return Err(format!("{count} names were asked for; ask for at most {MOST}"));
        }
        let asked = kinds.into_iter().filter(|(_, names)| !names.is_empty());
        let named = asked.map(|(kind, names)| Named::of(kind, names, model));
        Ok(Self { named: named.collect::<Result<_, _>>()?, only_problems })
    }

    pub(super) fn has_balancer(&self, lb: &LoadBalancer) -> bool {
        self.named.iter().all(|named| named.balancers.contains(&lb.id))
            || lb.listeners.iter().any(|listener| self.has_listener(lb, listener))
    }

    pub(super) fn has_listener(&self, lb: &LoadBalancer, listener: &Listener) -> bool {
        self.named
            .iter()
            .all(|named| named.balancers.contains(&lb.id) || named.listeners.contains(&listener.id))
    }

    /// Whether a pool, or any member of it, is asked for.
    pub(super) fn has_pool(&self, pool: &Pool) -> bool {
        self.named
            .iter()
            .all(|named| named.pools.contains(&pool.id) || named.members.contains_key(&pool.id))
    }

    pub(super) fn has_member(&self, pool: &Pool, member: SocketAddr) -> bool {
        self.named.iter().all(|named| {
            let members = named.members.get(&pool.id);
            named.pools.contains(&pool.id)
                || members.is_some_and(|members| members.contains(&member))
        })
    }

    /// Whether a member is to be shown that looks so.
    pub(super) fn shows(&self, member: &status::MemberStatus) -> bool {
        !self.only_problems || has_problem(member)
    }
}

/// Whether something is wrong with a member.
pub(super) fn has_problem(member: &status::MemberStatus) -> bool {
    let offline = |status: &str| status == "OFFLINE";
    offline(&member.operating_status)
        || member.unreachable.is_some()
        || member.status.iter().any(|at| offline(&at.operating_status))
}

impl Named {
    /// What has names, one a line: each may say what it is, unless all are of one kind.
    fn of(kind: Option<ResourceKind>, names: &str, model: &Model) -> Result<Self, String> {
        let mut named = Self::default();
        for name in names.lines().filter(|name| !name.is_empty()) {
            let name = kind.map_or_else(|| name.to_owned(), |kind| kind.before(name));
            for target in Target::all(model, &name)? {
                named.take(target, model);
            }
        }
        Ok(named)
    }

    /// Takes in what has a name, with what belongs to it.
    fn take(&mut self, target: Target<'_>, model: &Model) {
        match target {
            Target::All => {}
            Target::LoadBalancer(lb) => {
                self.balancers.insert(lb.id);
                lb.listeners.iter().for_each(|listener| self.take_listener(listener, model));
            }
            Target::Listener(_, listener) => self.take_listener(listener, model),
            Target::Pool(pool) => {
                self.pools.insert(pool.id);
                self.listeners.extend(model.listeners_of(&pool.name).map(|(_, one)| one.id));
            }
            Target::Member(pool, member) => {
                self.members.entry(pool.id).or_default().insert(member.socket());
            }
        }
    }

    fn take_listener(&mut self, listener: &Listener, model: &Model) {
        self.listeners.insert(listener.id);
        self.pools.extend(listener.pools().filter_map(|name| Some(model.pool(name)?.id)));
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
        let request = StatusRequest { names: names.to_owned(), ..StatusRequest::default() };
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
    fn what_is_asked_for_in_several_ways_is_in_all_of_them() {
        let model = model();
        let asked = |names: &str, lbs: &str, listeners: &str, pools: &str| {
            let [names, load_balancers, listeners, pools] =
                [names, lbs, listeners, pools].map(str::to_owned);
            let request = StatusRequest {
                names,
                load_balancers,
                listeners,
                pools,
                ..StatusRequest::default()
            };
            let selection = Selection::of(&request, &model)?;
            let all = model.pools().iter().flat_map(|pool| {
                let selection = &selection;
                let members = pool.members.iter();
                members.filter_map(move |one| {
                    let name = format!("{}/{}", pool.name, one.name);
                    selection.has_member(pool, one.socket()).then_some(name)
                })
            });
            Ok::<Texts, String>(all.collect())
        };
        assert_eq!(asked("one", "", "", "web").unwrap(), ["web/one"]);
        assert_eq!(asked("", "lb", "lb/api", "").unwrap(), ["api/one"]);
        assert_eq!(asked("", "", "http", "api").unwrap(), [""; 0]);
        assert_eq!(asked("", "", "", "web\npool:api").unwrap().len(), 3);
        assert!(asked("", "", "", "http").unwrap_err().contains("\"pool:http\""));
        assert!(asked("", "", "", &"web\n".repeat(65)).is_err());
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
        let api_one = (texts(&[]), texts(&["api"]), texts(&["api/one"]));
        assert_eq!(asked("api/one").unwrap(), api_one);
        assert_eq!(asked("member:api/one").unwrap(), api_one);
        assert_eq!(asked("lb/http").unwrap(), web);
        let pool = ResourceId::of_pool("api");
        let member = ResourceId::of_member(pool, SocketAddr::from(([10, 0, 0, 11], 81)));
        assert_eq!(asked(&member.to_string()).unwrap(), api_one);
        assert_eq!(asked(&format!("{pool}/10.0.0.11")).unwrap(), api_one);
        assert_eq!(asked("two\nhttp").unwrap(), web);
        let unknown = asked("web\nb9").unwrap_err();
        assert!(unknown.contains("pool or member is called \"b9\""), "{unknown}");
        assert!(asked(&"web\n".repeat(65)).is_err());
    }
}
