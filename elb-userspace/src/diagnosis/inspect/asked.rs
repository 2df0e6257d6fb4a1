//! What a backend server is asked about.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backend::Mode;
use crate::model::transport::TransportProtocol;

/// The question: what a load balancer sends to this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InspectRequest {
    /// The transport protocol of the service.
    pub protocol: TransportProtocol,
    /// The port that is probed; none, if the question is about no service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Where probes come from: the load balancer's addresses.
    #[serde(default)]
    pub from: Vec<IpAddr>,
    /// This host's addresses as the load balancer knows them; empty: those that answers to probes
    /// would have.
    #[serde(default)]
    pub to: Vec<IpAddr>,
    /// The virtual addresses that it is to serve; empty: those that `elb backend up` recorded.
    #[serde(default)]
    pub vips: Vec<IpAddr>,
    /// How packets come from the load balancer; none: as `elb backend up` recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// The outer sources of packets that come in tunnels: the load balancers' addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outer: Vec<IpAddr>,
    /// Clients that answers must find their way to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clients: Vec<IpAddr>,
    /// Whether probes go to this host's own addresses alone (`probe_path = "direct"`), so that what
    /// they meet there decides although traffic goes to virtual ones.
    #[serde(default)]
    pub direct: bool,
}

impl InspectRequest {
    /// The addresses that packets of the service have as their destination.
    pub fn targets(&self) -> Vec<IpAddr> {
        self.to.iter().chain(&self.vips).copied().collect()
    }

    /// Whether packets of this version of IP are asked about: of both, if no address was given.
    pub(super) fn speaks(&self, v6: bool) -> bool {
        let all = if self.from.is_empty() { self.targets() } else { self.from.clone() };
        all.is_empty() || all.iter().any(|address| address.is_ipv6() == v6)
    }

    /// Whether traffic, and the probes that decide, go elsewhere: to virtual addresses.
    pub(super) fn is_spare(&self, target: IpAddr) -> bool {
        !self.direct && !self.vips.is_empty() && !self.vips.contains(&target)
    }
}
