//! A file with errors removes nothing: what is wrong in it, or missing, is served as the last good
//! configuration has it.

use super::Model;
use crate::model::{Forwarding, Listener, LoadBalancer, Pool, SnatPrefixes};

/// What of a model came from where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// What is to be served.
    pub model: Model,
    /// The objects that the last good configuration gave, as in `pool "web"`.
    pub kept: Vec<String>,
}

/// What is right in a file that has errors, and everything else as in the last good model. Where these do not
/// go together, the last good model alone.
pub fn fill(right: &Model, good: &Model) -> Filled {
    let mut kept = Vec::new();
    let mut pools: Vec<Pool> =
        right.pools().iter().map(|pool| filled(pool, good, &mut kept)).collect();
    for pool in good.pools() {
        if right.pool(&pool.name).is_none() && right.pool_with(pool.id).is_none() {
            kept.push(format!("pool {:?}", pool.name.as_str()));
            pools.push(pool.clone());
        }
    }
    let mut groups = right.ip_groups().to_vec();
    for group in good.ip_groups() {
        if groups.iter().all(|other| other.name != group.name && other.id != group.id) {
            kept.push(format!("IP group {:?}", group.name.as_str()));
            groups.push(group.clone());
        }
    }
    let balancers = balancers(right, good, &mut kept);
    let snat = snat(&pools, right.snat(), good.snat());
    match Model::new(balancers, pools, groups, snat) {
        Ok(model) => Filled { model, kept },
        Err(_) => Filled { model: good.clone(), kept: vec!["everything".to_owned()] },
    }
}

/// Those that are right, or of before, if [snat] is missing or wrong and pools of before need them.
fn snat(pools: &[Pool], right: SnatPrefixes, good: SnatPrefixes) -> SnatPrefixes {
    let needs = |has: fn(Forwarding) -> bool| pools.iter().any(|pool| has(pool.forwarding));
    SnatPrefixes {
        v4: right.v4.or_else(|| good.v4.filter(|_| needs(Forwarding::hides_clients))),
        v6: right.v6.or_else(|| good.v6.filter(|_| needs(Forwarding::embeds_clients))),
    }
}

/// A pool that is right; without members, which may be in a file that cannot be read, as it was.
fn filled(pool: &Pool, good: &Model, kept: &mut Vec<String>) -> Pool {
    let was = good.pool_with(pool.id).or_else(|| good.pool(&pool.name));
    match was.filter(|was| pool.members.is_empty() && !was.members.is_empty()) {
        Some(was) => {
            kept.push(format!("pool {:?}", pool.name.as_str()));
            Pool { name: pool.name.clone(), ..was.clone() }
        }
        None => pool.clone(),
    }
}

/// Those that are right, and the load balancers and listeners that these lack.
fn balancers(right: &Model, good: &Model, kept: &mut Vec<String>) -> Vec<LoadBalancer> {
    let mut balancers = right.load_balancers().to_vec();
    let is_present = |listener: &Listener| {
        right.listeners().any(|(_, one)| one.name == listener.name || one.id == listener.id)
    };
    for lb in good.load_balancers() {
        let mut missing = lb.clone();
        missing.listeners.retain(|listener| !is_present(listener));
        for listener in &mut missing.listeners {
            kept.push(format!("listener {:?}", listener.name.as_str()));
            follow_names(listener, right, good);
        }
        match balancers.iter_mut().find(|other| other.name == lb.name || other.id == lb.id) {
            Some(other) => other.listeners.append(&mut missing.listeners),
            None => {
                kept.push(format!("load balancer {:?}", lb.name.as_str()));
                balancers.push(missing);
            }
        }
    }
    balancers
}

/// What is right may call the pools of a listener otherwise.
fn follow_names(listener: &mut Listener, right: &Model, good: &Model) {
    for name in std::iter::once(&mut listener.default_pool).chain(&mut listener.fallback_pool) {
        let id = good.pool(name).map(|pool| pool.id);
        if right.pool(name).is_none()
            && let Some(pool) = id.and_then(|id| right.pool_with(id))
        {
            *name = pool.name.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{parse, parse_lenient};
    use super::*;

    fn text(pools: &[(&str, u16, u8)]) -> String {
        let mut text = "[agent]\ninterfaces = [\"eth0\"]\n[[load_balancer]]\nname = \"lb\"\n\
                        vip_address = \"192.0.2.1\"\n"
            .to_owned();
        for (name, port, _) in pools {
            text += &format!(
                "[[load_balancer.listener]]\nname = \"{name}\"\nprotocol = \"TCP\"\n\
                 protocol_port = {port}\ndefault_pool = \"{name}\"\n"
            );
        }
        for (name, port, weight) in pools {
            text += &format!(
                "[[pool]]\nname = \"{name}\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\n\
                 [[pool.member]]\naddress = \"10.0.0.1\"\nprotocol_port = {port}\nweight = {weight}\n"
            );
        }
        text
    }

    fn good(pools: &[(&str, u16, u8)]) -> Model {
        parse("good", &text(pools)).unwrap().model
    }

    fn lenient(pools: &[(&str, u16, u8)]) -> Model {
        let (config, errors) = parse_lenient("wrong", &text(pools));
        assert!(errors.has_errors());
        config.unwrap().model
    }

    /// One file of several cannot be read, and another one has a pool of the same name.
    #[test]
    fn a_pool_does_not_lose_all_members() {
        let was = good(&[("web", 80, 1)]);
        let (config, _) = parse_lenient(
            "wrong",
            "[agent]\ninterfaces = [\"eth0\"]\n[[pool]]\nname = \"web\"\nprotocol = \"TCP\"\n\
             forwarding = \"gue\"\n[[pool]]\n",
        );
        let is = config.unwrap().model;
        let filled = fill(&is, &was);
        assert_eq!(filled.kept, ["pool \"web\"", "listener \"web\"", "load balancer \"lb\""]);
        assert_eq!(filled.model.pools(), was.pools());
        // One that had none gets its new settings.
        assert_eq!(fill(&is, &is).kept, [""; 0]);
    }

    #[test]
    fn a_wrong_pool_is_served_as_it_was_and_what_is_right_is_new() {
        let was = good(&[("web", 80, 1), ("dns", 53, 1)]);
        let is = lenient(&[("web", 80, 101), ("dns", 53, 7), ("new", 99, 1)]);
        let filled = fill(&is, &was);
        assert_eq!(filled.kept, ["pool \"web\"", "listener \"web\""]);
        let weight = |name: &str| {
            let mut pools = filled.model.pools().iter();
            pools.find(|pool| pool.name.as_str() == name).map(|pool| pool.members[0].weight.get())
        };
        assert_eq!([weight("web"), weight("dns"), weight("new")], [Some(1), Some(7), Some(1)]);
    }

    #[test]
    fn a_file_with_errors_removes_nothing() {
        let was = good(&[("web", 80, 1), ("dns", 53, 1)]);
        let filled = fill(&lenient(&[("other", 99, 101)]), &was);
        assert_eq!(filled.model, was);
        assert_eq!(fill(&was, &was).kept, Vec::<String>::new());
    }

    /// The port of the wrong pool's listener is another's now.
    #[test]
    fn what_contradicts_the_last_good_model_gives_way() {
        let was = good(&[("web", 80, 1)]);
        let filled = fill(&lenient(&[("api", 80, 1), ("web", 81, 101)]), &was);
        assert_eq!((filled.model, filled.kept), (was, vec!["everything".to_owned()]));
    }
}
