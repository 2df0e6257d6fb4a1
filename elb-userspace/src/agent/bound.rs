//! Which load balancers have or had an address. The members behind a listener that no client could ever
//! reach count as unhealthy there, as in the V3 API: binding an address heals them, and when it is
//! taken away later, they stay as they are.

use std::collections::BTreeSet;

use crate::model::{LoadBalancer, Model};

/// Load balancers that have or had an address, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bound(BTreeSet<String>);

impl Bound {
    /// Goes on from what an earlier agent knew.
    pub(super) const fn new(names: BTreeSet<String>) -> Self {
        Self(names)
    }

    /// Their names.
    pub(super) const fn names(&self) -> &BTreeSet<String> {
        &self.0
    }

    /// Follows a model; load balancers that it lacks are forgotten.
    pub(super) fn follow(&mut self, model: &Model) {
        let had = |lb: &&LoadBalancer| !self.never_was(lb);
        let names = model.load_balancers().iter().filter(had).map(|lb| lb.name.to_string());
        self.0 = names.collect();
    }

    /// Whether a load balancer never had an address.
    pub(super) fn never_was(&self, lb: &LoadBalancer) -> bool {
        lb.vips().next().is_none() && !self.0.contains(lb.name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file;

    fn model(address: &str) -> Model {
        let text = format!(
            "[agent]\ninterfaces = [\"eth0\"]\n[[load_balancer]]\nname = \"lb\"\n{address}\n"
        );
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
        let mut next = Bound::new(bound.names().clone());
        next.follow(&without);
        assert_eq!(next, bound, "across a restart");
        next.follow(&Model::default());
        next.follow(&without);
        assert!(next.never_was(&without.load_balancers()[0]), "another one of that name");
    }
}
