//! Where packets in tunnels come from: backend servers take them only from addresses that they know, so that
//! another one is logged.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::core::Core;

impl Core {
    /// Logs the sources of packets that are others than before.
    pub(super) fn note_sources(&mut self) {
        let agent = &self.config.agent;
        let is_fixed = |member: &IpAddr| match member {
            IpAddr::V4(_) => agent.encap_source.is_some(),
            IpAddr::V6(_) => agent.encap_source_ipv6.is_some(),
        };
        let pools = self.config.model.pools().iter();
        let members = pools
            .filter(|pool| pool.forwarding.is_tunnel())
            .flat_map(|pool| pool.members.iter().map(|member| member.address))
            .filter(|member| !is_fixed(member));
        let members: BTreeSet<IpAddr> = members.collect();
        for ((before, now), members) in self.host.sources.note(members, &self.network) {
            tracing::warn!(
                members,
                "packets in tunnels come from {now} now, and no longer from {before}: --from of `elb \
                 backend up` on the backend servers must include {now}, or set encap_source in [agent]"
            );
        }
    }
}
