//! Virtual addresses that are this host's own: found at a start, at a reload, and when one appears later.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::core::{Core, source_addresses};
use super::state::OwnAddresses;
use crate::agent::saved::Folder;
use crate::control::network::{Network, Route};
use crate::model::{LoadBalancer, Model};
use crate::source::file::{self, Config, Errors, Host, SourceText};

/// A file's text, for this host: a listener that takes what the host needs is left out, unless the
/// agent before served it.
pub(super) fn read_for_this_host(source: &SourceText) -> (Option<Config>, Errors) {
    let (config, errors) = file::parse_source(source, &Host::default());
    let Some(config) = config else { return (None, errors) };
    let before = Folder::of(&config.agent).read_any_numbers();
    let before = before.map(|numbers| numbers.assignments).unwrap_or_default();
    let places = before.listeners.values().map(|listener| &listener.place);
    let served = places
        .flat_map(|place| place.addresses.iter().map(|address| (*address, place.ports.clone())));
    file::parse_source(source, &Host { served: served.collect(), ..Host::look() })
}

/// This host, which serves the listeners of a model.
fn host(model: &Model) -> Host {
    let all = model
        .load_balancers()
        .iter()
        .flat_map(|lb| lb.listeners.iter().flat_map(|one| lb.vips().map(|vip| (vip, one.place()))));
    Host { served: all.collect(), ..Host::look() }
}

impl Core {
    /// This host, for a file that is to take the place of the present one.
    pub(super) fn host(&self) -> Host {
        host(&self.config.model)
    }

    /// Looks for virtual addresses that became this host's own, or no longer are.
    pub(super) fn look_for_own_addresses(&mut self) {
        let model = &self.config.model;
        let addresses = model.client_prefix().map(|_| file::own_addresses()).unwrap_or_default();
        let found = own(model, &self.network, &addresses);
        if found == self.host.own_addresses.found {
            return;
        }
        let problems = problems(&self.config.model, &found, &host(&self.config.model));
        for problem in problems.iter().filter(|one| !self.host.own_addresses.problems.contains(one))
        {
            tracing::warn!("{problem}");
        }
        self.host.own_addresses = OwnAddresses { found, problems };
    }

    /// As [`Self::look_for_own_addresses`], after the model changed.
    pub(super) fn look_again_for_own_addresses(&mut self) {
        self.host.own_addresses.found.clear();
        self.look_for_own_addresses();
        if self.host.own_addresses.found.is_empty() {
            self.host.own_addresses.problems.clear();
        }
    }
}

/// Of the addresses that are to be of no host, those that are of this one, which has these `addresses`.
fn own(model: &Model, network: &Network, addresses: &BTreeSet<IpAddr>) -> BTreeSet<IpAddr> {
    let vips = model.load_balancers().iter().flat_map(LoadBalancer::vips);
    let local = vips
        .chain(source_addresses(model))
        .filter(|vip| network.routes.get(vip) == Some(&Route::Local));
    let in_prefix =
        |address: &&IpAddr| model.client_prefix().is_some_and(|one| one.holds(**address));
    local.chain(addresses.iter().filter(in_prefix).copied()).collect()
}

/// In words, by load balancer.
fn problems(model: &Model, found: &BTreeSet<IpAddr>, host: &Host) -> Vec<String> {
    let all = model.load_balancers().iter();
    let all = all.flat_map(|lb| lb.vips().map(move |vip| (lb, vip)));
    let own = all.filter(|(_, vip)| found.contains(vip));
    let own = own.map(|(lb, vip)| {
        let taken = host.taken_by(lb, vip).map_or_else(String::new, |taken| format!("; {taken}"));
        format!(
            "load balancer {:?}: {vip} is an address of this host as well: members that have it on \
             their lo do not answer this host, so that probes of them fail{taken}; remove it from \
             this host's interfaces, or use another virtual address",
            lb.name.as_str()
        )
    });
    let sources = source_addresses(model).filter(|address| found.contains(address));
    let sources = sources.map(|address| {
        format!(
            "[snat]: {address} is an address of this host as well: connections that this host opens from it, and \
             those of pools with fullnat, may get each other's answers; remove it from this host's interfaces, or \
             use another prefix"
        )
    });
    let in_prefix =
        |address: &&IpAddr| model.client_prefix().is_some_and(|one| one.holds(**address));
    let in_prefix = found.iter().filter(in_prefix).map(|address| {
        format!(
            "[snat]: {address} is an address of this host, in the prefix v6: what members answer to that address is not \
             translated, and hosts of the prefix have no clients' addresses; remove it from this host's interfaces, or \
             use another prefix"
        )
    });
    own.chain(sources).chain(in_prefix).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn model() -> Model {
        let text = "[agent]\ninterfaces = [\"eth0\"]\n[[load_balancer]]\nname = \"lb\"\n\
             vip_address = \"10.0.0.100\"\n[[load_balancer.listener]]\nname = \"all\"\n\
             protocol = \"TCP\"\nprotocol_port = 0\ndefault_pool = \"web\"\n[[pool]]\n\
             name = \"web\"\nprotocol = \"TCP\"\nforwarding = \"ipip\"\nany_port_enable = true\n";
        file::parse("test", text).unwrap().model
    }

    #[test]
    fn an_address_that_appears_is_said_with_what_it_takes() {
        let vip = IpAddr::from([10, 0, 0, 100]);
        let mut network = Network::default();
        assert_eq!(own(&model(), &network, &BTreeSet::new()), BTreeSet::new());
        network.routes.insert(vip, Route::None);
        assert_eq!(own(&model(), &network, &BTreeSet::new()), BTreeSet::new());
        network.routes.insert(vip, Route::Local);
        let found = own(&model(), &network, &BTreeSet::new());
        let said = problems(&model(), &found, &Host::default());
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("10.0.0.100 is an address of this host as well"), "{said:?}");
        assert!(said[0].contains("listener \"all\" takes every connection"), "{said:?}");
    }

    #[test]
    fn a_source_address_that_appears_is_said() {
        let text = "[agent]\ninterfaces = [\"eth0\"]\n[snat]\nv4 = \"10.0.0.16/30\"\n";
        let model = file::parse("test", text).unwrap().model;
        let mut network = Network::default();
        network.routes.insert(IpAddr::from([10, 0, 0, 17]), Route::Local);
        network.routes.insert(IpAddr::from([10, 0, 0, 18]), Route::None);
        let said = problems(&model, &own(&model, &network, &BTreeSet::new()), &Host::default());
        assert_eq!(said.len(), 1);
        assert!(said[0].contains("[snat]: 10.0.0.17 is an address of this host"), "{said:?}");
    }

    #[test]
    fn an_address_in_the_prefix_of_clients_is_said() {
        let text = "[agent]\ninterfaces = [\"eth0\"]\n[snat]\nv6 = \"2001:db8:1:64::/64\"\n";
        let model = file::parse("test", text).unwrap().model;
        let addresses = ["2001:db8:1:63::1", "2001:db8:1:64::1"].map(|one| one.parse().unwrap());
        let found = own(&model, &Network::default(), &addresses.into());
        let said = problems(&model, &found, &Host::default());
        assert_eq!(said.len(), 1);
        assert!(
            said[0].contains("2001:db8:1:64::1 is an address of this host, in the prefix"),
            "{said:?}"
        );
    }
}
