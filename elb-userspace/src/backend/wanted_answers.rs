//! Which answers are to go through which load balancer, as it is asked for and noted.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::service_port::ServicePort;

/// Which answers go through which load balancer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Answers {
    /// The load balancer's address: one of each version of IP that clients have.
    pub via: Vec<IpAddr>,
    /// The ports that answers come from.
    pub ports: Vec<ServicePort>,
}

impl Answers {
    /// What is to be after a command, given what is set up: in addition to that, or in its place.
    pub(super) fn next(before: Option<&Self>, given: &Self, in_place: bool) -> Self {
        let mut next = before.filter(|_| !in_place).cloned().unwrap_or_default();
        next.via.retain(|one| given.via.iter().all(|via| via.is_ipv4() != one.is_ipv4()));
        next.via.extend(&given.via);
        next.via.sort_unstable();
        let new = given.ports.iter().filter(|port| !next.ports.contains(port));
        let new: Vec<ServicePort> = new.copied().collect();
        next.ports.extend(new);
        next
    }

    /// Whether answers of a port are among them.
    pub(crate) fn lead(&self, port: ServicePort) -> bool {
        let covers = |one: &ServicePort| {
            let ends = [port.ports.start_port(), port.ports.end_port()];
            one.protocol == port.protocol && ends.iter().all(|end| one.ports.contains(*end))
        };
        self.ports.iter().any(covers)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.via.is_empty()
    }

    pub(super) fn via(&self, v6: bool) -> Option<IpAddr> {
        self.via.iter().copied().find(|via| via.is_ipv6() == v6)
    }
}
