//! `[snat]`: what members see in the place of clients' addresses.

use serde::Serialize;

use crate::address::{Family, Host, Network};

/// What members see in the place of clients' addresses where a pool forwards by `fullnat`.
#[derive(Clone, Debug, Serialize)]
pub struct SourceAddresses {
    /// A prefix of IPv4.
    pub v4: String,
}

impl SourceAddresses {
    /// On the segment of the backends, where no host has them.
    pub fn of_backends() -> Self {
        let lb = Network::Back.address(Family::V4, Host::LoadBalancer).to_string();
        let network = lb.trim_end_matches(|last| last != '.');
        Self { v4: format!("{network}208/28") }
    }
}

/// A prefix for clients of pools that forward by `nat46`: no network of a lab has it, and members need a route to it.
pub fn client_prefix() -> String {
    "2001:db8:64:46::/64".to_owned()
}
