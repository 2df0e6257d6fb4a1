//! Which load balancers have or had an address. The members behind a listener that no client could ever
//! reach count as unhealthy there, as in the V3 API: binding an address heals them, and when it is
//! taken away later, they stay as they are.

use std::collections::BTreeSet;

use crate::model::{LoadBalancer, Model, ResourceId};

/// Load balancers that have or had an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::agent) struct Bound(BTreeSet<ResourceId>);

impl Bound {
    /// Goes on from what an earlier agent knew.
    pub(in crate::agent) const fn new(ids: BTreeSet<ResourceId>) -> Self {
        Self(ids)
    }

    /// Their ids.
    pub(in crate::agent) const fn ids(&self) -> &BTreeSet<ResourceId> {
        &self.0
    }

    /// Follows a model; load balancers that it lacks are forgotten.
    pub(in crate::agent) fn follow(&mut self, model: &Model) {
        let had = |lb: &&LoadBalancer| !self.never_was(lb);
        let ids = model.load_balancers().iter().filter(had).map(|lb| lb.id);
        self.0 = ids.collect();
    }

    /// Whether a load balancer never had an address.
    pub(in crate::agent) fn never_was(&self, lb: &LoadBalancer) -> bool {
        // Until it got an id in the file, it had the one that follows from its name.
        let ids = || [lb.id, ResourceId::of_load_balancer(lb.name.as_str())];
        lb.vips().next().is_none() && !ids().iter().any(|id| self.0.contains(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file;

    fn model(address: &str) -> Model {
        called("name = \"lb\"", address)
    }

    fn called(name: &str, address: &str) -> Model {
        let text =
            format!("[agent]\ninterfaces = [\"eth0\"]\n[[load_balancer]]\n{name}\n{address}\n");
        file::parse("test", &text).unwrap().model
    }

    #[test]
    fn an_address_is_remembered_when_it_is_taken_away() {
        let (without, with) = (model(""), model("vip_address = \"192.0.2.1\""));
        let mut bound = Bound::default();
        bound.follow(&without);
        assert!(bound.never_was(&without.load_balancers()[0]));
        bound.follow(&with);
        bound.follow(&without);
        assert!(!bound.never_was(&without.load_balancers()[0]));
        let mut next = Bound::new(bound.ids().clone());
        next.follow(&without);
        assert_eq!(next, bound, "across a restart");
        next.follow(&Model::default());
        next.follow(&without);
        assert!(next.never_was(&without.load_balancers()[0]), "another one of that name");
    }

    #[test]
    fn a_load_balancer_with_an_id_may_be_called_otherwise() {
        let id = "id = \"1b4e28ba-2fa1-4d3b-a3f5-ef19b5a7633b\"\nname = ";
        let mut bound = Bound::default();
        bound.follow(&model("vip_address = \"192.0.2.1\""));
        for name in ["\"lb\"", "\"other\""] {
            let model = called(&format!("{id}{name}"), "");
            bound.follow(&model);
            assert!(!bound.never_was(&model.load_balancers()[0]), "{name}");
        }
    }
}
