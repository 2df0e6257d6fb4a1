//! Members whose packets would leave by an interface without the program: noticed, logged, and a problem.

use std::net::IpAddr;

use super::core::{Core, addresses};
use crate::control::network::UnservedWay;
use crate::diagnosis::way_out;

impl Core {
    /// Compares the ways to members with the interfaces that are served.
    pub(super) fn look_for_unserved_ways(&mut self) {
        let found = self.unserved_ways();
        let before = std::mem::replace(&mut self.host.unserved, found);
        let has = |all: &[UnservedWay], one: &UnservedWay| {
            all.iter().any(|other| other.interface == one.interface)
        };
        for way in self.host.unserved.iter().filter(|way| !has(&before, way)) {
            tracing::warn!(fix = way_out::fix(way), "{}", way_out::what(way));
        }
        for way in before.iter().filter(|way| !has(&self.host.unserved, way)) {
            tracing::info!(
                interface = way.interface,
                "no member is behind this unserved interface any more"
            );
        }
    }

    fn unserved_ways(&self) -> Vec<UnservedWay> {
        let (host, wanted) = (&self.host, &self.config.agent.interfaces);
        let is_served = |index: u32, name: &str| {
            // One that is to carry the program and does not is a problem of its own.
            host.attachments.iter().any(|one| one.index == index)
                || wanted.iter().any(|one| one == name)
        };
        self.network.unserved_ways(addresses(&self.config.model), is_served)
    }

    /// The unserved interface that packets to a member would leave by, if it is one.
    pub(super) fn unserved_way(&self, member: IpAddr) -> Option<&UnservedWay> {
        self.host.unserved.iter().find(|way| way.members.contains(&member))
    }

    /// The unserved interfaces, in the words of the status.
    pub(super) fn unserved_problems(&self) -> Vec<String> {
        let text = |way| format!("{}; fix: {}", way_out::what(way), way_out::fix(way));
        self.host.unserved.iter().map(text).collect()
    }
}
