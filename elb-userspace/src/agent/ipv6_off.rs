//! IPv6 that is switched off on an interface, and so members that no packet gets to: logged, and a problem.

use super::core::{Core, addresses};
use crate::control::network::Unreachable;
use crate::diagnosis::way_out;
use crate::kernel::net::ipv6;

impl Core {
    /// Served interfaces on which it is switched off.
    pub(super) fn interfaces_without_ipv6(&self) -> Vec<String> {
        let names = self.host.attachments.iter().map(|one| one.interface.clone());
        names.filter(|name| ipv6::is_off(name)).collect()
    }

    /// Looks whether members are without a route for it.
    pub(super) fn look_for_ipv6_off(&mut self) {
        let found = self.ipv6_off();
        let before = std::mem::replace(&mut self.host.ipv6_off, found);
        match (&before, &self.host.ipv6_off) {
            (None, Some((what, fix))) => tracing::warn!(fix, "{what}"),
            (Some(_), None) => tracing::info!("members of IPv6 have routes again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    fn ipv6_off(&self) -> Option<(String, String)> {
        let is_cut_off =
            |address| matches!(self.network.next_hop(address), Err(Unreachable::NoRoute { .. }));
        let members = addresses(&self.config.model);
        let members = members.into_iter().filter(|one| one.is_ipv6() && is_cut_off(*one)).count();
        let interfaces = if members == 0 { Vec::new() } else { self.interfaces_without_ipv6() };
        (!interfaces.is_empty()).then(|| {
            let off = way_out::ipv6_off(&interfaces);
            (format!("{off}, and {members} members have no route"), way_out::ipv6_fix(&interfaces))
        })
    }
}
