//! The ways back to clients, where a pool's members answer through this host.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::core::Core;
use crate::control::network::ClientWays;
use crate::control::network::client_hops::ClientHops;
use crate::control::network::client_routes::MOST_CLIENT_ROUTES;
use crate::model::{Forwarding, Model};

impl Core {
    /// Whether answers of some members are translated, also of those that are removed and serve the flows that
    /// they have.
    pub(super) fn translates(&self) -> bool {
        let assigned = self.serving.reconciler.assignments.pools.values();
        let mut forwarding = assigned.map(|pool| pool.forwarding);
        translates(&self.config.model) || forwarding.any(Forwarding::translates)
    }

    /// The interfaces that ways to clients may leave by, if such ways are wanted.
    pub(super) fn wanted_clients(&self, translates: bool) -> Option<BTreeSet<u32>> {
        translates.then(|| self.host.attachments.iter().map(|one| one.index).collect())
    }

    /// The ways to clients. Until they are known, those in the maps.
    pub(super) fn client_hops(&self) -> Arc<ClientHops> {
        match &self.network.clients {
            _ if !self.translates() => Arc::default(),
            Some(ways) => ways.hops.clone(),
            None => self.serving.observed.clients.clone(),
        }
    }

    /// What keeps answers to clients from going as the kernel would send them.
    pub(super) fn client_problems(&self) -> Vec<String> {
        let ways = self.network.clients.as_deref().filter(|_| self.translates());
        ways.map_or_else(Vec::new, problems)
    }
}

/// Whether a model has pools whose members answer through this host.
pub(super) fn translates(model: &Model) -> bool {
    model.pools().iter().any(|pool| pool.forwarding.translates())
}

/// What of these ways is not as the kernel would have it.
fn problems(ways: &ClientWays) -> Vec<String> {
    let versions = [("IPv4", ways.left_out[0]), ("IPv6", ways.left_out[1])];
    let full = versions.into_iter().filter(|(_, left_out)| *left_out > 0);
    let full = full.map(|(version, left_out)| {
        format!(
            "the routes to {version} clients take {left_out} entries more than the {MOST_CLIENT_ROUTES} \
             that there is room for: the kernel forwards what is for some of them, which takes longer"
        )
    });
    let rules = (!ways.other_rules.is_empty()).then(|| {
        format!(
            "the host has routing rules of its own ({}), but answers to clients of pools with \
             translation follow the main routing table only; see `ip rule`",
            ways.other_rules.join(", ")
        )
    });
    full.chain(rules).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_would_do_otherwise_is_a_problem() {
        assert_eq!(problems(&ClientWays::default()), Vec::<String>::new());
        let other_rules = vec!["IPv4 with priority 500".to_owned()];
        let found =
            problems(&ClientWays { left_out: [0, 7], other_rules, ..ClientWays::default() });
        assert_eq!(found.len(), 2);
        assert!(found[0].contains("IPv6 clients take 7 entries more than the 32768"), "{found:?}");
        assert!(found[1].contains("(IPv4 with priority 500)"), "{found:?}");
    }
}
