//! Source addresses, and what the answers to them are translated to.

use std::net::Ipv4Addr;

use elb_common::addr::{Be16, Be32};
use elb_common::listener::{ListenerEndpoint, Vip, vip_flags};
use elb_common::snat::Snat;

use super::{Desired, ReconcileInput, Reconciler};
use crate::control::assign::{AssignedPool, Embedding};
use crate::control::plan::Image;
use crate::model::{ClientPrefix, Listener, LoadBalancer, Ports, SourceAddresses};

impl Reconciler {
    /// Adds the source addresses. While they are the same, so is the secret, since flows are found by it.
    pub(super) fn source_addresses(
        &mut self,
        wanted: Option<SourceAddresses>,
        seen: &impl ReconcileInput,
        image: &mut Image,
    ) {
        let snat = wanted.map_or_else(Snat::default, |wanted| Snat {
            network: bytemuck::cast(wanted.network().octets()),
            addresses: wanted.count(),
            secret: self.snat.secret,
        });
        if snat != self.snat {
            let secret = if wanted.is_some() { seen.secret() } else { 0 };
            self.snat = Snat { secret, ..snat };
        }
        image.snat = self.snat;
        let flags = vip_flags::ANNOUNCE | vip_flags::ECHO | vip_flags::SOURCE;
        let vip = Vip { flags, number: 0 };
        let addresses = wanted.into_iter().flat_map(SourceAddresses::all);
        image.vips.extend(addresses.map(|address| (address.into(), vip)));
    }

    /// Adds what clients know a listener by, if members of a pool that has its flows answer source addresses, or addresses
    /// of the prefix; whether any answer source addresses. Of which flows they do so is decided by the member that each
    /// goes to.
    pub(super) fn endpoint(
        &mut self,
        lb: &LoadBalancer,
        listener: &Listener,
        prefix: Option<ClientPrefix>,
        desired: &mut Desired,
    ) -> bool {
        let Some(assigned) = self.assignments.listeners.get_mut(&listener.id) else { return false };
        assigned.embedding = None;
        let (Ports::One(port), Some(vip)) = (listener.ports(), lb.vip_address) else {
            return false;
        };
        let former = assigned.former.map(|former| former.pool);
        let ids = assigned.served.iter().copied().chain([assigned.pool]).chain(former);
        let pools = ids.filter_map(|id| self.assignments.pools.get(desired.numbered.get(&id)?));
        let pools: Vec<&AssignedPool> = pools.collect();
        let embedding = pools.iter().filter(|pool| pool.forwarding.embeds_clients());
        let idle = embedding.map(|pool| pool.idle_timeout).max();
        assigned.embedding = idle.map(|idle| Embedding { vip, port, idle });
        let is_hiding = pools.iter().any(|pool| pool.forwarding.hides_clients());
        let prefix = prefix.filter(|_| idle.is_some());
        if is_hiding || prefix.is_some() {
            desired.image.endpoints.insert(assigned.id, endpoint(vip, port, prefix));
        }
        is_hiding
    }

    /// Adds the same of listeners that went and whose clients' addresses members may still answer, so that they learn that
    /// their connections are over.
    pub(super) fn endpoints_that_went(&self, prefix: Option<ClientPrefix>, image: &mut Image) {
        for (id, left) in &self.assignments.leaving.embedding {
            let Embedding { vip, port, .. } = left.embedding;
            if prefix.is_some() {
                image.endpoints.insert(*id, endpoint(vip, port, prefix));
            }
        }
    }
}

fn endpoint(vip: Ipv4Addr, port: u16, prefix: Option<ClientPrefix>) -> ListenerEndpoint {
    let vip: Be32 = bytemuck::cast(vip.octets());
    ListenerEndpoint::v4(vip, Be16::new(port), prefix.map(ClientPrefix::words))
}
